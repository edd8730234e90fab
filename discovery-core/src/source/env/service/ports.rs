//! The address and the ports of a Service, and which port a target means.

use std::num::NonZeroU16;

use serde::Deserialize;

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
pub(super) struct ServiceVars {
    /// The address; `None` if it is not set.
    pub(super) host: Option<Address>,
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

impl ServiceVars {
    pub(super) fn read(reader: &mut VarReader<'_>) -> Result<Self, Error> {
        let main = MainVars::read(reader)?;
        let (host_name, port_name) = (reader.name("_SERVICE_HOST"), reader.name("_SERVICE_PORT"));
        let host = parsed(&host_name, main.host.as_deref(), Var::address)?;
        let first = parsed(&port_name, main.port.as_deref(), Var::port)?;
        let named = named_ports(reader)?;
        let links = Links::read(reader, host)?;
        if let (Some((var, number)), Some((link, other))) = (first, links.first)
            && number != other
        {
            return Err(link.contradicts(var));
        }
        let host = host.or(links.host).map(|(_, host)| host);
        let named_by = first.map(|(var, _)| var).or(named.first().map(|(var, _)| *var));
        if let (None, Some(var)) = (host, named_by.or(links.ports.first().map(|(var, ..)| *var))) {
            let rule = format!("sets a port, but no variable sets the address: `{host_name}` is missing");
            return Err(var.malformed(rule, "set the address too, or unset the port"));
        }
        let first = first.or(links.first).map(|(_, number)| number);
        let unnamed = |number, protocol| ServicePort { name: None, number, protocol };
        let mut ports: Vec<ServicePort> = first.map(|number| unnamed(number, None)).into_iter().collect();
        ports.extend(named.into_iter().map(|(_, port)| port));
        ports.extend(links.ports.iter().map(|(_, number, protocol)| unnamed(*number, Some(*protocol))));
        Ok(Self { host, first, ports })
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

/// The raw values of `<SERVICE>_SERVICE_HOST` and `<SERVICE>_SERVICE_PORT`.
#[derive(Deserialize)]
struct MainVars {
    host: Option<String>,
    port: Option<String>,
}

impl MainVars {
    /// Passes only these two variables to `envy`, which ignores the case of names and strips a repeated prefix
    /// repeatedly.
    fn read(reader: &mut VarReader<'_>) -> Result<Self, Error> {
        let mut set = Vec::new();
        set.extend(reader.get("_SERVICE_HOST"));
        match reader.get("_SERVICE_PORT") {
            Some(var) if var.is_url() => {
                reader.note(var.name, "ignored: a Docker link of the Service whose name has `-service` appended");
            }
            port => set.extend(port),
        }
        let prefix = reader.name("_SERVICE_");
        envy::prefixed(&*prefix)
            .from_iter(set.into_iter().map(|var| (var.name.to_owned(), var.value.to_owned())))
            .map_err(|error| Error::config(format!("failed to read the variables `{prefix}*`: {error}")))
    }
}

fn parsed<'a, T>(
    name: &'a str,
    value: Option<&'a str>,
    parse: fn(Var<'a>) -> Result<T, Error>,
) -> Result<Option<(Var<'a>, T)>, Error> {
    value.map(|value| Var { name, value }).map(|var| Ok((var, parse(var)?))).transpose()
}

/// Returns the port of each `<SERVICE>_SERVICE_PORT_<NAME>`.
fn named_ports<'a>(reader: &mut VarReader<'a>) -> Result<Vec<(Var<'a>, ServicePort)>, Error> {
    let found = reader.below("_SERVICE_PORT_");
    let is_link = |base: &str| found.iter().any(|(rest, var)| *rest == base && var.is_url());
    let mut ports = Vec::new();
    for (rest, var) in &found {
        // The links of a Service `<service>-service` have the same names. Only the value of the first one differs.
        if links::base(rest).is_some_and(|base| is_link(&base)) {
            continue;
        }
        reader.note(var.name, var.value);
        ports.push((*var, ServicePort { name: Some((*rest).to_owned()), number: var.port()?, protocol: None }));
    }
    Ok(ports)
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
