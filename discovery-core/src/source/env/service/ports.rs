//! The address and the ports of a Service, and which port a target means.

use std::num::NonZeroU16;

use super::{
    Address, Var, VarReader,
    links::{self, Links},
    part,
};
use crate::{
    Error,
    name::{Port, PortName, Protocol, Target},
};

/// The variables of a Service, combined and checked.
#[derive(Debug)]
pub(super) struct ServiceVars<'a> {
    /// The address, and the variable that sets it; `None` if none does.
    pub(super) host: Option<(Var<'a>, Address)>,
    /// The number of the first port.
    first: Option<NonZeroU16>,
    /// Every port that the variables name, the first port first. Numbers may repeat.
    ports: Vec<ServicePort>,
}

/// A port that a variable names.
#[derive(Debug)]
struct ServicePort {
    /// The name as it appears in the variable's name, if the port has one.
    name: Option<String>,
    number: NonZeroU16,
    /// Only Docker links state the protocol.
    protocol: Option<Protocol>,
}

impl<'a> ServiceVars<'a> {
    pub(super) fn read(reader: &mut VarReader<'a>) -> Result<Self, Error> {
        let main = MainVars::read(reader);
        let host = main.host.map(|var| var.host().map(|host| (var, host))).transpose()?;
        let links = Links::read(reader, host.as_ref())?;
        let Some(host) = host.or_else(|| links.host.clone()) else {
            skip_ports(reader, main.port, &links);
            return Ok(Self { host: None, first: None, ports: Vec::new() });
        };
        let first = main.port.map(|var| var.port().map(|port| (var, port))).transpose()?;
        let named = named_ports(reader)?;
        if let (Some((var, number)), Some((link, other))) = (first, links.first)
            && number != other
        {
            return Err(link.contradicts(var));
        }
        let first = first.or(links.first).map(|(_, number)| number);
        let unnamed = |number, protocol| ServicePort { name: None, number, protocol };
        let mut ports: Vec<ServicePort> = first.map(|number| unnamed(number, None)).into_iter().collect();
        ports.extend(named);
        ports.extend(links.ports.iter().map(|(_, number, protocol)| unnamed(*number, Some(*protocol))));
        Ok(Self { host: Some(host), first, ports })
    }

    /// Returns the port that `target` means, if a variable names it.
    ///
    /// Fails if only a host is set and the target has no port either: an address that was set on purpose must not be
    /// ignored.
    pub(super) fn port_of(&self, reader: &VarReader<'_>, target: &Target) -> Result<Option<NonZeroU16>, Error> {
        let protocol = target.protocol();
        Ok(match (target.port(), target.scheme()) {
            (Port::Name(name), _) => self.by_name(name, protocol),
            // Only a host is set: the port of the target is used as it is.
            (port, _) if self.ports.is_empty() => Some(port.number().ok_or_else(|| no_port(reader, target))?),
            (Port::Number(number), _) => self.by_number(*number, protocol),
            (Port::Default(number), Some(scheme)) => scheme
                .port_name()
                .and_then(|name| self.by_name(&name, protocol))
                .or_else(|| number.and_then(|number| self.by_number(number, protocol)))
                .or_else(|| self.only(protocol)),
            (Port::Default(_), None) => self.first.or_else(|| self.only(protocol)),
        })
    }

    /// Returns the port with this name, unless the links say that it has another protocol.
    fn by_name(&self, name: &PortName, protocol: Protocol) -> Option<NonZeroU16> {
        let name = part(name.as_str());
        let port = self.ports.iter().find(|port| port.name.as_deref() == Some(&*name))?;
        self.by_number(port.number, protocol)
    }

    /// Returns `number` if a variable names it for `protocol`. If no link states its protocol, it counts for any.
    fn by_number(&self, number: NonZeroU16, protocol: Protocol) -> Option<NonZeroU16> {
        let mut named = self.ports.iter().filter(|port| port.number == number).peekable();
        named.peek()?;
        let mut protocols = named.filter_map(|port| port.protocol).peekable();
        (protocols.peek().is_none() || protocols.any(|stated| stated == protocol)).then_some(number)
    }

    /// Returns the only port number for `protocol`.
    fn only(&self, protocol: Protocol) -> Option<NonZeroU16> {
        let mut numbers = self.ports.iter().filter_map(|port| self.by_number(port.number, protocol));
        let first = numbers.next()?;
        numbers.all(|number| number == first).then_some(first)
    }
}

