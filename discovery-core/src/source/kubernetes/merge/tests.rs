//! Test vectors with their origin; "k/k" is kubernetes/kubernetes.

mod ports;
mod properties;
mod slices;

use super::*;
use crate::{
    endpoint::{Conditions, Endpoint},
    name::{PortName, Protocol, ServiceName},
    plan::Families,
    source::kubernetes::model::{AddressType, Slice, SliceEndpoint},
};

const READY: (bool, bool, bool) = (true, true, false);
const UNREADY: (bool, bool, bool) = (false, false, false);
const DRAINING: (bool, bool, bool) = (false, true, true);
const GONE: (bool, bool, bool) = (false, false, true);

fn name(text: &str) -> Option<PortName> {
    (!text.is_empty()).then(|| PortName::new(text).expect("port name"))
}

fn service(text: &str) -> ServiceName {
    ServiceName::new(text).expect("Service name")
}

fn conditions((ready, serving, terminating): (bool, bool, bool)) -> Conditions {
    Conditions { ready, serving, terminating }
}

fn at(address: &str, state: (bool, bool, bool)) -> SliceEndpoint {
    let mut endpoint = SliceEndpoint::new(address.parse().expect("address"));
    endpoint.conditions = conditions(state);
    endpoint
}

fn pod(uid: &str, address: &str, state: (bool, bool, bool)) -> SliceEndpoint {
    let mut endpoint = at(address, state);
    endpoint.uid = Some(uid.into());
    endpoint
}

/// A slice of Service `s` with one TCP port.
fn slice(slice: &str, port: (&str, u16), endpoints: impl IntoIterator<Item = SliceEndpoint>) -> Slice {
    let endpoints: Vec<_> = endpoints.into_iter().collect();
    let v6 = endpoints.first().is_some_and(|e| e.address.is_ipv6());
    let kind = if v6 { AddressType::Ipv6 } else { AddressType::Ipv4 };
    let slice = Slice::new(slice, service("s"), kind).with_port(name(port.0), port.1, Protocol::Tcp);
    endpoints.into_iter().fold(slice, Slice::with_endpoint)
}

fn tcp(port: &str) -> TargetPort {
    TargetPort::Named { name: name(port), protocol: Protocol::Tcp }
}

fn all(slices: &[Slice], port: &str) -> Vec<Endpoint> {
    endpoints(slices, &tcp(port), AddressType::Ipv4, Families::Both)
}

fn show(endpoints: &[Endpoint]) -> Vec<String> {
    let addrs = |e: &Endpoint| e.addrs().map(|addr| addr.to_string()).collect::<Vec<_>>().join("+");
    endpoints.iter().map(addrs).collect()
}
