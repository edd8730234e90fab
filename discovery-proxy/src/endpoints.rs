//! What slices say: the endpoints of each port of a Service, merged and in order.
//!
//! Source: k/k pkg/proxy/endpointslicecache.go and endpointschangetracker.go; tests `TestEsDataChanged`,
//! `TestEndpointInfoByServicePort`.
//!
//! * A slice counts when its `addressType` is the proxy's family, and its label names a Service.
//! * Of an endpoint, only the first address counts; of a port, name and number have to be there.
//! * Endpoints of several slices are merged by `ip:port`. Of two, the later one that is not terminating wins; one
//!   that is terminating replaces nothing.
//! * Their order is that of the bytes of `ip:port`: `10.1.1.11:11` comes before `10.1.1.1:11`. All that says "in
//!   order" means this.
//! * The same slice again is no change; the same endpoints in another order are one.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{
    NamespacedName, ServicePortName,
    object::{AddressType, EndpointSlice, IpFamily, SliceEndpoint, SlicePort},
    parse_ip,
};

/// One endpoint of one port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndpointInfo {
    /// Its identity, and what to dial. Its text is its place in the order.
    pub addr: SocketAddr,
    /// It is on the proxy's node.
    pub is_local: bool,
    /// It may get new connections.
    pub ready: bool,
    /// It answers.
    pub serving: bool,
    /// It is being deleted.
    pub terminating: bool,
    /// The zones that should use it.
    pub zone_hints: Arc<[String]>,
    /// The nodes that should use it.
    pub node_hints: Arc<[String]>,
}

impl EndpointInfo {
    /// Not for new connections, but better than nothing.
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
    /// By Service, then by slice name: a slice of the same name replaces, others add.
    slices: BTreeMap<NamespacedName, BTreeMap<Box<str>, SliceInfo>>,
    /// The Service that a slice has counted for, to notice a changed label.
    owners: BTreeMap<(Box<str>, Box<str>), NamespacedName>,
}

/// What counts of a slice, in its order.
#[derive(Debug, PartialEq, Eq)]
struct SliceInfo {
    /// Those with a name and a number.
    ports: Box<[(ServicePortName, u16)]>,
    /// Those with an address, with port 0.
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

    /// Takes a slice in, or out when `removed`; returns the Services whose endpoints may have changed.
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

    /// All endpoints of a Service, by port, merged and in order.
    pub(super) fn endpoints_map(&self, service: &NamespacedName) -> BTreeMap<ServicePortName, Vec<EndpointInfo>> {
        let mut merged: BTreeMap<ServicePortName, Vec<EndpointInfo>> = BTreeMap::new();
        for (name, endpoints) in self.unmerged(service) {
            merged.entry(name.clone()).or_default().extend(endpoints);
        }
        merged.values_mut().for_each(merge);
        merged
    }

    /// All that the slices say, in the order in which they say it: by slice name, port and endpoint.
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
        let hints = |of: fn(&super::object::Hints) -> &Vec<String>| {
            endpoint.hints.as_ref().map(of).map_or_else(Arc::default, |names| names.as_slice().into())
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

/// Puts endpoints in order, each once.
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
