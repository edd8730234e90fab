//! Variables as the kubelet sets them.

use proptest::prelude::*;

use super::*;

/// The variables that the kubelet sets for a Service (kubelet `pkg/kubelet/envvars`).
fn kubelet(service: &str, ip: &str, ports: &[(&str, u16, &str)]) -> Vec<(String, String)> {
    let part = |name: &str| name.to_uppercase().replace('-', "_");
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    let service = part(service);
    let mut vars = vec![(format!("{service}_SERVICE_HOST"), ip.to_owned())];
    for (at, (name, number, protocol)) in ports.iter().enumerate() {
        let url = format!("{protocol}://{host}:{number}");
        if at == 0 {
            vars.push((format!("{service}_SERVICE_PORT"), number.to_string()));
            vars.push((format!("{service}_PORT"), url.clone()));
        }
        if !name.is_empty() {
            vars.push((format!("{service}_SERVICE_PORT_{}", part(name)), number.to_string()));
        }
        let link = format!("{service}_PORT_{number}_{}", part(protocol));
        vars.push((format!("{link}_PROTO"), (*protocol).to_owned()));
        vars.push((format!("{link}_PORT"), number.to_string()));
        vars.push((format!("{link}_ADDR"), ip.to_owned()));
        vars.push((link, url));
    }
    vars
}

fn outcome_of(vars: &[(String, String)], target: &str) -> String {
    let vars: Vec<(&str, &str)> = vars.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    outcome(&vars, target)
}

/// The Services of upstream's test table (`TestFromServices` in
/// <https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/envvars/envvars_test.go>), and one with IPv6.
fn services() -> Vec<(String, String)> {
    let mut vars = kubelet("foo-bar", "1.2.3.4", &[("", 8080, "tcp")]);
    vars.extend(kubelet("abc-123", "5.6.7.8", &[("u-d-p", 8081, "udp"), ("t-c-p", 8081, "tcp")]));
    vars.extend(kubelet("q-u-u-x", "9.8.7.6", &[("", 8082, "tcp"), ("8083", 8083, "tcp")]));
    vars.extend(kubelet("kube-dns", "10.96.0.10", &[("dns", 53, "udp"), ("metrics", 9153, "tcp")]));
    vars.extend(kubelet("super-ipv6", "2001:DB8::", &[("", 8084, "tcp")]));
    vars
}

/// Checks the helper against the names in upstream's table.
#[test]
fn the_names_match_those_of_the_kubelet() {
    let vars = services();
    for (name, value) in [
        ("FOO_BAR_SERVICE_PORT", "8080"),
        ("ABC_123_SERVICE_PORT_U_D_P", "8081"),
        ("ABC_123_PORT", "udp://5.6.7.8:8081"),
        ("ABC_123_PORT_8081_TCP_ADDR", "5.6.7.8"),
        ("Q_U_U_X_SERVICE_PORT_8083", "8083"),
        ("SUPER_IPV6_PORT_8084_TCP", "tcp://[2001:DB8::]:8084"),
    ] {
        assert!(vars.contains(&(name.to_owned(), value.to_owned())), "{name}");
    }
}

#[test]
fn the_variables_of_the_kubelet_are_understood() {
    for (target, answer) in [
        ("foo-bar", "1.2.3.4:8080"),
        ("foo-bar:8080", "1.2.3.4:8080"),
        ("http://foo-bar", "1.2.3.4:8080"),
        ("foo-bar.shop:8080", "1.2.3.4:8080"),
        ("foo-bar.shop.svc.cluster.local:8080", "1.2.3.4:8080"),
        ("foo-bar:8081", "not applicable"),
        ("foo-bar:http", "not applicable"),
        ("foo-bar.billing:8080", "not applicable"),
        ("foo", "not applicable"),
        ("_u-d-p._udp.abc-123", "5.6.7.8:8081"),
        ("abc-123:t-c-p", "5.6.7.8:8081"),
        ("http://abc-123", "5.6.7.8:8081"),
        ("q-u-u-x", "9.8.7.6:8082"),
        ("_8083._tcp.q-u-u-x", "9.8.7.6:8083"),
        ("http://q-u-u-x", "not applicable"),
        ("kube-dns", "10.96.0.10:53"),
        ("kube-dns:53", "not applicable"),
        ("kube-dns:dns", "not applicable"),
        ("_dns._udp.kube-dns", "10.96.0.10:53"),
        ("http://kube-dns", "10.96.0.10:9153"),
        ("super-ipv6:8084", "[2001:db8::]:8084"),
        ("10.0.0.1:80", "not applicable"),
        ("example.com:80", "not applicable"),
    ] {
        assert_eq!(outcome_of(&services(), target), answer, "{target}");
    }
}

#[test]
fn the_evidence_says_what_is_missing() {
    let evidence = |vars: &[(String, String)], target: &str| -> Vec<String> {
        let vars: Vec<(&str, &str)> = vars.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        lookup(&vars, target).evidence.iter().map(ToString::to_string).collect()
    };
    assert_eq!(evidence(&[], "orders:80"), ["ORDERS_SERVICE_HOST: not set"]);
    let lines = evidence(&services(), "foo-bar:8081");
    assert_eq!(lines.last().map(String::as_str), Some("foo-bar:8081: no variable names port 8081/tcp"));
    assert_eq!(lines[..2], ["FOO_BAR_SERVICE_HOST: 1.2.3.4", "FOO_BAR_SERVICE_PORT: 8080"]);
    assert_eq!(evidence(&services(), "foo-bar.billing").len(), 1);
}

proptest! {
    /// Each port of each of any Services is found by number and by name.
    #[test]
    fn every_port_of_every_service_is_found(
        services in prop::collection::btree_map(
            "[a-z]([a-z0-9-]{0,6}[a-z0-9])?",
            prop::collection::btree_map("[a-z]([a-z-]{0,4}[a-z])?", 1..=u16::MAX, 1..4),
            1..4,
        ),
    ) {
        let mut vars = Vec::new();
        for (service, ports) in &services {
            let ports: Vec<_> = ports.iter().map(|(name, number)| (name.as_str(), *number, "tcp")).collect();
            vars.extend(kubelet(service, "10.0.0.1", &ports));
        }
        for (service, ports) in &services {
            for (name, number) in ports {
                let answer = format!("10.0.0.1:{number}");
                prop_assert_eq!(outcome_of(&vars, &format!("{service}:{number}")), answer.clone());
                prop_assert_eq!(outcome_of(&vars, &format!("{service}:{name}")), answer);
            }
        }
    }
}
