//! Reads the Docker-link variables, `<SERVICE>_PORT…`.

use std::num::NonZeroU16;

use super::{Address, Var, VarReader, port, protocol_named};
use crate::{Error, name::Protocol};

/// The Docker links of a Service, combined and checked.
#[derive(Clone, Debug, Default)]
pub(super) struct Links<'a> {
    /// The address that all links agree on, and the first link that states it.
    pub(super) host: Option<(Var<'a>, Address)>,
    /// The port in `<SERVICE>_PORT`.
    pub(super) first: Option<(Var<'a>, NonZeroU16)>,
    /// Each port with its protocol, and the first link that states it.
    pub(super) ports: Vec<(Var<'a>, NonZeroU16, Protocol)>,
}

impl<'a> Links<'a> {
    /// Reads the links that belong to the address in `<SERVICE>_SERVICE_HOST`, if that is set.
    ///
    /// If the links have another address, the Service was moved (to a laptop, in a test) and they do not describe the
    /// new place.
    pub(super) fn read(reader: &mut VarReader<'a>, host: Option<&(Var<'_>, Address)>) -> Result<Self, Error> {
        let mut links = Self::default();
        match reader.get("_PORT") {
            Some(var) if var.is_url() => {
                let (protocol, host, number) = var.url()?;
                links.first = Some((var, number));
                links.add_port(var, number, protocol);
                links.add_host(var, host)?;
            }
            Some(var) => reader.note(var.name, "ignored: not a Docker link (`tcp://host:port`)"),
            None => {}
        }
        for (rest, var) in reader.below("_PORT_") {
            match LinkName::parse(rest) {
                Some(link) => {
                    reader.note(var.name, var.value);
                    links.add(&link, var)?;
                }
                None => reader.skip(var, "not the name of a Docker link, `<SERVICE>_PORT_<n>_<PROTOCOL>`"),
            }
        }
        match (host, &links.host) {
            (Some((var, host)), Some((link, other))) if host != other => {
                reader.note(link.name, format!("ignored: the Docker links do not have the address of `{}`", var.name));
                Ok(Self::default())
            }
            _ => Ok(links),
        }
    }

    /// Adds `<SERVICE>_PORT_<n>_<PROTOCOL>` or one of its parts.
    fn add(&mut self, link: &LinkName, var: Var<'a>) -> Result<(), Error> {
        let mismatch = || {
            let rule = format!("does not match the variable's own name, which says {}/{}", link.number, link.protocol);
            var.malformed(rule, "set the value that the name says")
        };
        match link.part {
            Part::Url => {
                let (protocol, host, number) = var.url()?;
                if (protocol, number) != (link.protocol, link.number) {
                    return Err(mismatch());
                }
                self.add_host(var, host)?;
            }
            Part::Addr => self.add_host(var, var.address()?)?,
            Part::Port if var.port()? != link.number => return Err(mismatch()),
            Part::Proto if !var.value.eq_ignore_ascii_case(link.protocol.as_str()) => return Err(mismatch()),
            Part::Port | Part::Proto => {}
        }
        self.add_port(var, link.number, link.protocol);
        Ok(())
    }

    fn add_port(&mut self, var: Var<'a>, number: NonZeroU16, protocol: Protocol) {
        if !self.ports.iter().any(|(_, n, p)| (*n, *p) == (number, protocol)) {
            self.ports.push((var, number, protocol));
        }
    }

    fn add_host(&mut self, var: Var<'a>, host: Address) -> Result<(), Error> {
        match &self.host {
            Some((before, other)) if *other != host => Err(var.contradicts(*before)),
            Some(_) => Ok(()),
            None => {
                self.host = Some((var, host));
                Ok(())
            }
        }
    }
}

/// The parts of `<n>_<PROTOCOL>`, `<n>_<PROTOCOL>_ADDR` and so on.
#[derive(Debug)]
struct LinkName {
    number: NonZeroU16,
    protocol: Protocol,
    part: Part,
}

#[derive(Debug)]
enum Part {
    Url,
    Proto,
    Port,
    Addr,
}

impl LinkName {
    fn parse(rest: &str) -> Option<Self> {
        let mut words = rest.split('_');
        let (number, protocol) = (port(words.next()?)?, words.next()?);
        let part = match (words.next(), words.next()) {
            (None, _) => Part::Url,
            (Some("PROTO"), None) => Part::Proto,
            (Some("PORT"), None) => Part::Port,
            (Some("ADDR"), None) => Part::Addr,
            _ => return None,
        };
        let protocol = protocol_named(protocol).filter(|known| known.as_str().to_ascii_uppercase() == protocol)?;
        Some(Self { number, protocol, part })
    }
}

/// Returns the `<n>_<PROTOCOL>` that `rest` begins with, if `rest` is the end of a link's name.
pub(super) fn base(rest: &str) -> Option<String> {
    let link = LinkName::parse(rest)?;
    Some(format!("{}_{}", link.number, link.protocol.as_str().to_ascii_uppercase()))
}
