//! The declared names, and the answer to a query about them. Pure: no sockets, clocks or entropy.
//!
//! The rules come from the Kubernetes DNS specification 1.1.0 (kubernetes/dns `docs/specification.md`) and from CoreDNS
//! (`plugin/kubernetes/{handler,kubernetes,parse,reverse}.go`, `plugin/backend_lookup.go`).
//!
//! | module | content |
//! |---|---|
//! | `service`, `pod` | Services and their pods, as declared by a test |
//! | `names` | what a name of the cluster domain refers to |
//! | `cluster`, `reverse`, `external` | the answers for the cluster domain, for PTR, and for all other names |
//! | `apex`, `inside` | SOA and NS of a zone; declared names inside the cluster domain that are not Services |
//! | `glue`, `order` | the Additional section, and the order of addresses |
//! | `wire` | records to hickory-proto's types |

mod apex;
mod cluster;
mod external;
mod glue;
mod inside;
mod names;
mod order;
mod pod;
mod reverse;
mod service;
#[cfg(test)]
mod tests;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use hickory_proto::op::ResponseCode;

use self::external::External;
pub(crate) use self::order::Order;
pub use self::{glue::Glue, names::PodRecords, pod::Pod, service::Service};
use crate::{
    name::{DnsName, is_within, normalize},
    query::QType,
};

/// CoreDNS `defaultTTL`, in seconds.
pub(crate) const DEFAULT_TTL: u32 = 5;

/// CoreDNS `plugin.SOA`, in seconds.
const MAX_SOA_TTL: u32 = 300;

/// All declared names.
#[derive(Debug)]
pub(crate) struct Zone {
    /// Normalized: `cluster.local.`.
    domain: String,
    /// The TTL of every record without one of its own, in seconds.
    pub(crate) ttl: u32,
    serial: u32,
    pub(crate) synced: bool,
    pub(crate) glue: Glue,
    pod_records: PodRecords,
    /// The server's own address, for `ns.dns.<domain>`.
    server: IpAddr,
    /// Namespace and name of the Service in front of the server.
    front: Option<(String, String)>,
    namespaces: BTreeSet<String>,
    services: BTreeMap<(String, String), Service>,
    pub(crate) external: External,
}

/// Queries.
impl Zone {
    pub(crate) fn new(domain: &DnsName, server: IpAddr, ttl: u32, pod_records: PodRecords) -> Self {
        Self {
            domain: domain.key(),
            ttl,
            serial: 1,
            synced: true,
            glue: Glue::Full,
            pod_records,
            server,
            front: None,
            namespaces: BTreeSet::new(),
            services: BTreeMap::new(),
            external: External::default(),
        }
    }

    /// Answers a query; `name` has the case of the query.
    pub(crate) fn answer(&self, name: &str, qtype: QType) -> Answer {
        // AXFR and IXFR as plain queries (RFC 5936, RFC 1995).
        if matches!(qtype, QType::Other(251 | 252)) {
            return Answer::from_code(ResponseCode::Refused);
        }
        let key = normalize(name);
        let mut answer = if is_within(&key, &self.domain) {
            let declared = self.inside_answer(name, &key, qtype);
            declared.unwrap_or_else(|| self.cluster_answer(name, &key, qtype))
        } else if reverse::zone_of(&key).is_some() {
            let declared = self.inside_answer(name, &key, qtype);
            declared.unwrap_or_else(|| self.reverse_answer(name, &key, qtype))
        } else {
            self.external_answer(name, qtype)
        };
        if qtype == QType::SRV {
            self.glue.apply(&mut answer, self.ttl);
        }
        answer
    }

    /// Returns NXDOMAIN, NODATA or another code as the server of `name` would send it, regardless of the declarations.
    pub(crate) fn negative(&self, name: &str, code: ResponseCode) -> Answer {
        let key = normalize(name);
        if is_within(&key, &self.domain) {
            Answer::negative(code, self.soa(self.domain_in(name)))
        } else if let Some(zone) = reverse::zone_of(&key) {
            Answer::negative(code, self.soa(tail(name, zone.len())))
        } else {
            Answer { authoritative: false, ..Answer::negative(code, self.root_soa()) }
        }
    }

