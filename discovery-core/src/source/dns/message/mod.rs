//! DNS messages: only what a lookup needs of them. Pure, except that [`wire`] converts from and to hickory's types.

mod read;
#[cfg(test)]
pub(super) mod tests;
mod wire;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

pub(super) use self::{
    read::{Standing, Use},
    wire::{Packet, UDP_PAYLOAD, read},
};
use super::answer::Answer;
use crate::{Error, endpoint::SpecialAddress};

/// A query for one type of record of one name. The name is absolute, in lower case, and without the final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    name: Arc<str>,
    rtype: Rtype,
    /// The targets of the CNAMEs that led to this name, in their order; the last one is the name.
    aliases: Vec<Arc<str>>,
    /// The shortest TTL of those CNAMEs.
    max_ttl: Duration,
}

impl Query {
    pub(super) fn new(name: impl Into<Arc<str>>, rtype: Rtype) -> Self {
        Self { name: name.into(), rtype, aliases: Vec::new(), max_ttl: Duration::MAX }
    }
}

impl Query {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the name may be one of a cluster: of a Service or a pod, or the cluster's own record. A node's resolver
    /// knows none of them. All other names are those of hosts.
    pub(super) fn is_for_cluster(&self) -> bool {
        self.rtype == Rtype::Txt || self.name.split('.').any(|label| label == "svc" || label == "pod")
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.", self.rtype, self.name)
    }
}

/// The record types that the resolver queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rtype {
    A,
    Aaaa,
    Srv,
    Txt,
}

impl fmt::Display for Rtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Srv => "SRV",
            Self::Txt => "TXT",
        })
    }
}

/// The response of one nameserver. A truncated response is dropped earlier, unless it has SRV records and came over
/// TCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    rcode: Rcode,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additionals: Vec<Record>,
    /// The TC bit.
    truncated: bool,
    /// Whether the nameserver only names others to ask (RFC 2308 section 2.2): NS records, no SOA, not authoritative.
    referral: bool,
    /// Whether the response has EDNS, so that its nameserver understands it.
    edns: bool,
}

impl Response {
    /// Whether the response says nothing about the name.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self.rcode, Rcode::Failure(_))
    }

    /// Whether the nameserver rejects EDNS: FORMERR or NOTIMP (RFC 6891 section 7).
    pub(super) fn rejects_edns(&self) -> bool {
        matches!(&self.rcode, Rcode::Failure(code) if *code == FORMERR || *code == NOTIMP)
    }

    /// Whether the failure may be one of EDNS. Some nameservers answer SERVFAIL; one that has EDNS in its response has
    /// understood the query.
    pub(super) fn may_lack_edns(&self) -> bool {
        let servfail = matches!(&self.rcode, Rcode::Failure(code) if *code == SERVFAIL);
        self.rejects_edns() || (servfail && !self.edns)
    }

    /// Whether truncation makes the response unusable. SRV records are usable without the rest: the addresses of their
    /// targets can be queried separately.
    pub(super) fn is_unusable(&self) -> bool {
        self.truncated && !self.answers.iter().any(|record| record.data.is(Rtype::Srv))
    }
}

/// What one response contributes to the answer to a query.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Resolution {
    Answer(Answer<Records>),
    /// The name is an alias, and the response does not say what its target has: send this query next.
    Alias(Query),
    /// NODATA, although the response has records of the queried type: they belong to this other name.
    OtherName {
        owner: Arc<str>,
        ttl: Duration,
    },
}

/// The response codes, as far as the resolver distinguishes them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Rcode {
    NoError,
    NxDomain,
    /// SERVFAIL, REFUSED and all others: the response is not an answer.
    Failure(String),
}

/// The codes that may be about EDNS, as hickory names them.
const FORMERR: &str = "Form Error";
const NOTIMP: &str = "Not Implemented";
const SERVFAIL: &str = "Server Failure";

