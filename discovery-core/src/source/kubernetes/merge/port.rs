//! Which port of the slices a target means.

use std::{fmt, num::NonZeroU16};

use super::super::model::{Service, ServiceKind, ServicePort};
use crate::name::{Port, PortName, Protocol, Target};

/// What to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dial {
    /// The slices' port of this name and protocol.
    #[non_exhaustive]
    Port {
        /// The name; `None` for the port without one.
        name: Option<PortName>,
        /// The protocol.
        protocol: Protocol,
    },
    /// This number on every pod, whatever ports the slices name; 0 stands for "not known".
    Number(u16),
}

/// The Service has no such port; says which it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoPort(String);

/// The port that `target` means.
///
/// * A name: the Service's port of that name and of the target's protocol.
/// * A number: the Service's port of that number. The pods of a *headless* Service are dialled at the number itself
///   when the Service has no such port, as a client would do that has their addresses from DNS.
/// * None, with a scheme: the port named as the scheme, the port of the scheme's number, the only port of the
///   protocol. None and no scheme: the first port. For a headless Service without any of these, the number that the
///   scheme implies, or none.
///
/// # Errors
/// [`NoPort`] when the Service has no such port.
pub fn dial(service: &Service, target: &Target) -> Result<Dial, NoPort> {
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
        (Some(port), _) => Ok(Dial::Port { name: port.name.clone(), protocol }),
        (None, Port::Number(_) | Port::Default(_)) if service.kind == ServiceKind::Headless => {
            Ok(Dial::Number(target.port().number().map_or(0, NonZeroU16::get)))
        }
        (None, _) => Err(NoPort::of(service, target)),
    }
}

impl NoPort {
    fn of(service: &Service, target: &Target) -> Self {
        let wanted = match (target.port(), target.scheme()) {
            (Port::Name(name), _) => format!("port `{name}`"),
            (Port::Number(number), _) => format!("port {number}"),
            (Port::Default(_), Some(scheme)) => format!("port that `{scheme}` implies"),
            (Port::Default(_), None) => "port".to_owned(),
        };
        let show = |port: &ServicePort| {
            let name = port.name.as_ref().map(|name| format!("{name} ")).unwrap_or_default();
            format!("{name}{}/{}", port.number, port.protocol)
        };
        let has: Vec<String> = service.ports.iter().map(show).collect();
        let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
        Self(format!("Service `{}` has no {wanted}/{}; it has {has}", service.name, target.protocol()))
    }
}

impl fmt::Display for NoPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoPort {}
