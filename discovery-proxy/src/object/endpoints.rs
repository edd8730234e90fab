//! `v1.Endpoints`, and their conversion to slices.
//!
//! kube-proxy has not read Endpoints since 1.21. The control plane mirrors Endpoints written by hand as slices (k/k
//! pkg/controller/endpointslicemirroring). Userspace mode, which is older than slices, read only Endpoints.

use std::collections::BTreeMap;

use super::{AddressType, Conditions, EndpointSlice, IpFamily, Protocol, SERVICE_NAME_LABEL, SliceEndpoint, SlicePort};
use crate::parse_ip;

/// The endpoints of the Service with the same name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`, which is the Service's name.
    pub name: String,
    /// Groups of addresses that have the same ports.
    pub subsets: Vec<EndpointSubset>,
}

/// Addresses that have the same ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointSubset {
    /// The ready addresses.
    pub addresses: Vec<EndpointAddress>,
    /// The addresses that are not ready.
    pub not_ready_addresses: Vec<EndpointAddress>,
    /// The ports of these addresses.
    pub ports: Vec<EndpointPort>,
}

/// One address of a subset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointAddress {
    /// The IP address.
    pub ip: String,
    /// The node that the address belongs to.
    pub node_name: Option<String>,
}

/// One port of a subset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointPort {
    /// The name of the Service's port.
    pub name: String,
    /// The protocol; TCP by default.
    pub protocol: Protocol,
    /// The number to dial.
    pub port: i32,
}

impl Endpoints {
    /// Returns the slices that mirror these endpoints: one for each subset and family that has addresses.
    ///
    /// The real controller gives the slices random names. Here they are `<name>-<subset>-<family>`, so that the same
    /// object always gives the same slices.
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
