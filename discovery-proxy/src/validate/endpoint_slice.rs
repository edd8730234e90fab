//! Validates an EndpointSlice. Source: k/k pkg/apis/discovery/validation/validation.go (`ValidateEndpointSlice`).

use std::collections::BTreeSet;

use super::{FieldError, NAME_REQUIRED, dns_1123_label, dns_1123_subdomain, missing, non_special_ip, port_number};
use crate::{
    object::{AddressType, EndpointSlice, IpFamily, SliceEndpoint},
    parse_ip,
};

/// The most endpoints of a slice.
const MAX_ENDPOINTS: usize = 1000;
/// The most ports of a slice.
const MAX_PORTS: usize = 20_000;
/// The most addresses of an endpoint.
const MAX_ADDRESSES: usize = 100;
/// The most zones, and the most nodes, in the hints of an endpoint.
const MAX_HINTS: usize = 8;

pub(super) fn validate(slice: &EndpointSlice) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = &slice.name;
    errors.extend(missing("metadata.name", name, NAME_REQUIRED).or_else(|| dns_1123_subdomain("metadata.name", name)));
    errors.extend(too_many("endpoints", slice.endpoints.len(), MAX_ENDPOINTS));
    errors.extend(too_many("ports", slice.ports.len(), MAX_PORTS));
    for (at, endpoint) in slice.endpoints.iter().enumerate().take(MAX_ENDPOINTS) {
        addresses(slice.address_type, endpoint, &format!("endpoints[{at}]"), &mut errors);
    }
    ports(slice, &mut errors);
    errors
}

fn too_many(field: &str, count: usize, max: usize) -> Option<FieldError> {
    (count > max).then(|| FieldError::too_many(field, count, max))
}

fn addresses(address_type: AddressType, endpoint: &SliceEndpoint, field: &str, errors: &mut Vec<FieldError>) {
    let all = &endpoint.addresses;
    if all.is_empty() {
        let detail = "must contain at least 1 address";
        errors.push(FieldError::required(format!("{field}.addresses"), detail));
    }
    errors.extend(too_many(&format!("{field}.addresses"), all.len(), MAX_ADDRESSES));
    for (at, address) in all.iter().enumerate().take(MAX_ADDRESSES) {
        let field = format!("{field}.addresses[{at}]");
        let (wanted, detail) = match address_type {
            AddressType::Fqdn => continue,
            AddressType::V4 => (IpFamily::V4, "must be an IPv4 address"),
            AddressType::V6 => (IpFamily::V6, "must be an IPv6 address"),
        };
        match parse_ip(address) {
            Some(ip) if IpFamily::from_ip(ip) != wanted => errors.push(FieldError::invalid(&field, address, detail)),
            _ => errors.extend(non_special_ip(&field, address)),
        }
    }
    if let Some(hints) = &endpoint.hints {
        for (name, names) in [("forZones", &hints.for_zones), ("forNodes", &hints.for_nodes)] {
            let field = format!("{field}.hints.{name}");
            errors.extend(too_many(&field, names.len(), MAX_HINTS));
            let mut seen = BTreeSet::new();
            for (at, name) in names.iter().enumerate().filter(|(_, name)| !seen.insert(*name)) {
                errors.push(FieldError::duplicate(format!("{field}[{at}].name"), name));
            }
        }
    }
}

fn ports(slice: &EndpointSlice, errors: &mut Vec<FieldError>) {
    let mut names = BTreeSet::new();
    for (at, port) in slice.ports.iter().enumerate().take(MAX_PORTS) {
        let field = |name: &str| format!("ports[{at}].{name}");
        let name = port.name.as_deref().unwrap_or_default();
        if !name.is_empty() {
            errors.extend(dns_1123_label(&field("name"), name));
        }
        if !names.insert(name) {
            errors.push(FieldError::duplicate(field("name"), name));
        }
        if let Some(number) = port.port {
            errors.extend(port_number(&field("port"), number));
        }
    }
}
