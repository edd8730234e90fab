//! Which variables answer for which target.

use super::*;

#[test]
fn a_target_means_one_of_the_named_ports() {
    let host = ("ORDERS_SERVICE_HOST", "10.0.0.11");
    let several = [host, ("ORDERS_SERVICE_PORT_METRICS", "9090"), ("ORDERS_SERVICE_PORT_API", "80")];
    let scheme = [host, ("ORDERS_SERVICE_PORT", "80"), ("ORDERS_SERVICE_PORT_HTTP", "8080")];
    let one = [host, ("ORDERS_SERVICE_PORT_API", "8080")];
    for (vars, target, answer) in [
        (&several[..], "orders:api", "10.0.0.11:80"),
        (&several[..], "orders:9090", "10.0.0.11:9090"),
        (&several[..], "_api._udp.orders", "10.0.0.11:80"),
        (&several[..], "http://orders", "10.0.0.11:80"),
        (&several[..], "https://orders", "not applicable"),
        (&several[..], "orders", "not applicable"),
        (&scheme[..], "http://orders", "10.0.0.11:8080"),
        (&scheme[..], "orders:80", "10.0.0.11:80"),
        (&scheme[..], "orders", "10.0.0.11:80"),
        (&one[..], "http://orders", "10.0.0.11:8080"),
        (&one[..], "grpc://orders", "10.0.0.11:8080"),
        (&one[..], "orders", "10.0.0.11:8080"),
        (&one[..], "orders:grpc", "not applicable"),
    ] {
        assert_eq!(outcome(vars, target), answer, "{target} {vars:?}");
    }
}

#[test]
fn a_host_without_ports_uses_the_port_of_the_target() {
    let laptop = [("ORDERS_SERVICE_HOST", "127.0.0.1"), ("ORDERS_PORT", "8080")];
    assert_eq!(outcome(&laptop, "orders:9000"), "127.0.0.1:9000");
    assert_eq!(outcome(&laptop, "https://orders.shop"), "127.0.0.1:443");
    assert_eq!(outcome(&laptop, "orders:http"), "not applicable");
    for target in ["orders", "foo://orders"] {
        let error = outcome(&laptop, target);
        assert!(error.contains("set `ORDERS_SERVICE_PORT`") && error.contains("`ORDERS_SERVICE_HOST`"), "{error}");
    }
    let evidence: Vec<String> = lookup(&laptop, "orders:80").evidence.iter().map(ToString::to_string).collect();
    assert_eq!(evidence[..2], ["ORDERS_SERVICE_HOST: 127.0.0.1", "ORDERS_PORT: 8080"]);
    assert!(evidence[2].starts_with("ORDERS_PORT: ignored: not a Docker link"), "{evidence:?}");
}

#[test]
fn a_host_is_an_address_or_localhost() {
    for (host, answer) in [
        (" 10.0.0.11 ", "10.0.0.11:80"),
        ("fd00::11", "[fd00::11]:80"),
        ("[fd00::11]", "[fd00::11]:80"),
        ("LocalHost", "127.0.0.1:80 [::1]:80"),
        ("", "not applicable"),
        (" ", "not applicable"),
    ] {
        assert_eq!(outcome(&[("ORDERS_SERVICE_HOST", host)], "orders:80"), answer, "{host:?}");
    }
}

#[test]
fn docker_links_are_enough() {
    let addr = [("ORDERS_PORT_80_TCP_ADDR", "10.0.0.11"), ("ORDERS_PORT_80_TCP_PORT", "80")];
    assert_eq!(outcome(&addr, "orders:80"), "10.0.0.11:80");
    assert_eq!(outcome(&addr, "orders"), "10.0.0.11:80");
    assert_eq!(outcome(&[("ORDERS_PORT", "tcp://[fd00::1]:80")], "orders"), "[fd00::1]:80");
    assert_eq!(outcome(&[("ORDERS_PORT", "tcp://localhost:80")], "http://orders"), "127.0.0.1:80 [::1]:80");
    assert_eq!(outcome(&[("ORDERS_PORT_80_UDP", "udp://10.0.0.11:80")], "orders:80"), "not applicable");
    assert_eq!(outcome(&[("ORDERS_PORT_RANGE", "1-2"), ("ORDERS_PORT_80_HTTP", "x")], "orders:80"), "not applicable");
}

/// In a cluster all variables are set; a pod spec that sets the two main variables moves the Service.
#[test]
fn the_docker_links_of_a_moved_service_are_ignored() {
    let moved = [
        ("ORDERS_SERVICE_HOST", "127.0.0.1"),
        ("ORDERS_SERVICE_PORT", "9000"),
        ("ORDERS_PORT", "tcp://10.0.0.11:80"),
        ("ORDERS_PORT_80_TCP_ADDR", "10.0.0.11"),
    ];
    assert_eq!(outcome(&moved, "http://orders"), "127.0.0.1:9000");
    let evidence = lookup(&moved, "orders").evidence;
    assert!(evidence.iter().any(|line| line.answer.contains("ignored")), "{evidence:?}");
}

