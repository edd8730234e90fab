//! Any text is parsed, or rejected with an error that is safe to log. What is parsed prints as text that parses to an
//! equal value.

use discovery_core::{
    name::{ClusterDomain, DomainName, Hostname, Namespace, PortName, ServiceName, Target},
    plan::{Plan, Scope},
};
use discovery_proxy::{
    Cidr,
    object::{AddressType, Affinity, Protocol, ServiceType, TrafficPolicy},
};

use crate::text::{loggable, round_trips};

pub(crate) fn check(bytes: &[u8]) {
    let input = &*String::from_utf8_lossy(bytes);
    check_labels(input);
    check_objects(input);
    let target = match Target::new(input) {
        Ok(target) => target,
        Err(error) => {
            assert!(!error.rule().is_empty() && !error.remedy().is_empty());
            return loggable(&error.to_string());
        }
    };
    round_trips::<Target>(input);
    // What the parts of a target print is what they parse from.
    if let discovery_core::name::Host::Name { name, .. } = target.host() {
        round_trips::<DomainName>(name.as_str());
    }

    // Every target can be planned, and the plan holds only names that fit into a question.
    let scope = Scope::new(Namespace::new("shop").ok(), ClusterDomain::new("cluster.local").ok());
    for candidate in Plan::new(&target, &scope).dns {
        let text = format!("{:?}", candidate.question);
        assert!(text.len() < 600, "{text}");
    }
}

fn check_labels(input: &str) {
    round_trips::<ServiceName>(input);
    round_trips::<Namespace>(input);
    round_trips::<PortName>(input);
    round_trips::<Hostname>(input);
    round_trips::<DomainName>(input);
    round_trips::<ClusterDomain>(input);
}

fn check_objects(input: &str) {
    round_trips::<Protocol>(input);
    round_trips::<AddressType>(input);
    round_trips::<ServiceType>(input);
    round_trips::<TrafficPolicy>(input);
    round_trips::<Affinity>(input);
    if let Some(range) = Cidr::parse(input) {
        assert_eq!(Cidr::parse(&range.to_string()), Some(range), "{input:?} prints as {range}");
    }
    if let Some(ip) = discovery_proxy::parse_ip(input) {
        assert_eq!(discovery_proxy::parse_ip(&ip.to_string()), Some(ip), "{input:?}");
        assert_eq!(discovery_core::source::kubernetes::model::parse_ip(input), Some(ip), "{input:?}");
    }
}

pub(crate) fn corpus() -> Vec<Vec<u8>> {
    [
        "orders",
        "orders:8080",
        "orders.shop:http",
        "orders.shop.svc.cluster.local.:80",
        "web-0.orders.shop.svc:8080",
        "_http._tcp.orders.shop",
        "_8083._tcp.orders",
        "_dns._udp.kube-dns.kube-system.svc",
        "http://orders.shop/v1/items?id=7",
        "https://user:secret@API_Gateway:8443/",
        "http://_8083._tcp.orders.shop/v1",
        "grpc://rates",
        "10.0.0.1:80",
        "[::1]:80",
        "[::ffff:10.0.0.1]:80",
        "2001:db8::7",
        "localhost:3000",
        "b\u{fc}cher_1.example",
        "_dmarc.example.com.",
        "10.0.0.0/8",
        "::ffff:10.0.0.0/104",
        "::ffff:1.2.3.4/95",
        "203.0.113.000/025",
        "fd00::/108",
        "172.30.0.041",
        "LoadBalancer",
        "ClientIP",
        "SCTP",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
