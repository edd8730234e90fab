//! DNS messages in our own words: only what a lookup needs.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// A question: an absolute name, lower case, without the final dot; and a type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Query {
    pub(crate) name: Arc<str>,
    pub(crate) rtype: Rtype,
}

impl Query {
    pub(crate) fn new(name: impl Into<Arc<str>>, rtype: Rtype) -> Self {
        Self { name: name.into(), rtype }
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.", self.rtype, self.name)
    }
}

/// The types that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rtype {
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

/// One record; names are lower case without the final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) name: Arc<str>,
    /// Seconds.
    pub(crate) ttl: u32,
    pub(crate) data: Data,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Cname(Arc<str>),
    Srv(Srv),
    Txt(Arc<str>),
    /// The MINIMUM field: how long a negative answer holds, in seconds (RFC 2308).
    Soa(u32),
    Other,
}

impl Data {
    pub(crate) fn is(&self, rtype: Rtype) -> bool {
        matches!(
            (self, rtype),
            (Self::A(_), Rtype::A)
                | (Self::Aaaa(_), Rtype::Aaaa)
                | (Self::Srv(_), Rtype::Srv)
                | (Self::Txt(_), Rtype::Txt)
        )
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::A(ip) => Some(IpAddr::V4(*ip)),
            Self::Aaaa(ip) => Some(IpAddr::V6(*ip)),
            _ => None,
        }
    }
}

/// The data of an SRV record (RFC 2782). An empty target is the root: "decidedly not available".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Srv {
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) port: u16,
    pub(crate) target: Arc<str>,
}

/// A response. A truncated one never gets this far, but for SRV records that did not fit into a TCP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) rcode: Rcode,
    pub(crate) answers: Vec<Record>,
    pub(crate) authorities: Vec<Record>,
    pub(crate) additionals: Vec<Record>,
    /// Truncated at the 64 KiB of a TCP message: whoever reads it must find out what is missing.
    pub(crate) cut: bool,
}

impl Response {
    /// Whether the server speaks for the cluster's zone of the asked name: its SOA is that of the domain right
    /// above `svc`. A resolver of the outside denies such a name in the name of the root, or of a domain of its own.
    pub(crate) fn is_of_clusters_zone(&self, query: &Query) -> bool {
        self.authorities.iter().filter(|record| matches!(record.data, Data::Soa(_))).any(|soa| {
            query.name.strip_suffix(&*soa.name).is_some_and(|within| !soa.name.is_empty() && within.ends_with(".svc."))
        })
    }
}

/// The response codes that make a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rcode {
    NoError,
    NxDomain,
    /// SERVFAIL, REFUSED and every other one: nothing was learned.
    Failure(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_soa_right_above_svc_is_that_of_the_cluster() {
        let said = |name: &str, soa: &str| {
            let soa = Record { name: soa.into(), ttl: 5, data: Data::Soa(5) };
            let authorities = vec![soa];
            let response = Response {
                rcode: Rcode::NxDomain,
                answers: Vec::new(),
                authorities,
                additionals: Vec::new(),
                cut: false,
            };
            response.is_of_clusters_zone(&Query::new(name, Rtype::A))
        };
        assert!(said("orders.shop.svc.cluster.local", "cluster.local"));
        assert!(said("_http._tcp.orders.shop.svc.k8s.example.com", "k8s.example.com"));
        for (name, soa) in [
            ("orders.shop.svc.cluster.local", ""),
            ("orders.shop.svc.cluster.local", "local"),
            ("orders.shop.svc.k8s.example.com", "example.com"),
            ("orders.shop.svc.cluster.local", "shop.svc.cluster.local"),
            ("db.example.com", "example.com"),
            ("db.example.com", ""),
        ] {
            assert!(!said(name, soa), "{name} {soa:?}");
        }
    }
}
