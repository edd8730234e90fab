//! The endpoints of each Service port, merged from its EndpointSlices and in order.
//!
//! Source: k/k pkg/proxy/endpointslicecache.go and endpointschangetracker.go; tests `TestEsDataChanged`,
//! `TestEndpointInfoByServicePort`.
//!
//! * A slice counts if its `addressType` is the proxy's family and its label names a Service.
//! * Only the first address of an endpoint counts. A port without a name or a number is ignored.
//! * Endpoints of several slices are merged by `ip:port`. Of duplicates, the last one that is not terminating wins; a
//!   terminating one never replaces another.
//! * Endpoints are ordered by the bytes of `ip:port`: `10.1.1.11:11` comes before `10.1.1.1:11`. "In order" means this
//!   order everywhere in the crate.
//! * Applying the same slice again is not a change; the same endpoints in another order are a change.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{
    NamespacedName, ServicePortName,
    object::{AddressType, EndpointSlice, Hints, IpFamily, SliceEndpoint, SlicePort},
    parse_ip,
};

/// One endpoint of one Service port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointInfo {
    /// The address to dial, which is also the endpoint's identity and, as text, its place in the order.
    pub addr: SocketAddr,
    /// Whether the endpoint is on the proxy's node.
    pub is_local: bool,
    /// Whether the endpoint may get new connections.
    pub ready: bool,
    /// Whether the endpoint answers.
    pub serving: bool,
    /// Whether the endpoint is being deleted.
    pub terminating: bool,
    /// The zones that should use the endpoint.
    pub zone_hints: Arc<[String]>,
    /// The nodes that should use the endpoint.
    pub node_hints: Arc<[String]>,
}

impl EndpointInfo {
    /// Returns whether the endpoint serves while terminating: it gets new connections only if no endpoint is ready.
    #[must_use]
    pub fn is_serving_terminating(&self) -> bool {
        self.serving && self.terminating
    }
}

/// The slices of all Services.
#[derive(Debug, Default)]
pub(super) struct EndpointSliceCache {
    family: IpFamily,
    node_name: String,
    /// By Service, then by slice name: a slice replaces one of the same name.
    slices: BTreeMap<NamespacedName, BTreeMap<Box<str>, SliceInfo>>,
    /// The Service of each slice, so that a changed label is noticed.
    owners: BTreeMap<(Box<str>, Box<str>), NamespacedName>,
}

/// The parts of a slice that count, in its order.
#[derive(Debug, PartialEq, Eq)]
struct SliceInfo {
    /// The ports that have a name and a number.
    ports: Box<[(ServicePortName, u16)]>,
    /// The endpoints that have an address, with port 0.
    endpoints: Box<[EndpointInfo]>,
}

impl SliceInfo {
    fn endpoints_at(&self, port: u16) -> impl Iterator<Item = EndpointInfo> {
        let at = move |info: &EndpointInfo| SocketAddr::new(info.addr.ip(), port);
        self.endpoints.iter().map(move |info| EndpointInfo { addr: at(info), ..info.clone() })
    }
}

impl EndpointSliceCache {
    pub(super) fn new(family: IpFamily, node_name: &str) -> Self {
        Self { family, node_name: node_name.to_owned(), ..Self::default() }
    }

    /// Adds a slice, or removes it if `removed`; returns the Services whose endpoints may have changed.
    pub(super) fn update(&mut self, slice: &EndpointSlice, removed: bool) -> Vec<NamespacedName> {
        let id = (slice.namespace.as_str().into(), slice.name.as_str().into());
        let owner = if removed { None } else { self.owner(slice) };
        let previous = match &owner {
            Some(owner) => self.owners.insert(id, owner.clone()),
            None => self.owners.remove(&id),
        };
        let mut touched = Vec::new();
        if let Some(previous) = previous.filter(|previous| Some(previous) != owner.as_ref()) {
            self.remove(&previous, &slice.name);
            touched.push(previous);
        }
        if let Some(owner) = owner {
            let info = self.slice_info(slice, &owner);
            let slices = self.slices.entry(owner.clone()).or_default();
            if slices.get(slice.name.as_str()) != Some(&info) {
                slices.insert(slice.name.as_str().into(), info);
                touched.push(owner);
            }
        }
        touched
    }

