//! Merges the slices of a Service into endpoints.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use super::port::TargetPort;
use crate::{
    endpoint::{Conditions, Endpoint},
    plan::Families,
    source::kubernetes::model::{AddressType, Slice, SliceEndpoint},
};

/// Returns all endpoints of a Service at `port`, whatever their conditions, sorted by address.
///
/// Only addresses of `families` are included. A pod that has both has its `primary` address first. The order of
/// `slices` does not matter as long as their names differ; of two slices with the same name, the later replaces the
/// earlier.
#[must_use]
pub fn endpoints<'a>(
    slices: impl IntoIterator<Item = &'a Slice>,
    port: &TargetPort,
    primary: AddressType,
    families: Families,
) -> Vec<Endpoint> {
    let by_name: BTreeMap<&str, &Slice> = slices.into_iter().map(|slice| (&*slice.name, slice)).collect();
    let mut entries = BTreeMap::new();
    for slice in by_name.into_values().filter(|slice| is_wanted(slice.address_type, families)) {
        let numbers = port_numbers(slice, port);
        for endpoint in slice.endpoints.iter().filter(|e| slice.address_type.holds(e.address)) {
            for number in &numbers {
                add(&mut entries, SocketAddr::new(endpoint.address, *number), endpoint);
            }
        }
    }
    join_families(&entries, primary)
}

/// Keeps the endpoints to send requests to: the ready ones, or if no endpoint is ready, those that are terminating but
/// still serving.
#[must_use]
pub fn usable(mut endpoints: Vec<Endpoint>) -> Vec<Endpoint> {
    let any_ready = endpoints.iter().any(|e| e.conditions().ready);
    endpoints.retain(|endpoint| {
        let conditions = endpoint.conditions();
        if any_ready { conditions.ready } else { conditions.serving && conditions.terminating }
    });
    endpoints
}

type Entries<'a> = BTreeMap<SocketAddr, &'a SliceEndpoint>;

fn is_wanted(address_type: AddressType, families: Families) -> bool {
    match address_type {
        AddressType::Ipv4 => families.v4(),
        AddressType::Ipv6 => families.v6(),
        AddressType::Other => false,
    }
}

fn port_numbers(slice: &Slice, port: &TargetPort) -> Vec<u16> {
    match port {
        TargetPort::Number(number) => vec![*number],
        TargetPort::Named { name, protocol } => {
            let same = slice.ports.iter().filter(|port| port.name == *name && port.protocol == *protocol);
            same.map(|port| port.number).filter(|number| *number != 0).collect()
        }
    }
}

/// Adds an entry. A non-terminating entry replaces an earlier entry for the same address; a terminating one does not.
fn add<'a>(entries: &mut Entries<'a>, addr: SocketAddr, endpoint: &'a SliceEndpoint) {
    if endpoint.conditions.terminating {
        entries.entry(addr).or_insert(endpoint);
    } else {
        entries.insert(addr, endpoint);
    }
}

/// Joins the IPv4 and IPv6 entries of a pod into one endpoint.
///
/// Entries are joined only if the pod has exactly one address of each family. When a pod's address has changed and an
/// older slice still lists the previous one, the slices do not say which of the two is current.
fn join_families(entries: &Entries<'_>, primary: AddressType) -> Vec<Endpoint> {
    let mut pods: BTreeMap<(&Arc<str>, u16), Vec<SocketAddr>> = BTreeMap::new();
    for (addr, entry) in entries {
        if let Some(uid) = &entry.uid {
            pods.entry((uid, addr.port())).or_default().push(*addr);
        }
    }
    let mut partners = BTreeMap::new();
    for addrs in pods.into_values() {
        if let [one, other] = *addrs
            && one.is_ipv4() != other.is_ipv4()
        {
            let (first, second) = if primary.holds(one.ip()) { (one, other) } else { (other, one) };
            partners.insert(first, second);
        }
    }
    let seconds: BTreeSet<SocketAddr> = partners.values().copied().collect();
    let firsts = entries.iter().filter(|(addr, _)| !seconds.contains(addr));
    let both = |(addr, entry): (&SocketAddr, &&SliceEndpoint)| match partners.get(addr) {
        None => endpoint(*addr, entry, entry.conditions),
        Some(second) => {
            let conditions = entries.get(second).map_or(entry.conditions, |e| combine(entry.conditions, e.conditions));
            endpoint(*addr, entry, conditions).with_addr(*second)
        }
    };
    firsts.map(both).collect()
}

/// Combines the conditions of a pod's two entries. The controller writes the slices of the two families one after the
/// other: a pod counts as leaving once either slice says so, and as ready only once both do.
fn combine(one: Conditions, other: Conditions) -> Conditions {
    Conditions {
        ready: one.ready && other.ready,
        serving: one.serving && other.serving,
        terminating: one.terminating || other.terminating,
    }
}

fn endpoint(addr: SocketAddr, entry: &SliceEndpoint, conditions: Conditions) -> Endpoint {
    let mut endpoint = Endpoint::new(addr).with_conditions(conditions);
    if let Some(hostname) = &entry.hostname {
        endpoint = endpoint.with_hostname(hostname.clone());
    }
    if let Some(uid) = &entry.uid {
        endpoint = endpoint.with_uid(uid.clone());
    }
    if let Some(node) = &entry.node {
        endpoint = endpoint.with_node(node.clone());
    }
    if let Some(zone) = &entry.zone {
        endpoint = endpoint.with_zone(zone.clone());
    }
    if let Some(hints) = &entry.zone_hints {
        endpoint = endpoint.with_zone_hints(hints.clone());
    }
    endpoint
}
