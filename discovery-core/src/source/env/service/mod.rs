//! The variables of one Service.

mod links;
mod ports;

use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    num::NonZeroU16,
    ops::Bound::{Included, Unbounded},
};

use ports::ServiceVars;

use super::address::Author;
use crate::{
    Error,
    endpoint::Endpoint,
    name::{Host, Port, Protocol, ServiceName, Target},
    source::Evidence,
};

/// Reads the variables of one Service and records each as evidence.
#[derive(Debug)]
pub(super) struct VarReader<'a> {
    vars: &'a BTreeMap<String, String>,
    prefix: String,
    evidence: Vec<Evidence>,
}

impl<'a> VarReader<'a> {
    pub(super) fn new(vars: &'a BTreeMap<String, String>, service: &ServiceName) -> Self {
        Self { vars, prefix: part(service.as_str()), evidence: Vec::new() }
    }

    /// Returns where the variables say that `target` is, or `None` if they do not apply to it; the evidence says why.
    pub(super) fn place(&mut self, target: &Target) -> Result<Option<Place>, Error> {
        let vars = ServiceVars::read(self)?;
        let Some((var, host)) = &vars.host else {
            self.note(self.name("_SERVICE_HOST"), "not set");
            return Ok(None);
        };
        let Some(port) = vars.port_of(self, target)? else {
            self.note(target.to_string(), ports::not_named(self, target));
            return Ok(None);
        };
        let variable = format!("`{}` is `{}`", var.name, var.value.escape_debug());
        let endpoint = match host {
            Address::Ip(ip) => Endpoint::new((*ip, port.get()).into()),
            Address::Localhost => Endpoint::localhost(port.get()),
            Address::Name(name) => {
                return Ok(Some(Place::Host { target: Target::new(&format!("{name}:{port}"))?, variable }));
            }
        };
        let author = if self.has_whole_family() { Author::Kubelet } else { Author::Operator };
        Ok(Some(Place::Endpoint { endpoint, author, variable }))
    }

    /// Whether the variables are complete, as the kubelet writes them (`pkg/kubelet/envvars`), and agree about the
    /// address: `_SERVICE_HOST`, `_SERVICE_PORT`, and the Docker link of the first port with its parts. An operator
    /// who overrides a Service sets the first two.
    fn has_whole_family(&self) -> bool {
        let value = |suffix: &str| {
            let (name, value) = self.vars.get_key_value(&self.name(suffix))?;
            Some(var(name, value)?.value)
        };
        let (Some(host), Some(_), Some(link)) = (value("_SERVICE_HOST"), value("_SERVICE_PORT"), value("_PORT")) else {
            return false;
        };
        let Ok((protocol, linked, number)) = (Var { name: "_PORT", value: link }).url() else { return false };
        let base = format!("_PORT_{number}_{}", protocol.as_str().to_ascii_uppercase());
        address(host) == Some(linked)
            && value(&base) == Some(link)
            && value(&format!("{base}_ADDR")) == Some(host)
            && value(&format!("{base}_PROTO")).is_some()
            && value(&format!("{base}_PORT")).is_some()
    }

    /// Returns the full name of a variable; `suffix` begins with `_`.
    fn name(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.prefix)
    }

    fn get(&mut self, suffix: &str) -> Option<Var<'a>> {
        let (name, value) = self.vars.get_key_value(&self.name(suffix))?;
        let var = var(name, value)?;
        self.note(var.name, var.value);
        Some(var)
    }

    /// Returns the variables whose names begin with the Service's prefix and `suffix`, each with the rest of its name.
    fn below(&self, suffix: &str) -> Vec<(&'a str, Var<'a>)> {
        let start = self.name(suffix);
        let range = self.vars.range::<str, _>((Included(start.as_str()), Unbounded));
        range
            .map_while(|(name, value)| Some((name.strip_prefix(&start)?, var(name, value))))
            .filter_map(|(rest, var)| Some((rest, var?)))
            .collect()
    }

    /// Records why a variable that looks like one of the Service's is not read.
    fn skip(&mut self, var: Var<'_>, reason: &str) {
        self.note(var.name, format!("skipped: {reason}"));
    }

    /// Records what was read, or why it was ignored.
    fn note(&mut self, asked: impl Into<String>, answer: impl Into<String>) {
        self.evidence.push(Evidence::new(asked, answer));
    }

    pub(super) fn into_evidence(self) -> Vec<Evidence> {
        self.evidence
    }
}