    /// The endpoints of a Service by port, merged and in order.
    pub(super) fn endpoints_map(&self, service: &NamespacedName) -> BTreeMap<ServicePortName, Vec<EndpointInfo>> {
        let mut merged: BTreeMap<ServicePortName, Vec<EndpointInfo>> = BTreeMap::new();
        for (name, endpoints) in self.unmerged(service) {
            merged.entry(name.clone()).or_default().extend(endpoints);
        }
        merged.values_mut().for_each(merge);
        merged
    }

    /// The endpoints of a Service as the slices list them, by slice name, port and endpoint.
    pub(super) fn unmerged(
        &self,
        service: &NamespacedName,
    ) -> impl Iterator<Item = (&ServicePortName, impl Iterator<Item = EndpointInfo>)> {
        let slices = self.slices.get(service).into_iter().flat_map(BTreeMap::values);
        slices.flat_map(|slice| slice.ports.iter().map(|(name, number)| (name, slice.endpoints_at(*number))))
    }

    fn owner(&self, slice: &EndpointSlice) -> Option<NamespacedName> {
        let family = match slice.address_type {
            AddressType::V4 => IpFamily::V4,
            AddressType::V6 => IpFamily::V6,
            AddressType::Fqdn => return None,
        };
        let complete = !slice.namespace.is_empty() && !slice.name.is_empty();
        let service = slice.service_name().filter(|_| complete && family == self.family)?;
        Some(NamespacedName::new(&slice.namespace, service))
    }

    fn remove(&mut self, owner: &NamespacedName, name: &str) {
        if let Some(slices) = self.slices.get_mut(owner) {
            slices.remove(name);
            if slices.is_empty() {
                self.slices.remove(owner);
            }
        }
    }

    fn slice_info(&self, slice: &EndpointSlice, owner: &NamespacedName) -> SliceInfo {
        let port = |port: &SlicePort| {
            let number = u16::try_from(port.port?).ok().filter(|number| *number != 0)?;
            Some((ServicePortName::new(owner.clone(), port.name.as_ref()?, port.protocol), number))
        };
        SliceInfo {
            ports: slice.ports.iter().filter_map(port).collect(),
            endpoints: slice.endpoints.iter().filter_map(|endpoint| self.info(endpoint)).collect(),
        }
    }

    fn info(&self, endpoint: &SliceEndpoint) -> Option<EndpointInfo> {
        let ip: IpAddr = parse_ip(endpoint.addresses.first()?)?;
        if IpFamily::from_ip(ip) != self.family {
            return None;
        }
        let conditions = endpoint.conditions;
        let hints = |field: fn(&Hints) -> &Vec<String>| {
            endpoint.hints.as_ref().map(field).map_or_else(Arc::default, |names| names.as_slice().into())
        };
        Some(EndpointInfo {
            addr: SocketAddr::new(ip, 0),
            is_local: !self.node_name.is_empty() && endpoint.node_name.as_deref() == Some(self.node_name.as_str()),
            ready: conditions.ready.unwrap_or(true),
            serving: conditions.serving.unwrap_or(true),
            terminating: conditions.terminating.unwrap_or(false),
            zone_hints: hints(|hints| &hints.for_zones),
            node_hints: hints(|hints| &hints.for_nodes),
        })
    }
}

/// Sorts endpoints and removes duplicates.
fn merge(list: &mut Vec<EndpointInfo>) {
    list.sort_by_cached_key(|endpoint| endpoint.addr.to_string());
    // `next` came later than `kept`: the sort is stable.
    list.dedup_by(|next, kept| {
        let same = next.addr == kept.addr;
        if same && !next.terminating {
            std::mem::swap(next, kept);
        }
        same
    });
}