/// The records of the queried type, and the Additional section beside them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Records {
    records: Vec<Record>,
    /// The targets of the CNAMEs between the queried name and the records, in their order.
    aliases: Vec<Arc<str>>,
    additionals: Vec<Record>,
    truncated: bool,
}

impl Records {
    /// The targets of the CNAMEs between the queried name and the records, in their order.
    pub(super) fn aliases(&self) -> &[Arc<str>] {
        &self.aliases
    }

    /// The addresses that requests can be sent to. Leaves out `0.0.0.0` and `::`, which blocklists return for "no
    /// address" and which would lead to this machine, and multicast groups.
    pub(super) fn ips(&self) -> impl Iterator<Item = IpAddr> {
        self.records.iter().filter_map(Record::ip)
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &Srv> {
        self.records.iter().filter_map(|record| match &record.data {
            Data::Srv(srv) => Some(srv),
            _ => None,
        })
    }

    /// Whether a TXT record is the version of a DNS schema, such as `1.1.0`.
    pub(super) fn has_version(&self) -> bool {
        self.records.iter().any(|record| matches!(&record.data, Data::Txt(text) if read::is_version(text)))
    }

    /// The addresses in the Additional section, each with its name and TTL.
    pub(super) fn glue(&self) -> impl Iterator<Item = (&Arc<str>, IpAddr, Duration)> {
        self.additionals.iter().filter_map(|record| Some((&record.name, record.ip()?, seconds(record.ttl))))
    }

    /// Whether records are missing because they do not fit into the 64 KiB of a TCP message.
    pub(super) fn is_truncated(&self) -> bool {
        self.truncated
    }
}

impl fmt::Display for Records {
    /// Lists the first few records: explanations are for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 4;
        for (at, record) in self.records.iter().take(SHOWN).enumerate() {
            write!(f, "{}{}", if at == 0 { "" } else { ", " }, record.data)?;
        }
        match self.records.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// One record. Names are in lower case and without the final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    name: Arc<str>,
    /// In seconds.
    ttl: u32,
    data: Data,
}

impl Record {
    fn ip(&self) -> Option<IpAddr> {
        let ip = match self.data {
            Data::A(ip) => IpAddr::V4(ip),
            Data::Aaaa(ip) => IpAddr::V6(ip),
            _ => return None,
        };
        // `::ffff:0.0.0.0` is `0.0.0.0`.
        let ip = ip.to_canonical();
        (!SpecialAddress::of(ip).is_some_and(SpecialAddress::is_unusable)).then_some(ip)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Cname(Arc<str>),
    Srv(Srv),
    Txt(Arc<str>),
    /// The MINIMUM field: how long a negative answer may be used, in seconds (RFC 2308).
    Soa(u32),
    Other,
}

impl Data {
    fn is(&self, rtype: Rtype) -> bool {
        matches!(
            (self, rtype),
            (Self::A(_), Rtype::A)
                | (Self::Aaaa(_), Rtype::Aaaa)
                | (Self::Srv(_), Rtype::Srv)
                | (Self::Txt(_), Rtype::Txt)
        )
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(ip) => address(IpAddr::from(*ip), f),
            Self::Aaaa(ip) => address(IpAddr::from(*ip), f),
            Self::Srv(srv) => write!(f, "{}:{}", srv.target, srv.port),
            Self::Txt(text) => write!(f, "{text:?}"),
            Self::Cname(name) => f.write_str(name),
            Self::Soa(_) | Self::Other => f.write_str("?"),
        }
    }
}

/// An address, with a remark if no endpoint may have it.
fn address(ip: IpAddr, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    fmt::Display::fmt(&ip, f)?;
    match SpecialAddress::of(ip).filter(|special| special.is_unusable()) {
        Some(special) => write!(f, " (refused: {special})"),
        None => Ok(()),
    }
}

/// The data of an SRV record (RFC 2782). An empty target is the root: the service is not available.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Srv {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    pub(super) target: Arc<str>,
}

fn seconds(ttl: u32) -> Duration {
    Duration::from_secs(ttl.into())
}
