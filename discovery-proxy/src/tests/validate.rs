//! The API server's validation and its texts. Upstream: TestValidateService, TestValidateEndpointSlice.

use super::world::*;
use crate::{
    object::*,
    validate::{ErrorKind, Rules},
};

fn rules() -> Rules {
    Rules::default().with_service_cidrs([cidr("10.96.0.0/12")])
}

fn refused(service: &Service) -> Vec<String> {
    rules().service(service).iter().map(ToString::to_string).collect()
}

fn refused_slice(slice: &EndpointSlice) -> Vec<String> {
    rules().endpoint_slice(slice).iter().map(ToString::to_string).collect()
}

fn with_port(port: ServicePort) -> Service {
    Service { service_type: ServiceType::NodePort, ports: vec![port], ..service() }
}

fn http() -> ServicePort {
    ServicePort { name: "http".into(), port: 80, ..ServicePort::default() }
}

#[test]
fn accepts_valid_objects() {
    assert!(refused(&service()).is_empty());
    assert!(refused(&with_port(ServicePort { node_port: 30_080, ..http() })).is_empty());
    assert!(refused(&named("headless", "None")).is_empty());
    assert!(refused_slice(&slice(pods(3))).is_empty());
    let alias = Service {
        service_type: ServiceType::ExternalName,
        external_name: "db.example.com".into(),
        cluster_ip: String::new(),
        cluster_ips: vec![],
        ports: vec![],
        ..service()
    };
    assert!(refused(&alias).is_empty());
}

#[test]
fn rejects_node_port_outside_the_range() {
    let errors = rules().service(&with_port(ServicePort { node_port: 80, ..http() }));
    assert_eq!(
        errors[0].to_string(),
        "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is \
         30000-32767"
    );
    assert_eq!((errors[0].field(), errors[0].kind()), ("spec.ports[0].nodePort", ErrorKind::Invalid));
    assert!(rules().with_node_ports(3_000..=4_000).service(&exposed()).is_empty());
}

