//! The ports of a Service as the proxy sees them. Upstream: TestServiceToServiceMap, TestShouldSkipService.

use super::world::*;
use crate::{object::*, service_ports};

fn ports(service: &Service, family: IpFamily) -> Vec<String> {
    let ports = service_ports(service, family);
    ports.iter().map(|(name, info)| format!("{name}/{} {}:{}", name.protocol, info.cluster_ip, info.port)).collect()
}

#[test]
fn ports_are_identified_by_service_name_and_protocol() {
    let port = |name: &str, protocol, port| ServicePort { name: name.into(), protocol, port, ..ServicePort::default() };
    let dns = Service {
        ports: vec![
            port("dns", Protocol::Udp, 53),
            port("dns-tcp", Protocol::Tcp, 53),
            port("dns-sctp", Protocol::Sctp, 53),
        ],
        ..service()
    };
    assert_eq!(
        ports(&dns, IpFamily::V4),
        [
            "default/web:dns/UDP 10.96.0.10:53",
            "default/web:dns-tcp/TCP 10.96.0.10:53",
            "default/web:dns-sctp/SCTP 10.96.0.10:53"
        ]
    );
}

/// An API server rejects such a Service. kube-proxy keeps its ports in a map by name and protocol.
#[test]
fn of_two_ports_with_one_name_the_last_one_is_served_in_every_mode() {
    let port = |port| ServicePort { port, ..ServicePort::default() };
    let twice = Service { ports: vec![port(80), port(81)], ..service() };
    assert_eq!(ports(&twice, IpFamily::V4), ["default/web/TCP 10.96.0.10:81"]);
    for mode in all_modes() {
        let mut world = World::new(mode.clone()).service(&twice).slice(&slice(pods(1)));
        assert_eq!(world.reached(POD, "10.96.0.10:81").len(), 1, "{mode:?}");
        assert_eq!(world.to(POD, "10.96.0.10:80"), "", "{mode:?}");
        world.proxy.apply_endpoint_slice(&slice(pods(2)));
        assert!(world.sync().published, "{mode:?}");
        assert_eq!(world.reached(POD, "10.96.0.10:81").len(), 2, "{mode:?}");
    }
}

#[test]
fn headless_service_is_not_proxied() {
    assert!(ports(&named("web", "None"), IpFamily::V4).is_empty());
    assert!(ports(&named("web", ""), IpFamily::V4).is_empty());
}

#[test]
fn external_name_service_is_not_proxied_even_with_an_address() {
    let alias = Service { service_type: ServiceType::ExternalName, ..service() };
    assert!(ports(&alias, IpFamily::V4).is_empty());
}

#[test]
fn cluster_ip_of_a_family_has_the_index_of_that_family() {
    let dual = Service {
        cluster_ips: vec!["10.96.0.10".into(), "fd00:96::a".into()],
        ip_families: vec![IpFamily::V4, IpFamily::V6],
        ..service()
    };
    assert_eq!(ports(&dual, IpFamily::V4), ["default/web/TCP 10.96.0.10:80"]);
    assert_eq!(ports(&dual, IpFamily::V6), ["default/web/TCP fd00:96::a:80"]);
}

#[test]
fn without_families_the_cluster_ip_decides_the_family() {
    assert_eq!(ports(&service(), IpFamily::V4).len(), 1);
    assert!(ports(&service(), IpFamily::V6).is_empty());
}

#[test]
fn ignores_services_of_the_other_family() {
    let v6 = Service { ip_families: vec![IpFamily::V6], ..named("web", "fd00:96::a") };
    assert!(ports(&v6, IpFamily::V4).is_empty());
}

