//! What a name of the cluster domain refers to: CoreDNS `findServices`, `findPods` and `plugin/kubernetes/parse.go`.

use std::net::IpAddr;

use super::{
    Zone,
    service::{Kind, Service},
};
use crate::name::DnsName;

/// How names such as `10-1-2-3.<namespace>.pod.<domain>` are answered (CoreDNS option `pods`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PodRecords {
    /// NXDOMAIN: the default of CoreDNS.
    #[default]
    Disabled,
    /// Echoes any address, whether such a pod exists or not: the setting of kubeadm.
    Insecure,
    /// Answers for addresses of declared pods of the namespace only.
    Verified,
}

/// One address or alias that a name refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Address {
        /// The target of SRV records, without the cluster domain: `web-0.nginx.shop.svc`.
        target: String,
        ip: IpAddr,
        /// `None` if no port is declared: such a name has addresses, but no SRV records.
        port: Option<u16>,
    },
    Alias(DnsName),
}

impl Zone {
    /// Finds what a normalized name of the cluster domain refers to. `None` is NXDOMAIN; an empty list is a name that
    /// exists without records.
    pub(super) fn find(&self, key: &str) -> Option<Vec<Found>> {
        let base = key.strip_suffix(self.domain.as_str()).unwrap_or(key);
        if self.is_own_name(key) {
            let own = |ip| Found::Address { target: "ns.dns".to_owned(), ip, port: None };
            return Some(self.own_addresses().map(own).collect());
        }
        let Some(request) = parse(base).ok()? else {
            return Some(Vec::new());
        };
        if !self.namespaces.contains(request.namespace) {
            return None;
        }
        match request.branch {
            Branch::Svc => self.find_service(&request),
            Branch::Pod => self.find_pod(&request),
        }
    }

    /// Returns whether this is the name in the zone's NS records.
    pub(super) fn is_own_name(&self, key: &str) -> bool {
        key.strip_suffix(self.domain.as_str()) == Some("ns.dns.")
    }

    fn find_service(&self, request: &Request<'_>) -> Option<Vec<Found>> {
        let Some(object) = &request.object else {
            return Some(Vec::new());
        };
        let key = (request.namespace.to_owned(), object.name.to_owned());
        let service = self.services.get(&key)?;
        let found = match (service.kind(), &object.part) {
            // CoreDNS `msg.Service.HostType`: neither an alias nor an address.
            (Kind::ExternalName(target), _) if target.looks_like_ip() => return None,
            (Kind::ExternalName(target), Part::Whole) => vec![Found::Alias(target.clone())],
            (Kind::ExternalName(_), _) => return None,
            (Kind::ClusterIp(ips), Part::Whole | Part::Port { .. }) => {
                return virtual_addresses(service, ips, &object.part);
            }
            (Kind::ClusterIp(_) | Kind::Headless, part) => pod_addresses(service, part),
        };
        (!found.is_empty()).then_some(found)
    }

    fn find_pod(&self, request: &Request<'_>) -> Option<Vec<Found>> {
        if self.pod_records == PodRecords::Disabled {
            return None;
        }
        let Some(Object { name, .. }) = request.object else {
            return Some(Vec::new());
        };
        let ip: IpAddr = undashed(name).parse().ok()?;
        let known = self.pod_records == PodRecords::Insecure
            || self.services_in(request.namespace).any(|service| service.has_pod(ip));
        known.then(|| {
            // The port is unknown, and CoreDNS sends 0.
            vec![Found::Address { target: format!("{name}.{}.pod", request.namespace), ip, port: Some(0) }]
        })
    }
}

/// Returns every virtual address once per matching port. NXDOMAIN if no port matches, even for A and AAAA; a Service
/// without ports matches as a whole.
fn virtual_addresses(service: &Service, ips: &[IpAddr], part: &Part<'_>) -> Option<Vec<Found>> {
    let ports = matching_ports(service.ports(), part);
    if ports.is_empty() {
        return None;
    }
    let address = |ip: &IpAddr, port| Found::Address { target: service.dns_name(), ip: *ip, port };
    Some(ports.into_iter().flat_map(|port| ips.iter().map(move |ip| address(ip, port))).collect())
}