#[test]
fn rejects_node_port_of_a_cluster_ip_service() {
    let service =
        Service { service_type: ServiceType::ClusterIp, ..with_port(ServicePort { node_port: 30_080, ..http() }) };
    assert_eq!(refused(&service), ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"]);
}

#[test]
fn rejects_cluster_ip_outside_the_service_range() {
    assert_eq!(
        refused(&named("web", "10.244.0.1")),
        ["spec.clusterIPs: Invalid value: [\"10.244.0.1\"]: failed to allocate IP 10.244.0.1: the provided IP \
          (10.244.0.1) is not in the valid range. The range of valid IPs is 10.96.0.0/12"]
    );
    assert!(Rules::default().service(&named("web", "10.244.0.1")).is_empty());
    assert_eq!(
        refused(&named("web", "10.96.0")),
        [
            "spec.clusterIPs[0]: Invalid value: \"10.96.0\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        ]
    );
}

#[test]
fn rejects_contradicting_cluster_ips() {
    let service = Service { cluster_ips: vec!["10.96.0.11".into()], ..service() };
    assert!(refused(&service)[0].ends_with("first value must match `clusterIP`"));
    let families = Service { ip_families: vec![IpFamily::V6], ..super::world::service() };
    assert_eq!(refused(&families), ["spec.clusterIPs[0]: Invalid value: \"10.96.0.10\": expected an IPv6 value"]);
    let three = Service {
        cluster_ips: ["10.96.0.10", "fd00::1", "10.96.0.12"].map(Into::into).into(),
        ..super::world::service()
    };
    assert!(refused(&three)[0].contains("may only hold up to 2 values"));
    let headless = Service { service_type: ServiceType::NodePort, ..named("web", "None") };
    assert!(refused(&headless)[0].contains("may not be set to 'None'"));
}

#[test]
fn rejects_names_that_are_not_labels() {
    for name in ["", "Web", "1web", "web-", "web_1", &"w".repeat(64)] {
        let errors = rules().service(&named(name, "10.96.0.10"));
        assert_eq!(errors.iter().map(|error| error.field()).collect::<Vec<_>>(), ["metadata.name"], "{name}");
    }
    let port = with_port(ServicePort { name: "HTTP".into(), ..http() });
    assert!(refused(&port)[0].starts_with("spec.ports[0].name: Invalid value: \"HTTP\": a lowercase RFC 1123 label"));
}

#[test]
fn an_empty_name_is_missing() {
    assert_eq!(refused(&named("", "10.96.0.10")), ["metadata.name: Required value: name or generateName is required"]);
    let nowhere = Service { namespace: String::new(), ..service() };
    assert_eq!(refused(&nowhere), ["metadata.namespace: Required value"]);
    let unnamed = EndpointSlice { name: String::new(), ..slice(pods(1)) };
    assert_eq!(refused_slice(&unnamed), ["metadata.name: Required value: name or generateName is required"]);
    let badly_named = EndpointSlice { name: "Web_1".into(), ..slice(pods(1)) };
    assert!(
        refused_slice(&badly_named)[0].starts_with("metadata.name: Invalid value: \"Web_1\": a lowercase RFC 1123")
    );
}

/// The error shows the address, although `clusterIPs` is not set.
#[test]
fn an_error_about_cluster_ips_shows_the_only_one() {
    let service = Service { cluster_ips: vec![], ..named("web", "10.244.0.1") };
    assert!(refused(&service)[0].starts_with("spec.clusterIPs: Invalid value: [\"10.244.0.1\"]:"));
}

#[test]
fn rejects_two_addresses_or_two_families_of_one_kind() {
    for (family, name) in [(IpFamily::V4, "IPv4"), (IpFamily::V6, "IPv6")] {
        let headless = Service { ip_families: vec![family, family], ..named("web", "None") };
        assert_eq!(refused(&headless), [format!("spec.ipFamilies[1]: Duplicate value: {name:?}")]);
    }
    let dual = Service { ip_families: vec![IpFamily::V6, IpFamily::V4], ..named("web", "None") };
    assert!(refused(&dual).is_empty());
    let twice = Service { cluster_ips: ["10.96.0.10", "10.96.0.11"].map(Into::into).into(), ..service() };
    assert_eq!(
        refused(&twice),
        [
            "spec.clusterIPs: Invalid value: [\"10.96.0.10\", \"10.96.0.11\"]: may specify no more than one IP for each IP \
          family"
        ]
    );
}

#[test]
fn rejects_target_ports_that_are_neither_number_nor_name() {
    for target in ["", "8080", "1", "65535", "http", "http-2", "8a"] {
        assert!(refused(&with_port(ServicePort { target_port: target.into(), ..http() })).is_empty(), "{target}");
    }
    for (target, value, details) in [
        ("0", "0", &["must be between 1 and 65535, inclusive"][..]),
        ("-1", "-1", &["must be between 1 and 65535, inclusive"]),
        ("65536", "65536", &["must be between 1 and 65535, inclusive"]),
        ("this_is_bad", "\"this_is_bad\"", &["must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"]),
        (
            "HTTP",
            "\"HTTP\"",
            &[
                "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
                "must contain at least one letter (a-z)",
            ],
        ),
        ("a-name-of-sixteen", "\"a-name-of-sixteen\"", &["must be no more than 15 characters"]),
        ("a--b", "\"a--b\"", &["must not contain consecutive hyphens"]),
        ("a-", "\"a-\"", &["must not begin or end with a hyphen"]),
    ] {
        let field = "spec.ports[0].targetPort: Invalid value";
        let expected: Vec<_> = details.iter().map(|detail| format!("{field}: {value}: {detail}")).collect();
        assert_eq!(refused(&with_port(ServicePort { target_port: target.into(), ..http() })), expected, "{target}");
    }
}

#[test]
fn rejects_external_names_that_are_not_host_names() {
    let alias = |name: &str| Service {
        service_type: ServiceType::ExternalName,
        external_name: name.into(),
        cluster_ip: String::new(),
        cluster_ips: vec![],
        ..service()
    };
    for name in ["db.example.com", "db.example.com.", "db", "10.0.0.1", "1a"] {
        assert!(refused(&alias(name)).is_empty(), "{name}");
    }
    for name in ["Not A Name", "DB.example.com", "a..b", "-a.b", "a-.b", "a_b.c", ".a", "a.b..", "http://a"] {
        let shown = format!("{:?}", name.strip_suffix('.').unwrap_or(name));
        let error = &refused(&alias(name))[..];
        let expected =
            format!("spec.externalName: Invalid value: {shown}: a lowercase RFC 1123 subdomain must consist");
        assert!(error.len() == 1 && error[0].starts_with(&expected), "{name}: {error:?}");
    }
    for name in ["", "."] {
        assert_eq!(refused(&alias(name)), ["spec.externalName: Required value"], "{name}");
    }
    let long = format!("{}a", "a.".repeat(127));
    assert!(refused(&alias(&long))[0].ends_with("must be no more than 253 characters"));
}

#[test]
fn rejects_a_health_check_node_port_outside_the_range() {
    let balanced = |port: i32| Service {
        service_type: ServiceType::LoadBalancer,
        external_traffic_policy: TrafficPolicy::Local,
        health_check_node_port: port,
        ..service()
    };
    assert!(refused(&balanced(30_100)).is_empty() && refused(&balanced(0)).is_empty());
    for port in [80, 29_999, 32_768, 99_999] {
        assert_eq!(
            refused(&balanced(port)),
            [format!(
                "spec.healthCheckNodePort: Invalid value: {port}: provided port is not in the valid range. The range of \
                 valid ports is 30000-32767"
            )]
        );
    }
    assert_eq!(
        refused(&balanced(-1)),
        ["spec.healthCheckNodePort: Invalid value: -1: HealthCheckNodePort must be not less than 0"]
    );
}

#[test]
fn rejects_missing_and_duplicate_ports() {
    assert_eq!(refused(&Service { ports: vec![], ..service() }), ["spec.ports: Required value"]);
    let zero = with_port(ServicePort { port: 0, ..http() });
    assert_eq!(refused(&zero), ["spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"]);
    let unnamed = Service { ports: vec![http(), ServicePort { name: String::new(), port: 81, ..http() }], ..service() };
    assert_eq!(refused(&unnamed), ["spec.ports[1].name: Required value"]);
    let twice = Service { ports: vec![http(), http()], ..service() };
    assert_eq!(
        refused(&twice),
        ["spec.ports[1].name: Duplicate value: \"http\"", "spec.ports[1]: Duplicate value: 80"]
    );
    let udp = ServicePort { name: "udp".into(), protocol: Protocol::Udp, ..http() };
    assert!(refused(&Service { ports: vec![http(), udp], ..service() }).is_empty());
}

#[test]
fn external_name_service_needs_a_name_and_no_address() {
    let alias = Service { service_type: ServiceType::ExternalName, ..service() };
    assert_eq!(
        refused(&alias),
        ["spec.clusterIP: Forbidden: may not be set for ExternalName services", "spec.externalName: Required value"]
    );
}

#[test]
fn rejects_affinity_timeout_over_a_day() {
    assert!(refused(&sticky(86_400)).is_empty());
    for seconds in [0, -1, 86_401] {
        assert_eq!(
            refused(&sticky(seconds)),
            [format!(
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: {seconds}: must be greater than 0 and \
                 less than 86400"
            )]
        );
    }
    let none = Service { session_affinity_timeout: Some(10), ..service() };
    assert!(refused(&none)[0].ends_with("Forbidden: must not be set when session affinity is None"));
}

#[test]
fn rejects_external_settings_without_external_access() {
    let local = Service { external_traffic_policy: TrafficPolicy::Local, ..service() };
    assert_eq!(
        refused(&local),
        ["spec.externalTrafficPolicy: Invalid value: \"Local\": may only be set for externally-accessible services"]
    );
    let ranges = Service { load_balancer_source_ranges: vec!["10.0.0.0/8".into()], ..service() };
    assert!(refused(&ranges)[0].contains("may only be used when `type` is 'LoadBalancer'"));
    let health = Service { health_check_node_port: 30_100, ..service() };
    assert!(refused(&health)[0].starts_with("spec.healthCheckNodePort: Invalid value: 30100"));
    let loopback = Service { external_ips: vec!["127.0.0.1".into()], ..service() };
    assert!(refused(&loopback)[0].contains("loopback range"));
    let ingress = LoadBalancerIngress { hostname: "lb".into(), ip_mode: Some(IpMode::Vip), ..Default::default() };
    let host = Service { load_balancer_ingress: vec![ingress], ..service() };
    assert!(refused(&host)[0].ends_with("Forbidden: may not be specified when `ip` is not set"));
}

#[test]
fn rejects_special_endpoint_addresses() {
    for (ip, detail) in [
        ("127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        ("169.254.0.1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        ("224.0.0.1", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
        ("0.0.0.0", "may not be unspecified (0.0.0.0)"),
        ("fd00::1", "must be an IPv4 address"),
    ] {
        assert_eq!(
            refused_slice(&slice([pod(ip)])),
            [format!("endpoints[0].addresses[0]: Invalid value: {ip:?}: {detail}")]
        );
    }
    let none = SliceEndpoint::default();
    assert_eq!(
        refused_slice(&slice([none])),
        ["endpoints[0].addresses: Required value: must contain at least 1 address"]
    );
}

#[test]
fn rejects_slice_with_more_than_a_thousand_endpoints() {
    let many = slice((0..1001).map(|n| pod(&format!("10.244.{}.{}", n / 250, n % 250 + 1))));
    assert_eq!(refused_slice(&many), ["endpoints: Too many: 1001: must have at most 1000 items"]);
}

#[test]
fn rejects_duplicate_port_names_in_a_slice() {
    let port = SlicePort { name: Some("a".into()), port: Some(0), ..SlicePort::default() };
    let twice = EndpointSlice { ports: vec![port.clone(), SlicePort { port: Some(1), ..port }], ..slice(pods(1)) };
    assert_eq!(
        refused_slice(&twice),
        [
            "ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "ports[1].name: Duplicate value: \"a\""
        ]
    );
}

#[test]
fn unsupported_value_has_its_own_error() {
    let error = "HTTP".parse::<Protocol>().unwrap_err();
    assert_eq!(
        crate::validate::FieldError::unsupported("spec.ports[0].protocol", &error).to_string(),
        "spec.ports[0].protocol: Unsupported value: \"HTTP\": supported values: \"SCTP\", \"TCP\", \"UDP\""
    );
}
