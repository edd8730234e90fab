//! The Docker-link variables, `<SERVICE>_PORT…`.

use std::num::NonZeroU16;

use super::var::{Address, Family, Var, address, port};
use crate::{Error, name::Protocol};

/// What the links of a Service say together.
#[derive(Clone, Debug, Default)]
pub(super) struct Links<'a> {
    /// The address that they agree on, and the first that names it.
    pub(super) host: Option<(Var<'a>, Address)>,
    /// The port of `<SERVICE>_PORT`.
    pub(super) first: Option<(Var<'a>, NonZeroU16)>,
    /// Each port with its protocol, and the first that names it.
    pub(super) ports: Vec<(Var<'a>, NonZeroU16, Protocol)>,
}

impl<'a> Links<'a> {
    pub(super) fn read(family: &mut Family<'a>) -> Result<Self, Error> {
        let mut links = Self::default();
        match family.get("_PORT") {
            Some(var) if is_url(var.value) => {
                let (protocol, host, number) = url(var)?;
                links.first = Some((var, number));
                links.port(var, number, protocol);
                links.host(var, host)?;
            }
            Some(var) => family.note(var.name, "no Docker link, which is `tcp://host:port`: left alone"),
            None => {}
        }
        for (rest, var) in family.below("_PORT_") {
            if let Some(link) = LinkName::new(rest) {
                family.note(var.name, var.value);
                links.part(&link, var)?;
            }
        }
        Ok(links)
    }

    /// The links beside `<SERVICE>_SERVICE_HOST`: where they are of another place, someone has moved the
    /// Service (a laptop, a test), and they say nothing about the new one.
    pub(super) fn beside(self, host: Option<(Var<'_>, Address)>, family: &mut Family<'_>) -> Self {
        match (host, self.host) {
            (Some((var, host)), Some((link, other))) if host != other => {
                family.note(link.name, format!("not the place of `{}`: the links are left alone", var.name));
                Self::default()
            }
            _ => self,
        }
    }

    /// Takes in `<SERVICE>_PORT_<n>_<PROTOCOL>` or one of its parts.
    fn part(&mut self, link: &LinkName, var: Var<'a>) -> Result<(), Error> {
        let against_its_name =
            || var.malformed(format!("its own name says {}/{}", link.number, link.protocol), "set what the name says");
        match link.part {
            Part::Url => {
                let (protocol, host, number) = url(var)?;
                if (protocol, number) != (link.protocol, link.number) {
                    return Err(against_its_name());
                }
                self.host(var, host)?;
            }
            Part::Addr => self.host(var, var.address()?)?,
            Part::Port if var.port()? != link.number => return Err(against_its_name()),
            Part::Proto if !var.value.eq_ignore_ascii_case(link.protocol.as_str()) => return Err(against_its_name()),
            Part::Port | Part::Proto => {}
        }
        self.port(var, link.number, link.protocol);
        Ok(())
    }

    fn port(&mut self, var: Var<'a>, number: NonZeroU16, protocol: Protocol) {
        if !self.ports.iter().any(|(_, n, p)| (*n, *p) == (number, protocol)) {
            self.ports.push((var, number, protocol));
        }
    }

    fn host(&mut self, var: Var<'a>, host: Address) -> Result<(), Error> {
        match self.host {
            Some((before, other)) if other != host => Err(var.contradicts(before)),
            Some(_) => Ok(()),
            None => {
                self.host = Some((var, host));
                Ok(())
            }
        }
    }
}

/// `<n>_<PROTOCOL>`, `<n>_<PROTOCOL>_ADDR` and so on, taken apart.
#[derive(Debug)]
pub(super) struct LinkName {
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
    fn new(rest: &str) -> Option<Self> {
        let mut words = rest.split('_');
        let (number, protocol) = (port(words.next()?)?, words.next()?);
        let part = match (words.next(), words.next()) {
            (None, _) => Part::Url,
            (Some("PROTO"), None) => Part::Proto,
            (Some("PORT"), None) => Part::Port,
            (Some("ADDR"), None) => Part::Addr,
            _ => return None,
        };
        let protocol = PROTOCOLS.into_iter().find(|p| p.as_str().to_ascii_uppercase() == protocol)?;
        Some(Self { number, protocol, part })
    }

    /// The `<n>_<PROTOCOL>` that `rest` begins with, if it is a link's.
    pub(super) fn base(rest: &str) -> Option<String> {
        let link = Self::new(rest)?;
        Some(format!("{}_{}", link.number, link.protocol.as_str().to_ascii_uppercase()))
    }
}

pub(super) fn is_url(value: &str) -> bool {
    value.contains("://")
}

/// `<protocol>://<host>:<port>`, the host of IPv6 in brackets.
fn url(var: Var<'_>) -> Result<(Protocol, Address, NonZeroU16), Error> {
    let parts = || {
        let (protocol, rest) = var.value.split_once("://")?;
        let protocol = PROTOCOLS.into_iter().find(|p| p.as_str().eq_ignore_ascii_case(protocol))?;
        let (host, number) = rest.rsplit_once(':')?;
        if host.contains(':') && !host.starts_with('[') {
            return None;
        }
        Some((protocol, address(host)?, port(number)?))
    };
    parts().ok_or_else(|| {
        let rule = "a Docker link is `<protocol>://<address>:<port>` with tcp, udp or sctp";
        var.malformed(rule, "write for example `tcp://10.0.0.11:80` or `tcp://[fd00::11]:80`, or unset it")
    })
}

const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
