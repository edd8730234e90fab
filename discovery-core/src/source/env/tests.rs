use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;
use crate::{
    name::{ClusterDomain, Namespace},
    plan::Scope,
};

fn asked(vars: &[(&str, &str)], target: &str) -> Update {
    let scope = Scope::new(Namespace::new("shop").ok(), ClusterDomain::new("cluster.local").ok());
    let plan = Plan::new(&Target::new(target).expect(target), &scope);
    let source = EnvSource::new(vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let mut lookup = source.open(&plan);
    let mut early = |_| panic!("there is nothing early");
    let mut answer = lookup.ask(&mut early);
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(update) => update,
        Poll::Pending => panic!("variables are there at once"),
    }
}

/// The addresses, `silent`, or the error.
fn told(vars: &[(&str, &str)], target: &str) -> String {
    let update = asked(vars, target);
    assert_eq!(update.ttl, None);
    match update.state {
        State::Ready(endpoints) => {
            assert_eq!(endpoints.len(), 1);
            endpoints[0].addrs().map(|addr| addr.to_string()).collect::<Vec<_>>().join(" ")
        }
        State::Silent => "silent".to_owned(),
        State::Failed(error) => {
            assert!(error.is_config(), "{error:?}");
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}

/// kubelet `pkg/kubelet/envvars/envvars_test.go`, Services `foo-bar` (TCP 8080 without a name), `abc-123` (UDP
/// 8081 `u-d-p`), `q-u-u-x` (TCP 8083 `8083`, and UDP 8084 `x`) and a dual `super-ipv6`.
const KUBELET: &[(&str, &str)] = &[
    ("FOO_BAR_SERVICE_HOST", "1.2.3.4"),
    ("FOO_BAR_SERVICE_PORT", "8080"),
    ("FOO_BAR_PORT", "tcp://1.2.3.4:8080"),
    ("FOO_BAR_PORT_8080_TCP", "tcp://1.2.3.4:8080"),
    ("FOO_BAR_PORT_8080_TCP_PROTO", "tcp"),
    ("FOO_BAR_PORT_8080_TCP_PORT", "8080"),
    ("FOO_BAR_PORT_8080_TCP_ADDR", "1.2.3.4"),
    ("ABC_123_SERVICE_HOST", "5.6.7.8"),
    ("ABC_123_SERVICE_PORT", "8081"),
    ("ABC_123_SERVICE_PORT_U_D_P", "8081"),
    ("ABC_123_PORT", "udp://5.6.7.8:8081"),
    ("ABC_123_PORT_8081_UDP", "udp://5.6.7.8:8081"),
    ("ABC_123_PORT_8081_UDP_PROTO", "udp"),
    ("ABC_123_PORT_8081_UDP_PORT", "8081"),
    ("ABC_123_PORT_8081_UDP_ADDR", "5.6.7.8"),
    ("Q_U_U_X_SERVICE_HOST", "9.8.7.6"),
    ("Q_U_U_X_SERVICE_PORT", "8083"),
    ("Q_U_U_X_SERVICE_PORT_8083", "8083"),
    ("Q_U_U_X_SERVICE_PORT_X", "8084"),
    ("Q_U_U_X_PORT", "tcp://9.8.7.6:8083"),
    ("Q_U_U_X_PORT_8083_TCP", "tcp://9.8.7.6:8083"),
    ("Q_U_U_X_PORT_8083_TCP_PROTO", "tcp"),
    ("Q_U_U_X_PORT_8083_TCP_PORT", "8083"),
    ("Q_U_U_X_PORT_8083_TCP_ADDR", "9.8.7.6"),
    ("Q_U_U_X_PORT_8084_UDP", "udp://9.8.7.6:8084"),
    ("Q_U_U_X_PORT_8084_UDP_PROTO", "udp"),
    ("Q_U_U_X_PORT_8084_UDP_PORT", "8084"),
    ("Q_U_U_X_PORT_8084_UDP_ADDR", "9.8.7.6"),
    ("SUPER_IPV6_SERVICE_HOST", "2001:DB8::"),
    ("SUPER_IPV6_SERVICE_PORT", "8084"),
    ("SUPER_IPV6_PORT", "tcp://[2001:DB8::]:8084"),
    ("SUPER_IPV6_PORT_8084_TCP", "tcp://[2001:DB8::]:8084"),
    ("SUPER_IPV6_PORT_8084_TCP_PROTO", "tcp"),
    ("SUPER_IPV6_PORT_8084_TCP_PORT", "8084"),
    ("SUPER_IPV6_PORT_8084_TCP_ADDR", "2001:DB8::"),
];

#[test]
fn the_variables_of_the_kubelet() {
    for (target, answer) in [
        ("foo-bar", "1.2.3.4:8080"),
        ("foo-bar:8080", "1.2.3.4:8080"),
        ("http://foo-bar", "1.2.3.4:8080"),
        ("foo-bar.shop.svc.cluster.local:8080", "1.2.3.4:8080"),
        ("foo-bar:8081", "silent"),
        ("foo-bar:http", "silent"),
        ("foo-bar.billing:8080", "silent"),
        ("foo", "silent"),
        ("_u-d-p._udp.abc-123", "5.6.7.8:8081"),
        ("abc-123:u-d-p", "silent"),
        ("abc-123:8081", "silent"),
        ("http://abc-123", "silent"),
        ("abc-123", "5.6.7.8:8081"),
        ("q-u-u-x", "9.8.7.6:8083"),
        ("_8083._tcp.q-u-u-x", "9.8.7.6:8083"),
        ("_x._udp.q-u-u-x", "9.8.7.6:8084"),
        ("http://q-u-u-x", "9.8.7.6:8083"),
        ("super-ipv6:8084", "[2001:db8::]:8084"),
        ("10.0.0.1:80", "silent"),
        ("example.com:80", "silent"),
    ] {
        assert_eq!(told(KUBELET, target), answer, "{target}");
    }
}

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

#[test]
fn what_is_malformed_is_an_error_that_tells_what_would_be_right() {
    let host = ("ORDERS_SERVICE_HOST", "10.0.0.11");
    for (vars, said) in [
        (
            &[host, ("ORDERS_SERVICE_PORT", "abc")][..],
            "`ORDERS_SERVICE_PORT` is `abc`: a port is a number from 1 to 65535",
        ),
        (&[host, ("ORDERS_SERVICE_PORT", "0")], "`ORDERS_SERVICE_PORT` is `0`: a port"),
        (&[host, ("ORDERS_SERVICE_PORT", "70000")], "`ORDERS_SERVICE_PORT` is `70000`: a port"),
        (&[host, ("ORDERS_SERVICE_PORT", "+80")], "`ORDERS_SERVICE_PORT` is `+80`: a port"),
        (&[host, ("ORDERS_SERVICE_PORT_API", "x")], "`ORDERS_SERVICE_PORT_API` is `x`: a port"),
        (&[("ORDERS_SERVICE_HOST", "not an ip")], "`ORDERS_SERVICE_HOST` is `not an ip`: it is neither an IP address"),
        (&[("ORDERS_SERVICE_HOST", "[10.0.0.1]")], "`ORDERS_SERVICE_HOST` is `[10.0.0.1]`: it is neither"),
        (&[("ORDERS_SERVICE_PORT", "80")], "`ORDERS_SERVICE_PORT` is `80`: it names a port, and `ORDERS_SERVICE_HOST`"),
        (&[("ORDERS_SERVICE_PORT_API", "80")], "`ORDERS_SERVICE_PORT_API` is `80`: it names a port"),
        (&[("ORDERS_PORT_80_TCP_PROTO", "tcp")], "`ORDERS_PORT_80_TCP_PROTO` is `tcp`: it names a port"),
        (&[("ORDERS_PORT", "tcp://nonsense")], "`ORDERS_PORT` is `tcp://nonsense`: a Docker link is"),
        (&[("ORDERS_PORT", "tcp://fd00::1:80")], "`ORDERS_PORT` is `tcp://fd00::1:80`: a Docker link is"),
        (&[("ORDERS_PORT", "http://10.0.0.1:80")], "`ORDERS_PORT` is `http://10.0.0.1:80`: a Docker link is"),
        (
            &[("ORDERS_PORT_80_TCP", "tcp://10.0.0.1:81")],
            "`ORDERS_PORT_80_TCP` is `tcp://10.0.0.1:81`: its own name says",
        ),
        (
            &[("ORDERS_PORT_80_TCP", "udp://10.0.0.1:80")],
            "`ORDERS_PORT_80_TCP` is `udp://10.0.0.1:80`: its own name says",
        ),
        (&[("ORDERS_PORT_80_TCP_PORT", "81")], "`ORDERS_PORT_80_TCP_PORT` is `81`: its own name says 80/tcp"),
        (&[("ORDERS_PORT_80_TCP_PROTO", "udp")], "`ORDERS_PORT_80_TCP_PROTO` is `udp`: its own name says 80/tcp"),
        (&[("ORDERS_PORT_80_TCP_ADDR", "db")], "`ORDERS_PORT_80_TCP_ADDR` is `db`: it is neither"),
        (
            &[("ORDERS_PORT", "tcp://10.0.0.1:80"), ("ORDERS_PORT_80_TCP_ADDR", "10.0.0.2")],
            "`ORDERS_PORT_80_TCP_ADDR` is `10.0.0.2`: it contradicts `ORDERS_PORT`, which is `tcp://10.0.0.1:80`",
        ),
        (
            &[host, ("ORDERS_SERVICE_PORT", "81"), ("ORDERS_PORT", "tcp://10.0.0.11:80")],
            "`ORDERS_PORT` is `tcp://10.0.0.11:80`: it contradicts `ORDERS_SERVICE_PORT`, which is `81`",
        ),
    ] {
        let error = told(vars, "orders:80");
        assert!(error.starts_with(said) && error.contains("; "), "{error}");
        assert!(!asked(vars, "orders:80").evidence.is_empty(), "{vars:?}");
    }
}

#[test]
fn what_is_not_there_is_told() {
    let evidence = asked(&[], "orders:80").evidence;
    assert_eq!(evidence.iter().map(ToString::to_string).collect::<Vec<_>>(), ["ORDERS_SERVICE_HOST: not set"]);
    let evidence = asked(KUBELET, "foo-bar:8081").evidence;
    assert_eq!(
        evidence.last().map(ToString::to_string).as_deref(),
        Some("foo-bar:8081: no variable names port 8081/tcp")
    );
    assert_eq!(asked(KUBELET, "foo-bar.billing").evidence.len(), 1);
}

const NAMES: &[&str] = &[
    "A_SERVICE_HOST",
    "A_SERVICE_PORT",
    "A_SERVICE_PORT_HTTP",
    "A_SERVICE_PORT_80_TCP",
    "A_PORT",
    "A_PORT_80_TCP",
    "A_PORT_80_TCP_ADDR",
    "A_PORT_80_TCP_PORT",
    "A_PORT_80_TCP_PROTO",
    "A_PORT_53_UDP",
];

proptest! {
    #[test]
    fn any_values_lead_to_an_answer(
        vars in prop::collection::btree_map(
            prop::sample::select(NAMES),
            ".{0,20}|(tcp|udp)://(10.0.0.[0-9]|\\[::[0-9]\\]):(80|53|[0-9]{1,6})|[0-9]{1,6}|10.0.0.[0-9]|tcp",
            0..8,
        ),
        target in prop::sample::select(&["a", "a:80", "http://a", "a:http", "_dns._udp.a"][..]),
    ) {
        let vars: Vec<(&str, &str)> = vars.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = told(&vars, target);
        prop_assert!(!answer.ends_with(":0"), "{}", answer);
    }

    #[test]
    fn any_names_lead_to_an_answer(rest in prop::collection::btree_map("(SERVICE_|PORT_|_|[A-Z0-9]){0,6}", "[0-9a-z:/.]{0,12}", 0..6)) {
        let names: Vec<(String, String)> = rest.into_iter().map(|(rest, value)| (format!("A_{rest}"), value)).collect();
        let vars: Vec<(&str, &str)> = names.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        told(&vars, "a:80");
    }
}
