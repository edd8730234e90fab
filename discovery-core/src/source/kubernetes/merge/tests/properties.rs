//! Properties that hold for any slices.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn endpoint() -> impl Strategy<Value = SliceEndpoint> {
    let address =
        prop_oneof![(0_u8..6).prop_map(|n| format!("10.0.0.{n}")), (0_u8..6).prop_map(|n| format!("fd00::{n}"))];
    (address, any::<(bool, bool, bool)>(), prop::option::of(0_u8..5)).prop_map(|(address, state, uid)| {
        let mut endpoint = at(&address, state);
        endpoint.uid = uid.map(|uid| uid.to_string().into());
        endpoint
    })
}

fn slices() -> impl Strategy<Value = Vec<Slice>> {
    let kind = prop::sample::select(&[AddressType::Ipv4, AddressType::Ipv6, AddressType::Other][..]);
    let ports = prop::collection::vec((prop::sample::select(&["", "http", "grpc"][..]), 0_u16..3), 0..3);
    let one = (kind, ports, prop::collection::vec(endpoint(), 0..8));
    prop::collection::vec(one, 0..6).prop_map(|all| {
        let mut slices = Vec::new();
        for (n, (kind, ports, endpoints)) in all.into_iter().enumerate() {
            let slice = Slice::new(format!("s-{n}"), service("s"), kind);
            let ports = ports.into_iter();
            let slice = ports.fold(slice, |slice, (port, number)| slice.with_port(name(port), number, Protocol::Tcp));
            slices.push(endpoints.into_iter().fold(slice, Slice::with_endpoint));
        }
        slices
    })
}

fn slices_and_permutation() -> impl Strategy<Value = (Vec<Slice>, Vec<Slice>)> {
    slices().prop_flat_map(|slices| (Just(slices.clone()), Just(slices).prop_shuffle()))
}

proptest! {
    #[test]
    fn order_of_arrival_does_not_matter((slices, shuffled) in slices_and_permutation()) {
        prop_assert_eq!(all(&slices, "http"), all(&shuffled, "http"));
    }

    #[test]
    fn contains_each_matching_address_exactly_once(slices in slices(), primary_v6: bool) {
        let primary = if primary_v6 { AddressType::Ipv6 } else { AddressType::Ipv4 };
        let merged = endpoints(&slices, &tcp("http"), primary, Families::Both);
        let addrs: Vec<_> = merged.iter().flat_map(Endpoint::addrs).collect();
        let distinct: BTreeSet<_> = addrs.iter().copied().collect();
        prop_assert_eq!(addrs.len(), distinct.len());
        let mut expected = BTreeSet::new();
        for slice in &slices {
            for port in slice.ports.iter().filter(|port| port.name == name("http")) {
                let matching = slice.endpoints.iter().filter(|e| slice.address_type.holds(e.address));
                expected.extend(matching.map(|e| std::net::SocketAddr::new(e.address, port.number)));
            }
        }
        prop_assert_eq!(distinct, expected);
    }

    #[test]
    fn terminating_entries_never_hide_running_ones(slices in slices()) {
        for endpoint in all(&slices, "http").iter().filter(|e| e.conditions().terminating && e.addrs().count() == 1) {
            let same = slices.iter().filter(|s| s.address_type.holds(endpoint.addr().ip()));
            let same = same.filter(|s| s.ports.iter().any(|p| p.name == name("http") && p.number == endpoint.port()));
            let mut entries = same.flat_map(|s| &s.endpoints).filter(|e| e.address == endpoint.addr().ip());
            prop_assert!(entries.all(|entry| entry.conditions.terminating));
        }
    }

    #[test]
    fn usable_endpoints_are_all_ready_or_all_terminating(slices in slices()) {
        let used = usable(all(&slices, "http"));
        let ready = used.iter().filter(|e| e.conditions().ready).count();
        prop_assert!(ready == used.len() || ready == 0);
        prop_assert!(used.iter().all(|e| e.conditions().ready || e.conditions().serving && e.conditions().terminating));
    }
}
