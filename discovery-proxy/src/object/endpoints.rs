//! `v1.Endpoints`, and how they become slices.
//!
//! kube-proxy has not read Endpoints since 1.21; the control plane mirrors those that people write by hand
//! (k/k pkg/controller/endpointslicemirroring). Userspace mode, older than slices, read nothing else.

use std::collections::BTreeMap;

use super::{AddressType, Conditions, EndpointSlice, IpFamily, Protocol, SERVICE_NAME_LABEL, SliceEndpoint, SlicePort};
use crate::parse_ip;

/// All endpoints of the Service of the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`, which is the Service's.
    pub name: String,
    /// Endpoints that have the same ports.
    pub subsets: Vec<EndpointSubset>,
}

/// Addresses that have these ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSubset {
    /// Ready ones.
    pub addresses: Vec<EndpointAddress>,
    /// The others.
    pub not_ready_addresses: Vec<EndpointAddress>,
    /// Their ports.
    pub ports: Vec<EndpointPort>,
}

/// One address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointAddress {
    /// The address.
    pub ip: String,
    /// The node that it is on.
    pub node_name: Option<String>,
}

/// One port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointPort {
    /// The name of the Service's port.
    pub name: String,
    /// TCP unless said otherwise.
    pub protocol: Protocol,
    /// The number to dial.
    pub port: i32,
}

impl Endpoints {
    /// The slices that mirror it: one for each subset and family that has addresses.
    ///
    /// The real controller gives them random names; these are `<name>-<subset>-<family>`, so that the same
    /// object gives the same slices.
    #[must_use]
    pub fn to_slices(&self) -> Vec<EndpointSlice> {
        let families = [IpFamily::V4, IpFamily::V6];
        let subsets = self.subsets.iter().enumerate();
        subsets.flat_map(|(at, subset)| families.into_iter().filter_map(move |f| self.mirror(at, subset, f))).collect()
    }

    fn mirror(&self, at: usize, subset: &EndpointSubset, family: IpFamily) -> Option<EndpointSlice> {
        let of_family =
            |address: &&EndpointAddress| parse_ip(&address.ip).is_some_and(|ip| IpFamily::from_ip(ip) == family);
        let endpoint = |address: &EndpointAddress, ready| SliceEndpoint {
            addresses: vec![address.ip.clone()],
            conditions: Conditions { ready: Some(ready), ..Conditions::default() },
            node_name: address.node_name.clone(),
            ..SliceEndpoint::default()
        };
        let ready = subset.addresses.iter().filter(of_family).map(|address| endpoint(address, true));
        let others = subset.not_ready_addresses.iter().filter(of_family).map(|address| endpoint(address, false));
        let endpoints: Vec<_> = ready.chain(others).collect();
        if endpoints.is_empty() {
            return None;
        }
        let port = |port: &EndpointPort| SlicePort {
            name: Some(port.name.clone()),
            protocol: port.protocol,
            port: Some(port.port),
        };
        let (suffix, address_type) = match family {
            IpFamily::V4 => ("ipv4", AddressType::V4),
            IpFamily::V6 => ("ipv6", AddressType::V6),
        };
        Some(EndpointSlice {
            namespace: self.namespace.clone(),
            name: format!("{}-{at}-{suffix}", self.name),
            labels: BTreeMap::from([(SERVICE_NAME_LABEL.to_owned(), self.name.clone())]),
            address_type,
            ports: subset.ports.iter().map(port).collect(),
            endpoints,
        })
    }
}
