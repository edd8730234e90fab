use proptest::prelude::*;

use super::*;

/// What the kubelet sets for a Service: contract of kube-proxy 1.8, kubelet `pkg/kubelet/envvars`.
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

fn told_of(vars: &[(String, String)], target: &str) -> String {
    let vars: Vec<(&str, &str)> = vars.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    told(&vars, target)
}

/// The Services of upstream's own table (`TestFromServices` in
/// <https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/envvars/envvars_test.go>), and one of IPv6.
fn services() -> Vec<(String, String)> {
    let mut vars = kubelet("foo-bar", "1.2.3.4", &[("", 8080, "tcp")]);
    vars.extend(kubelet("abc-123", "5.6.7.8", &[("u-d-p", 8081, "udp"), ("t-c-p", 8081, "tcp")]));
    vars.extend(kubelet("q-u-u-x", "9.8.7.6", &[("", 8082, "tcp"), ("8083", 8083, "tcp")]));
    vars.extend(kubelet("kube-dns", "10.96.0.10", &[("dns", 53, "udp"), ("metrics", 9153, "tcp")]));
    vars.extend(kubelet("super-ipv6", "2001:DB8::", &[("", 8084, "tcp")]));
    vars
}

#[test]
fn the_names_are_those_of_the_kubelet() {
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
fn the_variables_of_the_kubelet_answer() {
    for (target, answer) in [
        ("foo-bar", "1.2.3.4:8080"),
        ("foo-bar:8080", "1.2.3.4:8080"),
        ("http://foo-bar", "1.2.3.4:8080"),
        ("foo-bar.shop:8080", "1.2.3.4:8080"),
        ("foo-bar.shop.svc.cluster.local:8080", "1.2.3.4:8080"),
        ("foo-bar:8081", "silent"),
        ("foo-bar:http", "silent"),
        ("foo-bar.billing:8080", "silent"),
        ("foo", "silent"),
        ("_u-d-p._udp.abc-123", "5.6.7.8:8081"),
        ("abc-123:t-c-p", "5.6.7.8:8081"),
        ("http://abc-123", "5.6.7.8:8081"),
        ("q-u-u-x", "9.8.7.6:8082"),
        ("_8083._tcp.q-u-u-x", "9.8.7.6:8083"),
        ("http://q-u-u-x", "silent"),
        ("kube-dns", "10.96.0.10:53"),
        ("kube-dns:53", "silent"),
        ("kube-dns:dns", "silent"),
        ("_dns._udp.kube-dns", "10.96.0.10:53"),
        ("http://kube-dns", "10.96.0.10:9153"),
        ("super-ipv6:8084", "[2001:db8::]:8084"),
        ("10.0.0.1:80", "silent"),
        ("example.com:80", "silent"),
    ] {
        assert_eq!(told_of(&services(), target), answer, "{target}");
    }
}

#[test]
fn what_is_not_there_is_told() {
    let said = |vars: &[(String, String)], target: &str| -> Vec<String> {
        let vars: Vec<(&str, &str)> = vars.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        asked(&vars, target).evidence.iter().map(ToString::to_string).collect()
    };
    assert_eq!(said(&[], "orders:80"), ["ORDERS_SERVICE_HOST: not set"]);
    let evidence = said(&services(), "foo-bar:8081");
    assert_eq!(evidence.last().map(String::as_str), Some("foo-bar:8081: no variable names port 8081/tcp"));
    assert_eq!(evidence[..2], ["FOO_BAR_SERVICE_HOST: 1.2.3.4", "FOO_BAR_SERVICE_PORT: 8080"]);
    assert_eq!(said(&services(), "foo-bar.billing").len(), 1);
}

proptest! {
    /// Whatever Services there are, each answers at each of its ports.
    #[test]
    fn every_port_of_every_service_answers(
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
                prop_assert_eq!(told_of(&vars, &format!("{service}:{number}")), answer.clone());
                prop_assert_eq!(told_of(&vars, &format!("{service}:{name}")), answer);
            }
        }
    }
}
