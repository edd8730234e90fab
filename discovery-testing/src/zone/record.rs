use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::question::QType;

/// One resource record of class IN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) owner: String,
    /// Seconds.
    pub(crate) ttl: u32,
    pub(crate) data: Data,
}

impl Record {
    pub(crate) fn new(owner: impl Into<String>, ttl: u32, data: Data) -> Self {
        let owner = owner.into();
        Self { owner, ttl, data }
    }
}

/// The content of a record. Names are absolute, in the case they were declared in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Srv { priority: u16, weight: u16, port: u16, target: String },
    Txt(String),
    Ptr(String),
    Cname(String),
    Ns(String),
    Soa { mname: String, rname: String, serial: u32, minimum: u32 },
}

impl Data {
    pub(crate) fn qtype(&self) -> QType {
        match self {
            Self::A(_) => QType::A,
            Self::Aaaa(_) => QType::AAAA,
            Self::Srv { .. } => QType::SRV,
            Self::Txt(_) => QType::TXT,
            Self::Ptr(_) => QType::PTR,
            Self::Cname(_) => QType::CNAME,
            Self::Ns(_) => QType::NS,
            Self::Soa { .. } => QType::SOA,
        }
    }

    pub(crate) fn is_address(&self) -> bool {
        matches!(self, Self::A(_) | Self::Aaaa(_))
    }
}

impl From<IpAddr> for Data {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::A(ip),
            IpAddr::V6(ip) => Self::Aaaa(ip),
        }
    }
}

/// The response codes this server sends (RFC 1035 section 4.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rcode {
    NoError,
    FormErr,
    ServFail,
    NxDomain,
    NotImp,
    Refused,
}

/// A whole answer, still without id, flags of the request, and size limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) rcode: Rcode,
    pub(crate) authoritative: bool,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
}

impl Answer {
    pub(crate) fn of(answers: Vec<Record>) -> Self {
        Self { rcode: Rcode::NoError, authoritative: true, answers, authorities: Vec::new(), additionals: Vec::new() }
    }

    /// Nothing but a code.
    pub(crate) fn code(rcode: Rcode) -> Self {
        Self { rcode, authoritative: false, ..Self::of(Vec::new()) }
    }

    /// NXDOMAIN or NODATA: a code and the SOA that says for how long it holds.
    pub(crate) fn negative(rcode: Rcode, soa: Record) -> Self {
        Self { rcode, authorities: vec![soa], ..Self::of(Vec::new()) }
    }

    pub(crate) fn sections_mut(&mut self) -> impl Iterator<Item = &mut Record> {
        self.answers.iter_mut().chain(&mut self.authorities).chain(&mut self.additionals)
    }
}