/// `<SERVICE>_SERVICE_HOST` and `<SERVICE>_SERVICE_PORT`.
struct MainVars<'a> {
    host: Option<Var<'a>>,
    port: Option<Var<'a>>,
}

impl<'a> MainVars<'a> {
    fn read(reader: &mut VarReader<'a>) -> Self {
        let host = reader.get("_SERVICE_HOST");
        for (_, var) in reader.below("_SERVICE_HOST_") {
            reader.skip(var, NOT_OF_A_SERVICE);
        }
        let port = reader.get("_SERVICE_PORT").filter(|var| {
            if var.is_url() {
                reader.note(var.name, "ignored: a Docker link of the Service whose name has `-service` appended");
            }
            !var.is_url()
        });
        Self { host, port }
    }
}

/// Returns the port of each `<SERVICE>_SERVICE_PORT_<NAME>`.
fn named_ports(reader: &mut VarReader<'_>) -> Result<Vec<ServicePort>, Error> {
    let mut ports = Vec::new();
    for (rest, var) in named_vars(reader) {
        match var.port() {
            Ok(number) => {
                reader.note(var.name, var.value);
                ports.push(ServicePort { name: Some(rest.to_owned()), number, protocol: None });
            }
            Err(_) if !names_a_port(rest) => reader.skip(var, NOT_OF_A_SERVICE),
            Err(error) => {
                reader.note(var.name, var.value);
                return Err(error);
            }
        }
    }
    Ok(ports)
}

/// Returns each `<SERVICE>_SERVICE_PORT_<NAME>` with its `<NAME>`, without the links of a Service `<service>-service`,
/// which have the same names. Only the value of the first one differs.
fn named_vars<'a>(reader: &VarReader<'a>) -> Vec<(&'a str, Var<'a>)> {
    let found = reader.below("_SERVICE_PORT_");
    let is_link = |base: &str| found.iter().any(|(rest, var)| *rest == base && var.is_url());
    let own = |rest: &str| !links::base(rest).is_some_and(|base| is_link(&base));
    found.iter().copied().filter(|(rest, _)| own(rest)).collect()
}

/// Whether the kubelet writes `suffix` for the name of a port, and the suffix does not say that its value is something
/// else. A number counts as a port whatever the suffix is.
fn names_a_port(suffix: &str) -> bool {
    let is_name = !suffix.contains(|c: char| c.is_ascii_lowercase())
        && PortName::new(&suffix.to_ascii_lowercase().replace('_', "-")).is_ok();
    is_name && !suffix.rsplit('_').next().is_some_and(|last| OTHER_THINGS.contains(&last))
}

/// The last words of suffixes whose values are not port numbers.
const OTHER_THINGS: [&str; 13] =
    ["ADDR", "ADDRESS", "FILE", "HOST", "NAME", "PATH", "PROTO", "PROTOCOL", "RANGE", "SCHEME", "TYPE", "URI", "URL"];

const NOT_OF_A_SERVICE: &str = "not one of the variables that describe a Service";

/// Records why the ports are not used: no variable sets an address, so they belong to the application.
fn skip_ports(reader: &mut VarReader<'_>, first: Option<Var<'_>>, links: &Links<'_>) {
    let named: Vec<_> = named_vars(reader).into_iter().map(|(_, var)| var).collect();
    for var in first.into_iter().chain(named).chain(links.ports.iter().map(|(var, ..)| *var)) {
        reader.skip(var, "a port without an address does not describe a Service");
    }
}

fn no_port(reader: &VarReader<'_>, target: &Target) -> Error {
    Error::config(format!(
        "no port for `{target}`: `{}` is set, but neither the target nor a variable gives a port; set `{}`, or write \
         the port as in `name:8080`",
        reader.name("_SERVICE_HOST"),
        reader.name("_SERVICE_PORT"),
    ))
}

/// Returns why no variable names the port of `target`.
pub(super) fn not_named(reader: &VarReader<'_>, target: &Target) -> String {
    match (target.port(), target.scheme()) {
        (Port::Name(name), _) => {
            let variable = reader.name(&format!("_SERVICE_PORT_{}", part(name.as_str())));
            format!("`{variable}` is not set for {}", target.protocol())
        }
        (Port::Number(number), _) => format!("no variable names port {number}/{}", target.protocol()),
        (Port::Default(_), Some(scheme)) => {
            format!("no variable names a port `{scheme}`, and the variables do not name exactly one port")
        }
        (Port::Default(_), None) => "the variables name several ports, but no first port".to_owned(),
    }
}
