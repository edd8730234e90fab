//! The whole family of a Service, read and checked.

use std::num::NonZeroU16;

use serde::Deserialize;

use super::{
    links::{LinkName, Links, is_url},
    var::{Address, Family, Var},
};
use crate::{Error, name::Protocol};

/// What the variables of a Service say together.
#[derive(Debug)]
pub(super) struct ServiceVars {
    /// Where it is; `None` when nothing is set.
    pub(super) host: Option<Address>,
    /// The number of the first port.
    pub(super) first: Option<NonZeroU16>,
    /// Every port that is named, the first one first; numbers may repeat.
    pub(super) ports: Vec<ServicePort>,
}

/// A port that a variable names.
#[derive(Debug)]
pub(super) struct ServicePort {
    /// Its name as it stands in the variable's name, where it has one.
    pub(super) name: Option<String>,
    pub(super) number: NonZeroU16,
    /// Only Docker links tell it.
    pub(super) protocol: Option<Protocol>,
}

impl ServiceVars {
    pub(super) fn read(family: &mut Family<'_>) -> Result<Self, Error> {
        let service = Service::read(family)?;
        let (host_name, port_name) = (family.name("_SERVICE_HOST"), family.name("_SERVICE_PORT"));
        let host = addressed(&host_name, service.host.as_deref())?;
        let first = numbered(&port_name, service.port.as_deref())?;
        let named = named(family)?;
        let links = Links::read(family)?.beside(host, family);
        if let (Some((var, number)), Some((link, other))) = (first, links.first)
            && number != other
        {
            return Err(link.contradicts(var));
        }
        let host = host.or(links.host).map(|(_, host)| host);
        let named_by = first.map(|(var, _)| var).or(named.first().map(|(var, _)| *var));
        if let (None, Some(var)) = (host, named_by.or(links.ports.first().map(|(var, ..)| *var))) {
            let rule = format!("it names a port, and `{host_name}` does not say at which address");
            return Err(var.malformed(rule, "set the address too, or unset the port"));
        }
        let first = first.or(links.first).map(|(_, number)| number);
        let unnamed = |number, protocol| ServicePort { name: None, number, protocol };
        let mut ports: Vec<ServicePort> = first.map(|number| unnamed(number, None)).into_iter().collect();
        ports.extend(named.into_iter().map(|(_, port)| port));
        ports.extend(links.ports.iter().map(|(_, number, protocol)| unnamed(*number, Some(*protocol))));
        Ok(Self { host, first, ports })
    }
}

/// `<SERVICE>_SERVICE_HOST` and `<SERVICE>_SERVICE_PORT` as they were written.
#[derive(Deserialize)]
struct Service {
    host: Option<String>,
    port: Option<String>,
}

impl Service {
    /// Only these two reach `envy`: it folds the case of names, and strips a repeated prefix repeatedly.
    fn read(family: &mut Family<'_>) -> Result<Self, Error> {
        let mut set = Vec::new();
        set.extend(family.get("_SERVICE_HOST"));
        match family.get("_SERVICE_PORT") {
            Some(var) if is_url(var.value) => {
                family.note(var.name, "the Docker link of a Service with `-service` behind its name: left alone");
            }
            port => set.extend(port),
        }
        let prefix = family.name("_SERVICE_");
        envy::prefixed(&*prefix)
            .from_iter(set.into_iter().map(|var| (var.name.to_owned(), var.value.to_owned())))
            .map_err(|error| Error::config(format!("the variables `{prefix}*` cannot be read: {error}")))
    }
}

fn addressed<'a>(name: &'a str, value: Option<&'a str>) -> Result<Option<(Var<'a>, Address)>, Error> {
    value.map(|value| Var { name, value }).map(|var| Ok((var, var.address()?))).transpose()
}

fn numbered<'a>(name: &'a str, value: Option<&'a str>) -> Result<Option<(Var<'a>, NonZeroU16)>, Error> {
    value.map(|value| Var { name, value }).map(|var| Ok((var, var.port()?))).transpose()
}

/// `<SERVICE>_SERVICE_PORT_<NAME>`, each.
fn named<'a>(family: &mut Family<'a>) -> Result<Vec<(Var<'a>, ServicePort)>, Error> {
    let found = family.below("_SERVICE_PORT_");
    let is_link = |base: &str| found.iter().any(|(rest, var)| *rest == base && is_url(var.value));
    let mut ports = Vec::new();
    for (rest, var) in &found {
        // The links of a Service `<service>-service` look the same, but for the value of the first.
        if LinkName::base(rest).is_some_and(|base| is_link(&base)) {
            continue;
        }
        family.note(var.name, var.value);
        ports.push((*var, ServicePort { name: Some((*rest).to_owned()), number: var.port()?, protocol: None }));
    }
    Ok(ports)
}
