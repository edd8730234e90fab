//! The Services behind a name of the cluster: CoreDNS `findServices` and `findPods`.

use std::net::IpAddr;

use super::{
    PodRecords, Zone,
    request::{Branch, Object, Part, Request, parse},
    service::{Kind, Port, Service},
};
use crate::name::DnsName;

/// One address, or one alias, that a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The name that SRV points at, without the cluster domain: `web-0.nginx.shop.svc`.
    pub(super) target: String,
    pub(super) host: Host,
    /// None where no port is declared: such an entry has addresses and no SRV.
    pub(super) port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Ip(IpAddr),
    Alias(DnsName),
}

impl Zone {
    /// What a normalized name below the cluster domain leads to.
    /// `None` is NXDOMAIN; an empty list is a name that exists and holds nothing.
    pub(super) fn find(&self, key: &str) -> Option<Vec<Found>> {
        let base = key.strip_suffix(self.domain.as_str()).unwrap_or(key);
        if self.is_own_name(key) {
            return Some(vec![Found { target: "ns.dns".to_owned(), host: Host::Ip(self.server), port: None }]);
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

    /// The name that the zone's NS records point at.
    pub(super) fn is_own_name(&self, key: &str) -> bool {
        key.strip_suffix(self.domain.as_str()) == Some("ns.dns.")
    }

    fn find_service(&self, request: &Request<'_>) -> Option<Vec<Found>> {
        let Some(object) = &request.object else {
            return Some(Vec::new());
        };
        let key = (request.namespace.to_owned(), object.name.to_owned());
        let service = self.services.get(&key)?;
        let found = match (&service.kind, &object.part) {
            // CoreDNS `msg.Service.HostType`: neither an alias nor an address.
            (Kind::ExternalName(target), _) if target.looks_like_ip() => return None,
            (Kind::ExternalName(target), Part::Whole) => {
                vec![Found { target: service.dns_name(), host: Host::Alias(target.clone()), port: None }]
            }
            (Kind::ExternalName(_), _) => return None,
            (Kind::ClusterIp(ips), Part::Whole | Part::Port { .. }) => {
                return service.virtual_addresses(ips, &object.part);
            }
            (Kind::ClusterIp(_) | Kind::Headless, part) => service.pod_addresses(part),
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
            || self.services_in(request.namespace).flat_map(|service| &service.pods).any(|pod| pod.ips().contains(&ip));
        known.then(|| {
            // No port is known, and CoreDNS says 0.
            vec![Found { target: format!("{name}.{}.pod", request.namespace), host: Host::Ip(ip), port: Some(0) }]
        })
    }
}

impl Service {
    /// Without the cluster domain: `orders.shop.svc`.
    pub(super) fn dns_name(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }

    /// NXDOMAIN if no port matches, even for an address question; a Service of no ports matches as a whole.
    fn virtual_addresses(&self, ips: &[IpAddr], part: &Part<'_>) -> Option<Vec<Found>> {
        let ports = self.matching_ports(part);
        if ports.is_empty() {
            return None;
        }
        let found = ports
            .iter()
            .flat_map(|port| ips.iter().map(|ip| Found { target: self.dns_name(), host: Host::Ip(*ip), port: *port }));
        Some(found.collect())
    }

    /// Every showable address that has the label, once per matching port.
    fn pod_addresses(&self, part: &Part<'_>) -> Vec<Found> {
        let ports = self.matching_ports(part);
        self.endpoints()
            .filter(|(label, _)| !matches!(part, Part::Endpoint(wanted) if wanted != label))
            .flat_map(|(label, ip)| {
                let target = format!("{label}.{}", self.dns_name());
                ports.iter().map(move |port| Found { target: target.clone(), host: Host::Ip(ip), port: *port })
            })
            .collect()
    }

    /// CoreDNS `matchPortAndProtocol`, with its stand-in (port -1) for "no ports declared".
    fn matching_ports(&self, part: &Part<'_>) -> Vec<Option<u16>> {
        let wanted = match *part {
            Part::Port { name, protocol } => Some((name, protocol)),
            Part::Whole | Part::Endpoint(_) => None,
        };
        if self.ports.is_empty() && wanted.is_none() {
            return vec![None];
        }
        let matches = |port: &&Port| {
            wanted.is_none_or(|(name, protocol)| {
                (name.is_empty() || name == port.name) && (protocol.is_empty() || protocol == port.protocol)
            })
        };
        let ports = self.ports.iter().filter(matches);
        ports.map(|port| Some(port.number)).collect()
    }
}

/// `10-1-2-3` is 10.1.2.3, anything else is IPv6 (CoreDNS `findPods`).
fn undashed(label: &str) -> String {
    if label.matches('-').count() == 3 && !label.contains("--") {
        label.replace('-', ".")
    } else {
        label.replace('-', ":")
    }
}
