//! One variable, and the family of one Service.

use std::{
    collections::BTreeMap,
    fmt,
    net::IpAddr,
    num::NonZeroU16,
    ops::Bound::{Included, Unbounded},
};

use crate::{Error, name::ServiceName, source::Evidence};

/// A variable that is set to something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Var<'a> {
    pub(super) name: &'a str,
    /// Without the blanks around it; not empty.
    pub(super) value: &'a str,
}

impl Var<'_> {
    pub(super) fn malformed(self, rule: impl fmt::Display, remedy: impl fmt::Display) -> Error {
        Error::config(format!("`{}` is `{}`: {rule}; {remedy}", self.name, self.value.escape_debug()))
    }

    /// The two say different things.
    pub(super) fn contradicts(self, other: Self) -> Error {
        let rule = format!("it contradicts `{}`, which is `{}`", other.name, other.value.escape_debug());
        self.malformed(rule, "set both to the same, or unset one")
    }

    pub(super) fn port(self) -> Result<NonZeroU16, Error> {
        port(self.value).ok_or_else(|| {
            self.malformed("a port is a number from 1 to 65535", "set the number of a port, or unset it")
        })
    }

    pub(super) fn address(self) -> Result<Address, Error> {
        address(self.value).ok_or_else(|| {
            self.malformed(
                "it is neither an IP address nor `localhost`",
                "set an address such as `127.0.0.1`, or unset it",
            )
        })
    }
}

/// Where a Service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Ip(IpAddr),
    Localhost,
}

/// An IP address, an IPv6 one with or without brackets, or `localhost`.
pub(super) fn address(text: &str) -> Option<Address> {
    if text.eq_ignore_ascii_case("localhost") {
        return Some(Address::Localhost);
    }
    let ip = match text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => IpAddr::V6(inner.parse().ok()?),
        None => text.parse().ok()?,
    };
    Some(Address::Ip(ip))
}

/// A decimal number from 1 to 65535, without a sign.
pub(super) fn port(text: &str) -> Option<NonZeroU16> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The variables of one Service. Whatever is read is written down as evidence.
#[derive(Debug)]
pub(super) struct Family<'a> {
    vars: &'a BTreeMap<String, String>,
    prefix: String,
    evidence: Vec<Evidence>,
}

impl<'a> Family<'a> {
    pub(super) fn new(vars: &'a BTreeMap<String, String>, service: &ServiceName) -> Self {
        Self { vars, prefix: part(service.as_str()), evidence: Vec::new() }
    }

    /// The full name of a variable; `suffix` begins with `_`.
    pub(super) fn name(&self, suffix: &str) -> String {
        format!("{}{suffix}", self.prefix)
    }

    pub(super) fn get(&mut self, suffix: &str) -> Option<Var<'a>> {
        let (name, value) = self.vars.get_key_value(&self.name(suffix))?;
        let var = var(name, value)?;
        self.note(var.name, var.value);
        Some(var)
    }

    /// The variables that begin with the Service's prefix and `suffix`, with the rest of their names.
    pub(super) fn below(&self, suffix: &str) -> Vec<(&'a str, Var<'a>)> {
        let start = self.name(suffix);
        let range = self.vars.range::<str, _>((Included(start.as_str()), Unbounded));
        range
            .map_while(|(name, value)| Some((name.strip_prefix(&start)?, var(name, value))))
            .filter_map(|(rest, var)| Some((rest, var?)))
            .collect()
    }

    /// Writes down what was read, or what became of it.
    pub(super) fn note(&mut self, asked: impl Into<String>, answer: impl Into<String>) {
        self.evidence.push(Evidence::new(asked, answer));
    }

    pub(super) fn into_evidence(self) -> Vec<Evidence> {
        self.evidence
    }
}

/// A name as a part of a variable's name.
pub(super) fn part(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

fn var<'a>(name: &'a str, value: &'a str) -> Option<Var<'a>> {
    let value = value.trim();
    (!value.is_empty()).then_some(Var { name, value })
}
