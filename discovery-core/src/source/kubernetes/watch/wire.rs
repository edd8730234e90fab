//! The objects as the API server writes them, as far as they are read: everything else is dropped while parsing.

use std::{collections::BTreeSet, sync::Arc};

use serde::Deserialize;

use super::super::model::{AddressType, Service, ServiceKind, Slice, SliceEndpoint, parse_ip};
use crate::{
    endpoint::Conditions,
    name::{Hostname, PortName, Protocol, ServiceName},
};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Meta {
    pub(super) name: String,
    pub(super) resource_version: String,
    labels: Option<Labels>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Labels {
    #[serde(rename = "kubernetes.io/service-name")]
    service: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct ListOf<T> {
    pub(super) metadata: ListMeta,
    #[serde(default = "Vec::new")]
    pub(super) items: Vec<T>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListMeta {
    pub(super) resource_version: String,
    #[serde(rename = "continue")]
    pub(super) next: String,
}

/// `discovery.k8s.io/v1` EndpointSlice. Lists may be null: Go writes an empty one so.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireSlice {
    pub(super) metadata: Meta,
    #[serde(default)]
    address_type: String,
    endpoints: Option<Vec<WireEndpoint>>,
    ports: Option<Vec<WirePort>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireEndpoint {
    addresses: Option<Vec<String>>,
    conditions: Option<WireConditions>,
    hostname: Option<String>,
    node_name: Option<String>,
    zone: Option<String>,
    target_ref: Option<TargetRef>,
    hints: Option<Hints>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct WireConditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct TargetRef {
    uid: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Hints {
    for_zones: Option<Vec<Hint>>,
    for_nodes: Option<Vec<Hint>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Hint {
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct WirePort {
    name: Option<String>,
    port: Option<i32>,
    protocol: Option<String>,
}

/// `v1` Service.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct WireService {
    pub(super) metadata: Meta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    ports: Option<Vec<WirePort>>,
    ip_families: Option<Vec<String>>,
}

/// Keeps one copy of each text that many endpoints share.
#[derive(Debug, Default)]
pub(super) struct Interner {
    texts: BTreeSet<Arc<str>>,
    lists: BTreeSet<Arc<[Arc<str>]>>,
    prune_at: usize,
}

impl WireSlice {
    /// `None` when it belongs to no Service, which is no error (contract of kube-proxy 1.0).
    pub(super) fn read(self, interner: &mut Interner) -> Option<Slice> {
        let service = ServiceName::new(&self.metadata.labels?.service).ok()?;
        let address_type = address_type(&self.address_type);
        let mut slice = Slice::new(self.metadata.name, service, address_type);
        for port in self.ports.into_iter().flatten() {
            // An absent name is not the empty one: the API server writes the empty one.
            if let (Some(name), Some(number), Some(protocol)) = (&port.name, port.number(), port.protocol())
                && let Some(name) = port_name(name)
            {
                slice = slice.with_port(name, number, protocol);
            }
        }
        let endpoints = self.endpoints.into_iter().flatten();
        slice.endpoints = endpoints.filter_map(|endpoint| endpoint.read(interner)).collect();
        slice.endpoints.shrink_to_fit();
        interner.prune();
        Some(slice)
    }
}

impl WireEndpoint {
    fn read(self, interner: &mut Interner) -> Option<SliceEndpoint> {
        let address = parse_ip(self.addresses?.first()?)?;
        let conditions = self.conditions.unwrap_or_default();
        let hints = self.hints.unwrap_or_default();
        let mut endpoint = SliceEndpoint::new(address);
        endpoint.conditions = Conditions {
            ready: conditions.ready.unwrap_or(true),
            serving: conditions.serving.unwrap_or(true),
            terminating: conditions.terminating.unwrap_or(false),
        };
        endpoint.hostname = self.hostname.and_then(|name| Hostname::new(&name).ok());
        endpoint.node = self.node_name.map(|node| interner.text(node));
        endpoint.zone = self.zone.map(|zone| interner.text(zone));
        endpoint.uid = self.target_ref.and_then(|target| target.uid).filter(|uid| !uid.is_empty()).map(Arc::from);
        endpoint.zone_hints = hints.for_zones.and_then(|zones| interner.list(zones));
        endpoint.node_hints = hints.for_nodes.and_then(|nodes| interner.list(nodes));
        Some(endpoint)
    }
}

impl WirePort {
    fn number(&self) -> Option<u16> {
        self.port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
    }

    fn protocol(&self) -> Option<Protocol> {
        match self.protocol.as_deref() {
            None | Some("TCP") => Some(Protocol::Tcp),
            Some("UDP") => Some(Protocol::Udp),
            Some("SCTP") => Some(Protocol::Sctp),
            Some(_) => None,
        }
    }
}

impl WireService {
    pub(super) fn read(self) -> Option<Service> {
        let kind = match (&*self.spec.kind, &*self.spec.cluster_ip) {
            ("ExternalName", _) => ServiceKind::ExternalName,
            (_, "None") => ServiceKind::Headless,
            _ => ServiceKind::ClusterIp,
        };
        let mut service = Service::new(ServiceName::new(&self.metadata.name).ok()?, kind);
        for port in self.spec.ports.into_iter().flatten() {
            if let (Some(number), Some(protocol)) = (port.number(), port.protocol())
                && let Some(name) = port_name(port.name.as_deref().unwrap_or(""))
            {
                service = service.with_port(name, number, protocol);
            }
        }
        match self.spec.ip_families.iter().flatten().next() {
            Some(family) => Some(service.with_primary(address_type(family))),
            None => Some(service),
        }
    }
}

fn address_type(text: &str) -> AddressType {
    match text {
        "IPv4" => AddressType::Ipv4,
        "IPv6" => AddressType::Ipv6,
        _ => AddressType::Other,
    }
}

/// The empty name is a name: that of a port without one. `None` when it is no name at all.
fn port_name(text: &str) -> Option<Option<PortName>> {
    if text.is_empty() { Some(None) } else { PortName::new(text).ok().map(Some) }
}

impl Interner {
    fn text(&mut self, text: String) -> Arc<str> {
        if let Some(known) = self.texts.get(&*text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.texts.insert(new.clone());
        new
    }

    fn list(&mut self, hints: Vec<Hint>) -> Option<Arc<[Arc<str>]>> {
        if hints.is_empty() {
            return None;
        }
        let list: Arc<[Arc<str>]> = hints.into_iter().map(|hint| self.text(hint.name)).collect();
        if let Some(known) = self.lists.get(&list) {
            return Some(known.clone());
        }
        self.lists.insert(list.clone());
        Some(list)
    }

    /// Forgets what no endpoint has any more, whenever there is twice as much as after the last time.
    fn prune(&mut self) {
        if self.texts.len() + self.lists.len() > self.prune_at.max(64) {
            self.lists.retain(|list| Arc::strong_count(list) > 1);
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.prune_at = 2 * (self.texts.len() + self.lists.len());
        }
    }
}