    /// Returns the SOA that CoreDNS synthesizes for a zone. Its minimum is the TTL of the zone, and so is its own TTL,
    /// up to 5 minutes.
    fn soa(&self, zone: &str) -> Record {
        let data = Data::Soa {
            mname: format!("ns.dns.{zone}"),
            rname: format!("hostmaster.{zone}"),
            serial: self.serial,
            minimum: self.ttl,
        };
        Record::new(zone, self.ttl.min(MAX_SOA_TTL), data)
    }

    fn root_soa(&self) -> Record {
        let data = Data::Soa {
            mname: "a.root-servers.net.".to_owned(),
            rname: "nstld.verisign-grs.com.".to_owned(),
            serial: self.serial,
            minimum: self.ttl,
        };
        Record::new(".", self.ttl, data)
    }

    /// Returns the cluster domain in the case of the query.
    fn domain_in<'a>(&self, name: &'a str) -> &'a str {
        tail(name, self.domain.len())
    }
}

/// Declarations of a test.
impl Zone {
    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    pub(crate) fn apply(&mut self, service: Service) {
        self.touch();
        self.namespaces.insert(service.namespace().to_owned());
        let key = (service.namespace().to_owned(), service.name().to_owned());
        self.services.insert(key, service);
    }

    pub(crate) fn remove(&mut self, namespace: &str, name: &str) -> bool {
        self.touch();
        self.services.remove(&service_key(namespace, name)).is_some()
    }

    pub(crate) fn add_namespace(&mut self, namespace: String) {
        self.touch();
        self.namespaces.insert(namespace);
    }

    pub(crate) fn remove_namespace(&mut self, namespace: &str) -> bool {
        self.touch();
        let namespace = namespace.to_ascii_lowercase();
        self.services.retain(|(of, _), _| *of != namespace);
        self.namespaces.remove(&namespace)
    }

    pub(crate) fn service_mut(&mut self, namespace: &str, name: &str) -> Option<&mut Service> {
        self.touch();
        self.services.get_mut(&service_key(namespace, name))
    }

    /// Returns the Services of one namespace, by name.
    pub(crate) fn services_in(&self, namespace: &str) -> impl Iterator<Item = &Service> {
        let namespace = namespace.to_ascii_lowercase();
        self.services.iter().filter(move |((of, _), _)| *of == namespace).map(|(_, service)| service)
    }

    fn touch(&mut self) {
        self.serial = self.serial.wrapping_add(1);
    }
}

fn service_key(namespace: &str, name: &str) -> (String, String) {
    (namespace.to_ascii_lowercase(), name.to_ascii_lowercase())
}

/// Returns the last octets of a name, in the case of the query.
fn tail(name: &str, octets: usize) -> &str {
    name.len().checked_sub(octets).and_then(|start| name.get(start..)).unwrap_or(name)
}

/// An answer, without the id and the flags of the request, and without a size limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    code: ResponseCode,
    authoritative: bool,
    answers: Vec<Record>,
    authorities: Vec<Record>,
    additionals: Vec<Record>,
}

impl Answer {
    /// An answer with a code and without records.
    pub(crate) fn from_code(code: ResponseCode) -> Self {
        Self { code, authoritative: false, ..Self::from_records(Vec::new()) }
    }

    fn from_records(answers: Vec<Record>) -> Self {
        let code = ResponseCode::NoError;
        Self { code, authoritative: true, answers, authorities: Vec::new(), additionals: Vec::new() }
    }

    /// NXDOMAIN, NODATA or SERVFAIL, with the SOA that limits how long it may be cached.
    fn negative(code: ResponseCode, soa: Record) -> Self {
        Self { code, authorities: vec![soa], ..Self::from_records(Vec::new()) }
    }

    /// Sets the TTL of every record, and the minimum of an SOA.
    pub(crate) fn set_ttl(&mut self, ttl: u32) {
        for record in self.answers.iter_mut().chain(&mut self.authorities).chain(&mut self.additionals) {
            record.ttl = ttl;
            if let Data::Soa { minimum, .. } = &mut record.data {
                *minimum = ttl;
            }
        }
    }
}

/// One resource record of class IN.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    owner: String,
    /// Seconds.
    ttl: u32,
    data: Data,
}

impl Record {
    fn new(owner: impl Into<String>, ttl: u32, data: Data) -> Self {
        Self { owner: owner.into(), ttl, data }
    }
}

/// The content of a record. Names are absolute, in the case of their declaration.
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
    fn qtype(&self) -> QType {
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
}

impl From<IpAddr> for Data {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::A(ip),
            IpAddr::V6(ip) => Self::Aaaa(ip),
        }
    }
}