/// Where the variables say that a target is.
#[derive(Debug)]
pub(super) enum Place {
    Endpoint {
        endpoint: Endpoint,
        author: Author,
        /// The variable with its value, for errors.
        variable: String,
    },
    /// The host in `<SERVICE>_SERVICE_HOST`, with the port of the target.
    Host {
        target: Target,
        /// The variable with its value, for errors.
        variable: String,
    },
}

/// A variable with a value.
#[derive(Clone, Copy, Debug)]
struct Var<'a> {
    name: &'a str,
    /// The value without surrounding whitespace; not empty.
    value: &'a str,
}

impl Var<'_> {
    /// Returns an error that names the variable, its value, the `rule` it breaks and the `remedy`.
    fn malformed(self, rule: impl fmt::Display, remedy: impl fmt::Display) -> Error {
        Error::config(format!("`{}` is `{}`: {rule}; {remedy}", self.name, self.value.escape_debug()))
    }

    /// Returns an error that says that two variables have conflicting values.
    fn contradicts(self, other: Self) -> Error {
        let rule = format!("contradicts `{}`, which is `{}`", other.name, other.value.escape_debug());
        self.malformed(rule, "set both to the same value, or unset one")
    }

    fn port(self) -> Result<NonZeroU16, Error> {
        port(self.value).ok_or_else(|| {
            self.malformed("must be a port number from 1 to 65535", "set a port number, or unset the variable")
        })
    }

    fn address(self) -> Result<Address, Error> {
        address(self.value).ok_or_else(|| {
            self.malformed(
                "must be an IP address or `localhost`",
                "set an address such as `127.0.0.1`, or unset the variable",
            )
        })
    }

    /// Parses an IP address, `localhost`, or the name of a host; none of them with a port.
    fn host(self) -> Result<Address, Error> {
        address(self.value).or_else(|| host_name(self.value)).ok_or_else(|| {
            self.malformed(
                "must be an IP address or the name of a host, without a scheme and a port",
                "set an address such as `127.0.0.1` or a name such as `db.example.com`, or unset the variable",
            )
        })
    }

    fn is_url(self) -> bool {
        self.value.contains("://")
    }

    /// Parses `<protocol>://<host>:<port>`; an IPv6 host is in brackets.
    fn url(self) -> Result<(Protocol, Address, NonZeroU16), Error> {
        let parts = || {
            let (protocol, rest) = self.value.split_once("://")?;
            let protocol = protocol_named(protocol)?;
            let (host, number) = rest.rsplit_once(':')?;
            if host.contains(':') && !host.starts_with('[') {
                return None;
            }
            Some((protocol, address(host)?, port(number)?))
        };
        parts().ok_or_else(|| {
            self.malformed(
                "must be a Docker link, `<protocol>://<address>:<port>` with tcp, udp or sctp",
                "write for example `tcp://10.0.0.11:80` or `tcp://[fd00::11]:80`, or unset the variable",
            )
        })
    }
}

/// The address of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    Ip(IpAddr),
    Localhost,
    /// The name of a host, as a target writes it.
    Name(Box<str>),
}

/// Parses an IP address, with optional brackets around IPv6, or `localhost`.
fn address(text: &str) -> Option<Address> {
    if text.eq_ignore_ascii_case("localhost") {
        return Some(Address::Localhost);
    }
    let ip = match text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => IpAddr::V6(inner.parse().ok()?),
        None => text.parse().ok()?,
    };
    Some(Address::Ip(ip))
}

/// Parses the name of a host as a target does, which tells a name from a mistyped address. A target with a scheme, a
/// port or SRV labels says more than where the Service is.
fn host_name(text: &str) -> Option<Address> {
    let target = Target::new(text).ok()?;
    if target.scheme().is_some() || *target.port() != Port::Default(None) {
        return None;
    }
    Some(match target.host() {
        Host::Ip(ip) => Address::Ip(*ip),
        Host::Localhost => Address::Localhost,
        host @ Host::Name { .. } => Address::Name(host.to_string().into()),
    })
}

/// Parses a decimal number from 1 to 65535, without a sign.
fn port(text: &str) -> Option<NonZeroU16> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Returns the protocol with this name, in any case.
fn protocol_named(name: &str) -> Option<Protocol> {
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
        .into_iter()
        .find(|protocol| protocol.as_str().eq_ignore_ascii_case(name))
}

/// Returns a name as it appears in the name of a variable.
fn part(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

fn var<'a>(name: &'a str, value: &'a str) -> Option<Var<'a>> {
    let value = value.trim();
    (!value.is_empty()).then_some(Var { name, value })
}