/// Returns every published address with the label, once per matching port of its pod.
fn pod_addresses(service: &Service, part: &Part<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for pod in service.published() {
        let ports = matching_ports(service.ports_of(pod), part);
        for (label, ip) in pod.addresses() {
            if matches!(part, Part::Endpoint(wanted) if *wanted != label) {
                continue;
            }
            let target = format!("{label}.{}", service.dns_name());
            found.extend(ports.iter().map(|port| Found::Address { target: target.clone(), ip, port: *port }));
        }
    }
    found
}

/// CoreDNS `matchPortAndProtocol`. `None` stands for "no ports declared", where CoreDNS uses port -1.
fn matching_ports<'a>(ports: impl Iterator<Item = (&'a str, &'a str, u16)>, part: &Part<'_>) -> Vec<Option<u16>> {
    let wanted = match *part {
        Part::Port { name, protocol } => Some((name, protocol)),
        Part::Whole | Part::Endpoint(_) => None,
    };
    let mut ports = ports.peekable();
    if ports.peek().is_none() && wanted.is_none() {
        return vec![None];
    }
    let matches = |port: &(&str, &str, u16)| {
        wanted.is_none_or(|(name, protocol)| {
            (name.is_empty() || name == port.0) && (protocol.is_empty() || protocol == port.1)
        })
    };
    ports.filter(matches).map(|(_, _, number)| Some(number)).collect()
}

/// `10-1-2-3` is 10.1.2.3, and any other label is an IPv6 address (CoreDNS `findPods`).
fn undashed(label: &str) -> String {
    if label.matches('-').count() == 3 && !label.contains("--") {
        label.replace('-', ".")
    } else {
        label.replace('-', ":")
    }
}

/// The name cannot exist, whatever is declared: an unknown top label, or too many labels.
struct Impossible;

/// A parsed name.
struct Request<'a> {
    branch: Branch,
    namespace: &'a str,
    object: Option<Object<'a>>,
}

#[derive(Clone, Copy)]
enum Branch {
    Svc,
    Pod,
}

struct Object<'a> {
    name: &'a str,
    part: Part<'a>,
}

/// The labels in front of the Service.
enum Part<'a> {
    Whole,
    Endpoint(&'a str),
    Port { name: &'a str, protocol: &'a str },
}

/// Parses a normalized name without the cluster domain: `orders.shop.svc`. `None` is a name that exists without
/// records: the apex, `svc`, `pod`.
fn parse(base: &str) -> Result<Option<Request<'_>>, Impossible> {
    let mut labels: Vec<&str> = base.split('.').filter(|label| !label.is_empty()).collect();
    let branch = match labels.pop() {
        None => return Ok(None),
        Some("svc") => Branch::Svc,
        Some("pod") => Branch::Pod,
        Some(_) => return Err(Impossible),
    };
    let Some(namespace) = labels.pop() else {
        return Ok(None);
    };
    let object = match labels.pop() {
        None => None,
        Some(name) => Some(Object { name, part: part(&labels)? }),
    };
    Ok(Some(Request { branch, namespace, object }))
}

fn part<'a>(labels: &[&'a str]) -> Result<Part<'a>, Impossible> {
    match *labels {
        [] => Ok(Part::Whole),
        [endpoint] => Ok(Part::Endpoint(endpoint)),
        // CoreDNS strips the underscores, but does not require them.
        [port, protocol] => Ok(Part::Port {
            name: port.strip_prefix('_').unwrap_or(port),
            protocol: protocol.strip_prefix('_').unwrap_or(protocol),
        }),
        _ => Err(Impossible),
    }
}