#[test]
fn external_addresses_and_ranges_are_filtered_by_family() {
    let mixed = Service {
        external_ips: vec!["198.51.100.007".into(), "2001:db8::7".into(), "not an address".into()],
        load_balancer_ingress: ["198.51.100.8", "2001:db8::8"]
            .map(|ip| LoadBalancerIngress { ip: ip.into(), ..Default::default() })
            .into(),
        load_balancer_source_ranges: vec![" 10.0.0.0/8 ".into(), "2001:db8::/32".into(), "wrong".into()],
        ..service()
    };
    let (_, info) = service_ports(&mixed, IpFamily::V4).remove(0);
    assert_eq!(info.external_ips, [std::net::IpAddr::from([198, 51, 100, 7])]);
    assert_eq!(info.load_balancer_vips, [std::net::IpAddr::from([198, 51, 100, 8])]);
    assert_eq!(info.source_ranges, [cidr("10.0.0.0/8")]);
}

#[test]
fn captures_only_load_balancer_addresses_in_vip_mode() {
    let ingress = |ip: &str, ip_mode| LoadBalancerIngress { ip: ip.into(), ip_mode, hostname: String::new() };
    let service = Service {
        load_balancer_ip: "198.51.100.9".into(),
        load_balancer_ingress: vec![
            ingress("198.51.100.1", Some(IpMode::Proxy)),
            ingress("198.51.100.2", Some(IpMode::Vip)),
            ingress("198.51.100.3", None),
            LoadBalancerIngress { hostname: "lb.example".into(), ..Default::default() },
        ],
        ..service()
    };
    let (_, info) = service_ports(&service, IpFamily::V4).remove(0);
    let vips: Vec<_> = info.load_balancer_vips.iter().map(ToString::to_string).collect();
    assert_eq!(vips, ["198.51.100.2", "198.51.100.3"]);
}

#[test]
fn accepts_node_ports_outside_the_range() {
    let low = Service { ports: vec![ServicePort { port: 80, node_port: 80, ..ServicePort::default() }], ..service() };
    assert_eq!(service_ports(&low, IpFamily::V4)[0].1.node_port, 80);
}

#[test]
fn affinity_timeout_defaults_to_three_hours() {
    let sticky = Service { session_affinity: Affinity::ClientIp, ..service() };
    assert_eq!(service_ports(&sticky, IpFamily::V4)[0].1.affinity, Some(secs(10_800)));
    assert_eq!(service_ports(&service(), IpFamily::V4)[0].1.affinity, None);
}

#[test]
fn externally_accessible_by_node_port_load_balancer_or_external_ip() {
    let accessible = |service: &Service| service_ports(service, IpFamily::V4)[0].1.externally_accessible();
    assert!(!accessible(&service()));
    assert!(accessible(&Service { external_ips: vec!["198.51.100.7".into()], ..service() }));
    let ingress = vec![LoadBalancerIngress { ip: "198.51.100.8".into(), ..Default::default() }];
    assert!(accessible(&Service { load_balancer_ingress: ingress, ..service() }));
    let ports = vec![ServicePort { port: 80, node_port: 3001, ..ServicePort::default() }];
    assert!(accessible(&Service { ports, ..service() }));
}

#[test]
fn health_check_port_needs_a_load_balancer_and_policy_local() {
    let port = |service: &Service| service_ports(service, IpFamily::V4)[0].1.health_check_node_port;
    let checked =
        Service { external_traffic_policy: TrafficPolicy::Local, health_check_node_port: 30_100, ..exposed() };
    assert_eq!(port(&checked), 30_100);
    assert_eq!(port(&Service { service_type: ServiceType::NodePort, ..checked.clone() }), 0);
    assert_eq!(port(&Service { external_traffic_policy: TrafficPolicy::Cluster, ..checked }), 0);
}

#[test]
fn protocols_parse_in_the_apis_spelling() {
    assert_eq!("UDP".parse(), Ok(Protocol::Udp));
    assert_eq!("".parse(), Ok(Protocol::Tcp));
    let error = "http".parse::<Protocol>().unwrap_err();
    assert_eq!(error.to_string(), "Unsupported value: \"http\": supported values: \"SCTP\", \"TCP\", \"UDP\"");
}
