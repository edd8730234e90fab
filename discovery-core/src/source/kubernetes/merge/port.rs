//! Finds the port of the slices that a target means.

use std::{fmt, num::NonZeroU16};

use crate::{
    name::{Port, PortName, Protocol, Target},
    source::kubernetes::model::{Service, ServiceKind, ServicePort},
};

/// The port to connect to on the pods of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetPort {
    /// The slice port of this name and protocol.
    #[non_exhaustive]
    Named {
        /// The name; `None` for the unnamed port.
        name: Option<PortName>,
        /// The protocol.
        protocol: Protocol,
    },
    /// This number on every pod, whatever ports the slices list; 0 if the number is unknown.
    Number(u16),
}

/// The Service does not have the port that a target names. The text lists the ports that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPort(String);

/// Returns the port that `target` means.
///
/// * A named port: the Service port of that name and of the target's protocol.
/// * A numbered port: the Service port of that number. If a *headless* Service does not have that port, the number
///   itself, since a client that has the pods' addresses from DNS would connect to that number.
/// * No port but a scheme: the port named after the scheme, else the port with the scheme's number, else the only port
///   of the protocol.
/// * Neither port nor scheme: the first port.
/// * For a headless Service in which the last two rules find no port: the number that the scheme implies, or 0.
///
/// # Errors
/// [`UnknownPort`] when the Service does not have the port.
pub fn target_port(service: &Service, target: &Target) -> Result<TargetPort, UnknownPort> {
    let protocol = target.protocol();
    let ports: Vec<&ServicePort> = service.ports.iter().filter(|port| port.protocol == protocol).collect();
    let by_name = |name: &PortName| ports.iter().find(|port| port.name.as_ref() == Some(name)).copied();
    let by_number = |number: NonZeroU16| ports.iter().find(|port| port.number == number.get()).copied();
    let only = || if let [only] = *ports { Some(only) } else { None };
    let found = match (target.port(), target.scheme()) {
        (Port::Name(name), _) => by_name(name),
        (Port::Number(number), _) => by_number(*number),
        (Port::Default(number), Some(scheme)) => {
            scheme.port_name().and_then(|name| by_name(&name)).or_else(|| number.and_then(by_number)).or_else(only)
        }
        (Port::Default(_), None) => ports.first().copied(),
    };
    match (found, target.port()) {
        (Some(port), _) => Ok(TargetPort::Named { name: port.name.clone(), protocol }),
        (None, Port::Number(_) | Port::Default(_)) if service.kind == ServiceKind::Headless => {
            Ok(TargetPort::Number(target.port().number().map_or(0, NonZeroU16::get)))
        }
        (None, _) => Err(UnknownPort::new(service, target)),
    }
}

impl UnknownPort {
    fn new(service: &Service, target: &Target) -> Self {
        let protocol = target.protocol();
        let wanted = match (target.port(), target.scheme()) {
            (Port::Name(name), _) => format!("port `{name}`/{protocol}"),
            (Port::Number(number), _) => format!("port {number}/{protocol}"),
            (Port::Default(_), Some(scheme)) => format!("{protocol} port for scheme `{scheme}`"),
            (Port::Default(_), None) => format!("{protocol} port"),
        };
        let show = |port: &ServicePort| {
            let name = port.name.as_ref().map(|name| format!("{name} ")).unwrap_or_default();
            format!("{name}{}/{}", port.number, port.protocol)
        };
        let ports: Vec<String> = service.ports.iter().map(show).collect();
        let ports = if ports.is_empty() { "no ports".to_owned() } else { ports.join(", ") };
        Self(format!("Service `{}` has no {wanted}; it has {ports}", service.name))
    }
}

impl fmt::Display for UnknownPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UnknownPort {}
