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
        (&several[..], "https://orders", "silent"),
        (&several[..], "orders", "silent"),
        (&scheme[..], "http://orders", "10.0.0.11:8080"),
        (&scheme[..], "orders:80", "10.0.0.11:80"),
        (&scheme[..], "orders", "10.0.0.11:80"),
        (&one[..], "http://orders", "10.0.0.11:8080"),
        (&one[..], "grpc://orders", "10.0.0.11:8080"),
        (&one[..], "orders", "10.0.0.11:8080"),
        (&one[..], "orders:grpc", "silent"),
    ] {
        assert_eq!(told(vars, target), answer, "{target} {vars:?}");
    }
}

#[test]
fn a_host_alone_takes_the_port_of_the_target() {
    let laptop = [("ORDERS_SERVICE_HOST", "127.0.0.1"), ("ORDERS_PORT", "8080")];
    assert_eq!(told(&laptop, "orders:9000"), "127.0.0.1:9000");
    assert_eq!(told(&laptop, "https://orders.shop"), "127.0.0.1:443");
    assert_eq!(told(&laptop, "orders:http"), "silent");
    for target in ["orders", "foo://orders"] {
        let error = told(&laptop, target);
        assert!(error.contains("set `ORDERS_SERVICE_PORT`") && error.contains("`ORDERS_SERVICE_HOST`"), "{error}");
    }
    let said: Vec<String> = asked(&laptop, "orders:80").evidence.iter().map(ToString::to_string).collect();
    assert_eq!(said[..2], ["ORDERS_SERVICE_HOST: 127.0.0.1", "ORDERS_PORT: 8080"]);
    assert!(said[2].starts_with("ORDERS_PORT: no Docker link"), "{said:?}");
}

#[test]
fn a_host_is_an_address_or_localhost() {
    for (host, answer) in [
        (" 10.0.0.11 ", "10.0.0.11:80"),
        ("fd00::11", "[fd00::11]:80"),
        ("[fd00::11]", "[fd00::11]:80"),
        ("LocalHost", "127.0.0.1:80 [::1]:80"),
        ("", "silent"),
        (" ", "silent"),
    ] {
        assert_eq!(told(&[("ORDERS_SERVICE_HOST", host)], "orders:80"), answer, "{host:?}");
    }
}

#[test]
fn docker_links_answer_alone() {
    let addr = [("ORDERS_PORT_80_TCP_ADDR", "10.0.0.11"), ("ORDERS_PORT_80_TCP_PORT", "80")];
    assert_eq!(told(&addr, "orders:80"), "10.0.0.11:80");
    assert_eq!(told(&addr, "orders"), "10.0.0.11:80");
    assert_eq!(told(&[("ORDERS_PORT", "tcp://[fd00::1]:80")], "orders"), "[fd00::1]:80");
    assert_eq!(told(&[("ORDERS_PORT", "tcp://localhost:80")], "http://orders"), "127.0.0.1:80 [::1]:80");
    assert_eq!(told(&[("ORDERS_PORT_80_UDP", "udp://10.0.0.11:80")], "orders:80"), "silent");
    assert_eq!(told(&[("ORDERS_PORT_RANGE", "1-2"), ("ORDERS_PORT_80_HTTP", "x")], "orders:80"), "silent");
}

/// In a cluster everything is set; a pod spec that sets the two main variables moves the Service.
#[test]
fn a_moved_service_leaves_its_links_behind() {
    let moved = [
        ("ORDERS_SERVICE_HOST", "127.0.0.1"),
        ("ORDERS_SERVICE_PORT", "9000"),
        ("ORDERS_PORT", "tcp://10.0.0.11:80"),
        ("ORDERS_PORT_80_TCP_ADDR", "10.0.0.11"),
    ];
    assert_eq!(told(&moved, "http://orders"), "127.0.0.1:9000");
    let evidence = asked(&moved, "orders").evidence;
    assert!(evidence.iter().any(|said| said.answer.contains("left alone")), "{evidence:?}");
}

/// The link of `orders-service` has the name that the port of `orders` has.
#[test]
fn a_service_with_service_behind_its_name() {
    let other = [
        ("ORDERS_SERVICE_SERVICE_HOST", "10.0.0.12"),
        ("ORDERS_SERVICE_SERVICE_PORT", "81"),
        ("ORDERS_SERVICE_PORT", "tcp://10.0.0.12:81"),
        ("ORDERS_SERVICE_PORT_81_TCP", "tcp://10.0.0.12:81"),
        ("ORDERS_SERVICE_PORT_81_TCP_PROTO", "tcp"),
        ("ORDERS_SERVICE_PORT_81_TCP_PORT", "81"),
        ("ORDERS_SERVICE_PORT_81_TCP_ADDR", "10.0.0.12"),
    ];
    assert_eq!(told(&other, "orders:81"), "silent");
    assert_eq!(told(&other, "orders-service"), "10.0.0.12:81");
    let mut both = other.to_vec();
    both.extend([("ORDERS_SERVICE_HOST", "10.0.0.11"), ("ORDERS_PORT", "tcp://10.0.0.11:80")]);
    assert_eq!(told(&both, "orders"), "10.0.0.11:80");
    let repeated = [("A_SERVICE_HOST", "10.0.0.1"), ("A_SERVICE_A_SERVICE_HOST", "10.0.0.2")];
    assert_eq!(told(&repeated, "a:80"), "10.0.0.1:80");
    assert_eq!(told(&[("A_SERVICE_host", "10.0.0.1")], "a:80"), "silent", "names have a case");
}
