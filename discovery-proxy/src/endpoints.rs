//! The endpoints of each Service port, merged from its EndpointSlices and in order.
//!
//! Source: k/k pkg/proxy/endpointslicecache.go and endpointschangetracker.go; tests `TestEsDataChanged`,
//! `TestEndpointInfoByServicePort`.
//!
//! * A slice counts if its `addressType` is the proxy's family and its label names a Service.
//! * Only the first address of an endpoint counts. A port without a name or a number is ignored.
//! * Endpoints of several slices are merged by `ip:port`. Of duplicates, the last one that is not terminating wins; a
//!   terminating one never replaces another.
//! * Endpoints are ordered by the bytes of `ip:port` (`order.rs`). "In order" means this order everywhere in the crate.
//! * Applying the same slice again is not a change; the same endpoints in another order are a change.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{
    NamespacedName, ServicePortName,
    object::{AddressType, EndpointSlice, Hints, IpFamily, SliceEndpoint, SlicePort},
    order, parse_ip,
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

    /// The endpoints of a Service by port as its slices list them, duplicates included, in order. Duplicates are in the
    /// order of the names of their slices.
    pub(super) fn listed(&self, service: &NamespacedName) -> BTreeMap<&ServicePortName, Vec<Listed<'_>>> {
        let mut all: BTreeMap<&ServicePortName, Vec<Listed<'_>>> = BTreeMap::new();
        for slice in self.slices.get(service).into_iter().flat_map(BTreeMap::values) {
            for (name, port) in &slice.ports {
                let listed = slice.endpoints.iter().map(|endpoint| Listed { endpoint, port: *port });
                all.entry(name).or_default().extend(listed);
            }
        }
        all.values_mut().for_each(|list| *list = order::sort(std::mem::take(list), Listed::addr));
        all
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

/// An endpoint of a slice, at one of the slice's ports.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed<'a> {
    endpoint: &'a EndpointInfo,
    port: u16,
}

impl Listed<'_> {
    pub(super) fn addr(&self) -> SocketAddr {
        SocketAddr::new(self.endpoint.addr.ip(), self.port)
    }

    pub(super) const fn is_ready(&self) -> bool {
        self.endpoint.ready
    }
}

/// Merges the duplicates in a list that is in order.
pub(super) fn merged(listed: &[Listed<'_>]) -> Box<[EndpointInfo]> {
    let one = |same: &[Listed<'_>]| {
        let last_running = same.iter().rfind(|one| !one.endpoint.terminating);
        let kept = last_running.or_else(|| same.first())?;
        Some(EndpointInfo { addr: kept.addr(), ..kept.endpoint.clone() })
    };
    let mut all = Vec::with_capacity(listed.len());
    all.extend(listed.chunk_by(|one, other| one.addr() == other.addr()).filter_map(one));
    all.into()
}