/// The first link of `orders-service` has the same name as the port of `orders`.
#[test]
fn a_service_whose_name_ends_in_service_keeps_its_own_variables() {
    let other = [
        ("ORDERS_SERVICE_SERVICE_HOST", "10.0.0.12"),
        ("ORDERS_SERVICE_SERVICE_PORT", "81"),
        ("ORDERS_SERVICE_PORT", "tcp://10.0.0.12:81"),
        ("ORDERS_SERVICE_PORT_81_TCP", "tcp://10.0.0.12:81"),
        ("ORDERS_SERVICE_PORT_81_TCP_PROTO", "tcp"),
        ("ORDERS_SERVICE_PORT_81_TCP_PORT", "81"),
        ("ORDERS_SERVICE_PORT_81_TCP_ADDR", "10.0.0.12"),
    ];
    assert_eq!(outcome(&other, "orders:81"), "not applicable");
    assert_eq!(outcome(&other, "orders-service"), "10.0.0.12:81");
    let mut both = other.to_vec();
    both.extend([("ORDERS_SERVICE_HOST", "10.0.0.11"), ("ORDERS_PORT", "tcp://10.0.0.11:80")]);
    assert_eq!(outcome(&both, "orders"), "10.0.0.11:80");
    let repeated = [("A_SERVICE_HOST", "10.0.0.1"), ("A_SERVICE_A_SERVICE_HOST", "10.0.0.2")];
    assert_eq!(outcome(&repeated, "a:80"), "10.0.0.1:80");
    assert_eq!(outcome(&[("A_SERVICE_host", "10.0.0.1")], "a:80"), "not applicable", "names are case-sensitive");
}

/// An application names its own settings as the kubelet names those of a Service: without an address they are not the
/// variables of a Service, whatever their values are.
#[test]
fn variables_that_only_look_like_those_of_a_service_are_skipped_with_a_reason() {
    for (name, value) in [
        ("ORDERS_SERVICE_PORT", "8080"),
        ("ORDERS_SERVICE_PORT", "http"),
        ("ORDERS_SERVICE_PORT_API", "80"),
        ("ORDERS_SERVICE_PORT_API", "x"),
        ("ORDERS_SERVICE_PORT_FILE", "/run/secrets/port"),
        ("ORDERS_SERVICE_HOST_FILE", "/run/secrets/host"),
        ("ORDERS_SERVICE_HOSTS", "10.0.0.1,10.0.0.2"),
        ("ORDERS_PORT", "8080"),
        ("ORDERS_PORT_RANGE", "8000-8010"),
        ("ORDERS_PORT_80_TCP_PROTO", "tcp"),
        ("ORDERS_PORT_80_TCP_PORT", "80"),
    ] {
        assert_eq!(outcome(&[(name, value)], "orders:80"), "not applicable", "{name}");
        let evidence: Vec<String> =
            lookup(&[(name, value)], "orders:80").evidence.iter().map(|e| e.to_string()).collect();
        assert_eq!(evidence.last().map(String::as_str), Some("ORDERS_SERVICE_HOST: not set"), "{name}");
        let skipped = |line: &String| line.starts_with(&format!("{name}: skipped: ")) || line.contains("ignored: ");
        assert!(name == "ORDERS_SERVICE_HOSTS" || evidence.iter().any(skipped), "{evidence:?}");
    }
}

/// The suffix says that the value is not a port number, so it is none of the Service's ports.
#[test]
fn a_suffix_that_names_no_port_does_not_spoil_an_override() {
    let host = ("ORDERS_SERVICE_HOST", "10.0.0.11");
    for (name, value) in [
        ("ORDERS_SERVICE_PORT_FILE", "/run/secrets/port"),
        ("ORDERS_SERVICE_PORT_HTTP_PATH", "/v1"),
        ("ORDERS_SERVICE_PORT_RANGE", "8000-8010"),
        ("ORDERS_SERVICE_PORT_PROTOCOL", "tcp"),
        ("ORDERS_SERVICE_PORT_http", "x"),
        ("ORDERS_SERVICE_PORT__", "x"),
        ("ORDERS_SERVICE_PORT_", "x"),
        ("ORDERS_SERVICE_PORT_LONGER_THAN_A_PORT_NAME", "x"),
        ("ORDERS_SERVICE_HOST_FILE", "/run/secrets/host"),
    ] {
        assert_eq!(outcome(&[host, (name, value)], "orders:80"), "10.0.0.11:80", "{name}");
        let evidence = lookup(&[host, (name, value)], "orders:80").evidence;
        assert!(evidence.iter().any(|e| e.asked == name && e.answer.starts_with("skipped: ")), "{evidence:?}");
    }
    // A number is a port, whatever its name is.
    assert_eq!(outcome(&[host, ("ORDERS_SERVICE_PORT_FILE", "90")], "orders:file"), "10.0.0.11:90");
}

#[test]
fn a_host_may_be_a_host_name() {
    for (host, target, answer) in [
        ("db.example.com", "orders:80", "db.example.com:80"),
        ("DB.Example.com.", "http://orders", "db.example.com.:80"),
        ("orders.billing.svc", "orders.shop:8080", "orders.billing.svc:8080"),
        ("db", "orders:80", "db:80"),
        ("api.localhost", "orders:80", "127.0.0.1:80 [::1]:80"),
    ] {
        let outcome = outcome(&[("ORDERS_SERVICE_HOST", host)], target);
        assert!(outcome == answer || outcome.ends_with(&format!(": asked for {answer}")), "{host}: {outcome}");
    }
    let port =
        [("ORDERS_SERVICE_HOST", "db.corp"), ("ORDERS_SERVICE_PORT", "9000"), ("ORDERS_PORT", "tcp://10.0.0.1:80")];
    assert!(outcome(&port, "orders").ends_with(": asked for db.corp:9000"));
    assert_eq!(outcome(&port, "orders:80"), "not applicable");
}
