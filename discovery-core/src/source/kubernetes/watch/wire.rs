//! The two watched resources, as the API server writes them. Fields that are not needed are dropped while parsing.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use crate::{
    endpoint::Conditions,
    name::{Hostname, Namespace, PortName, Protocol, ServiceName},
    source::kubernetes::{
        cache::{Object, ResourceCache},
        model::{AddressType, Service, ServiceKind, Slice, SliceEndpoint, parse_ip},
        namespace::NamespaceCache,
    },
};

/// A resource that can be listed and watched.
pub(super) trait Resource: Object + Send + Sync + 'static {
    /// The object as the API server writes it.
    type Wire: DeserializeOwned + Clone + Send + 'static;

    /// The plural of the kind, for messages.
    const PLURAL: &'static str;

    /// Selects the objects to list and watch; `None` for all.
    const LABEL_SELECTOR: Option<&'static str>;

    fn path(namespace: &Namespace) -> String;
    fn cache(namespace: &mut NamespaceCache) -> &mut ResourceCache<Self>;
    fn metadata(object: &Self::Wire) -> &Metadata;

    /// Converts the object; `None` if it is of no use.
    fn from_wire(object: Self::Wire, interner: &mut Interner) -> Option<Self>;
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Metadata {
    #[serde(deserialize_with = "null_as_default")]
    pub(super) name: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(super) resource_version: String,
    labels: Option<Labels>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Labels {
    #[serde(rename = "kubernetes.io/service-name", deserialize_with = "null_as_default")]
    service: String,
}

/// An EndpointSlice of `discovery.k8s.io/v1`. Go writes an empty list as null and reads null as an absent field, so null
/// may stand in every field.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireSlice {
    metadata: Metadata,
    #[serde(default, deserialize_with = "null_as_default")]
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
    #[serde(default, deserialize_with = "null_as_default")]
    name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct WirePort {
    name: Option<String>,
    port: Option<i32>,
    protocol: Option<String>,
}

/// A Service of `v1`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct WireService {
    metadata: Metadata,
    #[serde(default, deserialize_with = "null_as_default")]
    spec: Spec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(rename = "type", deserialize_with = "null_as_default")]
    kind: String,
    #[serde(rename = "clusterIP", deserialize_with = "null_as_default")]
    cluster_ip: String,
    ports: Option<Vec<WirePort>>,
    ip_families: Option<Vec<String>>,
}

/// Keeps one copy of each string that many endpoints have in common.
#[derive(Debug, Default)]
pub(super) struct Interner {
    strings: BTreeSet<Arc<str>>,
    lists: BTreeSet<Arc<[Arc<str>]>>,
    prune_at: usize,
}

impl Resource for Slice {
    type Wire = WireSlice;

    const PLURAL: &'static str = "EndpointSlices";

    /// Slices without this label do not belong to a Service.
    const LABEL_SELECTOR: Option<&'static str> = Some("kubernetes.io/service-name");

    fn path(namespace: &Namespace) -> String {
        format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")
    }

    fn cache(namespace: &mut NamespaceCache) -> &mut ResourceCache<Self> {
        namespace.slices_mut()
    }

    fn metadata(object: &WireSlice) -> &Metadata {
        &object.metadata
    }

    /// Returns `None` if the slice does not belong to a Service, which is not an error: kube-proxy ignores such slices
    /// too.
    fn from_wire(object: WireSlice, interner: &mut Interner) -> Option<Self> {
        let service = ServiceName::new(&object.metadata.labels?.service).ok()?;
        let address_type = parse_address_type(&object.address_type);
        let mut slice = Self::new(object.metadata.name, service, address_type);
        for port in object.ports.into_iter().flatten() {
            // The API server writes the name of an unnamed port as the empty string; a port without a name is ignored.
            if let (Some(name), Some(number), Some(protocol)) = (&port.name, port.number(), port.protocol())
                && let Some(name) = parse_port_name(name)
            {
                slice = slice.with_port(name, number, protocol);
            }
        }
        let endpoints = object.endpoints.into_iter().flatten();
        slice.endpoints = endpoints.filter_map(|endpoint| endpoint.into_model(interner)).collect();
        slice.endpoints.shrink_to_fit();
        interner.prune();
        Some(slice)
    }
}

impl Resource for Service {
    type Wire = WireService;

    const PLURAL: &'static str = "Services";

    const LABEL_SELECTOR: Option<&'static str> = None;

    fn path(namespace: &Namespace) -> String {
        format!("/api/v1/namespaces/{namespace}/services")
    }

    fn cache(namespace: &mut NamespaceCache) -> &mut ResourceCache<Self> {
        namespace.services_mut()
    }

    fn metadata(object: &WireService) -> &Metadata {
        &object.metadata
    }

    fn from_wire(object: WireService, _: &mut Interner) -> Option<Self> {
        let kind = match (&*object.spec.kind, &*object.spec.cluster_ip) {
            ("ExternalName", _) => ServiceKind::ExternalName,
            (_, "None") => ServiceKind::Headless,
            _ => ServiceKind::ClusterIp,
        };
        let mut service = Self::new(ServiceName::new(&object.metadata.name).ok()?, kind);
        for port in object.spec.ports.into_iter().flatten() {
            if let (Some(number), Some(protocol)) = (port.number(), port.protocol())
                && let Some(name) = parse_port_name(port.name.as_deref().unwrap_or(""))
            {
                service = service.with_port(name, number, protocol);
            }
        }
        match object.spec.ip_families.iter().flatten().next() {
            Some(family) => Some(service.with_primary(parse_address_type(family))),
            None => Some(service),
        }
    }
}

impl WireEndpoint {
    fn into_model(self, interner: &mut Interner) -> Option<SliceEndpoint> {
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
        endpoint.node = self.node_name.map(|node| interner.string(node));
        endpoint.zone = self.zone.map(|zone| interner.string(zone));
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

/// Reads null as the default value, as Go does.
pub(super) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn parse_address_type(text: &str) -> AddressType {
    match text {
        "IPv4" => AddressType::Ipv4,
        "IPv6" => AddressType::Ipv6,
        _ => AddressType::Other,
    }
}

/// Parses the name of a port: `Some(None)` for the empty string, which stands for the unnamed port, and `None` for an
/// invalid name.
fn parse_port_name(text: &str) -> Option<Option<PortName>> {
    if text.is_empty() { Some(None) } else { PortName::new(text).ok().map(Some) }
}

impl Interner {
    fn string(&mut self, string: String) -> Arc<str> {
        if let Some(known) = self.strings.get(&*string) {
            return known.clone();
        }
        let new: Arc<str> = string.into();
        self.strings.insert(new.clone());
        new
    }

    fn list(&mut self, hints: Vec<Hint>) -> Option<Arc<[Arc<str>]>> {
        if hints.is_empty() {
            return None;
        }
        let list: Arc<[Arc<str>]> = hints.into_iter().map(|hint| self.string(hint.name)).collect();
        if let Some(known) = self.lists.get(&list) {
            return Some(known.clone());
        }
        self.lists.insert(list.clone());
        Some(list)
    }

    /// Removes the strings and lists that are not used any more, each time their number has doubled since the last
    /// removal.
    fn prune(&mut self) {
        if self.strings.len() + self.lists.len() > self.prune_at.max(64) {
            self.lists.retain(|list| Arc::strong_count(list) > 1);
            self.strings.retain(|string| Arc::strong_count(string) > 1);
            self.prune_at = 2 * (self.strings.len() + self.lists.len());
        }
    }
}
