//! `discovery.k8s.io/v1.EndpointSlice` and `v1.Endpoints`.

use k8s_openapi::api::{core::v1, discovery::v1 as discovery};

use super::{
    super::{
        AddressType, Conditions, EndpointAddress, EndpointPort, EndpointSlice, EndpointSubset, Endpoints, Hints,
        SliceEndpoint, SlicePort,
    },
    list, names, protocol, text,
};

impl From<&discovery::EndpointSlice> for EndpointSlice {
    fn from(slice: &discovery::EndpointSlice) -> Self {
        let (namespace, name) = names(&slice.metadata);
        let port = |port: &discovery::EndpointPort| {
            let protocol = protocol(port.protocol.as_ref())?;
            Some(SlicePort { name: port.name.clone(), protocol, port: port.port })
        };
        Self {
            namespace,
            name,
            labels: slice.metadata.labels.clone().unwrap_or_default(),
            // kube-proxy ignores a slice of an unknown type, as it does one of host names.
            address_type: slice.address_type.parse().unwrap_or(AddressType::Fqdn),
            ports: list(slice.ports.as_ref(), port),
            endpoints: endpoints(slice),
        }
    }
}

// The list is an `Option` in some versions of the API.
k8s_openapi::k8s_if_ge_1_36! {
    fn endpoints(slice: &discovery::EndpointSlice) -> Vec<SliceEndpoint> {
        list(slice.endpoints.as_ref(), |endpoint| Some(endpoint.into()))
    }
}
k8s_openapi::k8s_if_le_1_35! {
    fn endpoints(slice: &discovery::EndpointSlice) -> Vec<SliceEndpoint> {
        slice.endpoints.iter().map(Into::into).collect()
    }
}

impl From<&discovery::Endpoint> for SliceEndpoint {
    fn from(endpoint: &discovery::Endpoint) -> Self {
        let conditions = endpoint.conditions.as_ref();
        Self {
            addresses: endpoint.addresses.clone(),
            conditions: conditions.map_or_else(Conditions::default, |conditions| Conditions {
                ready: conditions.ready,
                serving: conditions.serving,
                terminating: conditions.terminating,
            }),
            node_name: endpoint.node_name.clone(),
            zone: endpoint.zone.clone(),
            hints: endpoint.hints.as_ref().map(|hints| Hints {
                for_zones: list(hints.for_zones.as_ref(), |zone| Some(zone.name.clone())),
                for_nodes: for_nodes(hints),
            }),
        }
    }
}

// The API has node hints since 1.33.
k8s_openapi::k8s_if_ge_1_33! {
    fn for_nodes(hints: &discovery::EndpointHints) -> Vec<String> {
        list(hints.for_nodes.as_ref(), |node| Some(node.name.clone()))
    }
}
k8s_openapi::k8s_if_le_1_32! {
    fn for_nodes(_: &discovery::EndpointHints) -> Vec<String> {
        Vec::new()
    }
}

impl From<&v1::Endpoints> for Endpoints {
    fn from(endpoints: &v1::Endpoints) -> Self {
        let (namespace, name) = names(&endpoints.metadata);
        Self { namespace, name, subsets: list(endpoints.subsets.as_ref(), |subset| Some(subset.into())) }
    }
}

impl From<&v1::EndpointSubset> for EndpointSubset {
    fn from(subset: &v1::EndpointSubset) -> Self {
        let address = |address: &v1::EndpointAddress| {
            Some(EndpointAddress { ip: address.ip.clone(), node_name: address.node_name.clone() })
        };
        let port = |port: &v1::EndpointPort| {
            let protocol = protocol(port.protocol.as_ref())?;
            Some(EndpointPort { name: text(port.name.as_ref()), protocol, port: port.port })
        };
        Self {
            addresses: list(subset.addresses.as_ref(), address),
            not_ready_addresses: list(subset.not_ready_addresses.as_ref(), address),
            ports: list(subset.ports.as_ref(), port),
        }
    }
}
