//! What is declared, and the answer to a question about it. Pure: no sockets, clocks or entropy.
//!
//! Source of the rules: the Kubernetes DNS specification 1.1.0 (kubernetes/dns `docs/specification.md`)
//! and CoreDNS (`plugin/kubernetes/{handler,kubernetes,parse,reverse}.go`, `plugin/backend_lookup.go`).

mod cluster;
mod external;
mod find;
mod glue;
mod order;
mod pod;
mod pod_records;
mod record;
mod request;
mod reverse;
mod service;
mod srv;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use self::{external::External, record::Record};
pub use self::{glue::Glue, pod::Pod, pod_records::PodRecords, service::Service};
pub(crate) use self::{
    order::Order,
    record::{Answer, Data, Rcode, Record as Rr},
    service::Port,
};
use crate::{
    name::{DnsName, is_within, normalize},
    question::QType,
};

/// CoreDNS `defaultTTL`, in seconds.
pub(crate) const DEFAULT_TTL: u32 = 5;

#[derive(Debug)]
pub(crate) struct Zone {
    /// Normalized: `cluster.local.`.
    domain: String,
    /// Seconds, of every record without a TTL of its own.
    pub(crate) ttl: u32,
    serial: u32,
    pub(crate) synced: bool,
    pub(crate) glue: Glue,
    pub(crate) pod_records: PodRecords,
    /// The server's own address, for `ns.dns.<domain>`.
    pub(crate) server: IpAddr,
    namespaces: BTreeSet<String>,
    services: BTreeMap<(String, String), Service>,
    pub(crate) external: External,
}

impl Zone {
    pub(crate) fn new(domain: &DnsName) -> Self {
        Self {
            domain: domain.key(),
            ttl: DEFAULT_TTL,
            serial: 1,
            synced: true,
            glue: Glue::Full,
            pod_records: PodRecords::Disabled,
            server: Ipv4Addr::LOCALHOST.into(),
            namespaces: BTreeSet::new(),
            services: BTreeMap::new(),
            external: External::default(),
        }
    }

    /// The answer to one question; `name` in the case it was asked in.
    pub(crate) fn answer(&self, name: &str, qtype: QType) -> Answer {
        // AXFR and IXFR by plain query (RFC 5936, RFC 1995).
        if matches!(qtype, QType::Other(251 | 252)) {
            return Answer::code(Rcode::Refused);
        }
        let key = normalize(name);
        let mut answer = if is_within(&key, &self.domain) {
            self.cluster_answer(name, &key, qtype)
        } else if reverse::zone_of(&key).is_some() {
            self.reverse_answer(name, &key, qtype)
        } else {
            self.external_answer(name, qtype)
        };
        if qtype == QType::SRV {
            self.glue.apply(&mut answer, self.ttl);
        }
        answer
    }

    /// NXDOMAIN or NODATA as the server of `name` would say it, whatever is declared.
    pub(crate) fn negative(&self, name: &str, rcode: Rcode) -> Answer {
        let key = normalize(name);
        if is_within(&key, &self.domain) {
            Answer::negative(rcode, self.soa(self.domain_in(name)))
        } else if let Some(zone) = reverse::zone_of(&key) {
            Answer::negative(rcode, self.soa(tail(name, zone.len())))
        } else {
            Answer { authoritative: false, ..Answer::negative(rcode, self.root_soa()) }
        }
    }

    /// The SOA that CoreDNS makes up for a zone. Minimum is the zone's TTL, and so is its own TTL up to 5 minutes.
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

    /// The cluster domain in the case the question has it in.
    fn domain_in<'a>(&self, name: &'a str) -> &'a str {
        tail(name, self.domain.len())
    }
}

/// Seconds; CoreDNS `plugin.SOA`.
const MAX_SOA_TTL: u32 = 300;

/// The last octets of a name, in the case that it was asked in.
fn tail(name: &str, octets: usize) -> &str {
    name.len().checked_sub(octets).and_then(|start| name.get(start..)).unwrap_or(name)
}

/// What a test declares and takes back.
impl Zone {
    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    pub(crate) fn apply(&mut self, service: Service) {
        self.touch();
        self.namespaces.insert(service.namespace.clone());
        let key = (service.namespace.clone(), service.name.clone());
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

    /// Services of one namespace, by name.
    pub(crate) fn services_in(&self, namespace: &str) -> impl Iterator<Item = &Service> {
        let namespace = namespace.to_ascii_lowercase();
        self.services.iter().filter(move |((of, _), _)| *of == namespace).map(|(_, service)| service)
    }

    fn touch(&mut self) {
        self.serial = self.serial.wrapping_add(1);
    }
}

/// Pods of a declared Service, changed in place.
impl Service {
    pub(crate) fn add_pod(&mut self, pod: Pod) {
        self.put_pod(pod);
    }

    pub(crate) fn remove_pod(&mut self, ip: IpAddr) -> bool {
        let before = self.pods.len();
        self.pods.retain(|pod| pod.ip() != ip);
        self.pods.len() < before
    }

    pub(crate) fn set_ready(&mut self, ip: IpAddr, ready: bool) -> bool {
        match self.pods.iter_mut().find(|pod| pod.ip() == ip) {
            Some(pod) => {
                pod.set_ready(ready);
                true
            }
            None => false,
        }
    }
}

fn service_key(namespace: &str, name: &str) -> (String, String) {
    (namespace.to_ascii_lowercase(), name.to_ascii_lowercase())
}
