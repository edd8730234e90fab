use super::*;

fn environment<const N: usize>(vars: [(&str, &str); N]) -> PodEnvironment {
    vars.into_iter().collect()
}

fn no_route(_: SocketAddr) -> io::Result<IpAddr> {
    Err(io::Error::other("no route"))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn configured<const N: usize>(vars: [(&str, &str); N], preference: AddressPreference) -> Result<IpAddr, Error> {
    preference.configured(&environment(vars)).map(|ip| ip.expect("a configured address"))
}

#[test]
fn explicit_address_wins() {
    let explicit = |text| AddressPreference { explicit: Some(ip(text)), ..AddressPreference::default() };
    assert_eq!(configured([("POD_IP", "10.0.0.1")], explicit("127.0.0.9")).unwrap(), ip("127.0.0.9"));
    for bad in ["0.0.0.0", "::", "224.0.0.1"] {
        assert!(configured([], explicit(bad)).unwrap_err().is_config(), "{bad}");
    }
}

#[test]
fn reads_the_downward_api_next() {
    let found = |vars| configured(vars, AddressPreference::default()).unwrap();
    assert_eq!(found([("POD_IP", "10.0.0.1"), ("POD_IPS", "")]), ip("10.0.0.1"));
    assert_eq!(found([("POD_IP", ""), ("POD_IPS", "10.0.0.2")]), ip("10.0.0.2"));
    assert_eq!(found([("POD_IP", "fd00::1"), ("POD_IPS", "fd00::1")]), ip("fd00::1"));
}

#[test]
fn empty_variable_counts_as_absent() {
    let empty = environment([("POD_IP", ""), ("POD_IPS", " ")]);
    assert_eq!(AddressPreference::default().configured(&empty).unwrap(), None);
}

#[test]
fn family_preference_chooses_among_dual_stack_addresses() {
    let dual = [("POD_IP", "fd00::1"), ("POD_IPS", "fd00::1,10.0.0.1")];
    let with = |family| configured(dual, AddressPreference { family, ..AddressPreference::default() }).unwrap();
    assert_eq!(with(IpFamily::PreferV4), ip("10.0.0.1"));
    assert_eq!(with(IpFamily::PreferV6), ip("fd00::1"));
    assert_eq!(with(IpFamily::Primary), ip("fd00::1"));
}

#[test]
fn invalid_variable_is_an_error_and_does_not_fall_back() {
    for (name, value) in [
        ("POD_IP", "10.0.0"),
        ("POD_IP", "rates-0"),
        ("POD_IPS", "10.0.0.1,"),
        ("POD_IP", "127.0.0.1"),
        ("POD_IP", "0.0.0.0"),
        ("POD_IP", "169.254.20.10"),
        ("POD_IP", "fe80::1"),
        ("POD_IP", "::1"),
    ] {
        let error = configured([(name, value)], AddressPreference::default()).unwrap_err();
        assert!(error.is_config() && error.to_string().contains(name), "{name}={value}: {error}");
    }
    assert!(configured([("HOST_IP", "node-1"), ("POD_IP", "10.0.0.1")], AddressPreference::default()).is_err());
}

#[test]
fn node_address_needs_allow_host_network() {
    let vars = [("POD_IP", "192.0.2.1"), ("HOST_IP", "192.0.2.1")];
    let error = configured(vars, AddressPreference::default()).unwrap_err();
    assert!(error.to_string().contains("allow_host_network"), "{error}");
    let allowed = AddressPreference { host_network: true, ..AddressPreference::default() };
    assert_eq!(configured(vars, allowed).unwrap(), ip("192.0.2.1"));
}

/// The registry, then the API server, then the first nameserver.
#[test]
fn probes_routes_in_order_without_the_downward_api() {
    let mut environment = environment([("KUBERNETES_SERVICE_HOST", "10.96.0.1"), ("KUBERNETES_SERVICE_PORT", "443")]);
    environment.resolv_conf = "nameserver 10.96.0.10\nnameserver 10.96.0.11".to_owned();
    let registry = [addr("[fd00::9]:8761"), addr("10.96.1.1:8761")];
    let probed = std::cell::RefCell::new(Vec::new());
    let found = |good: &str| {
        probed.borrow_mut().clear();
        AddressPreference::default().probe_with(&environment, &registry, |to| {
            probed.borrow_mut().push(to.to_string());
            if to == addr(good) { Ok(ip("10.0.0.5")) } else { no_route(to) }
        })
    };
    let order = ["10.96.1.1:8761", "[fd00::9]:8761", "10.96.0.1:443", "10.96.0.10:53"];
    for (at, good) in order.into_iter().enumerate() {
        assert_eq!(found(good).unwrap(), ip("10.0.0.5"), "{good}");
        assert_eq!(*probed.borrow(), order[..=at]);
    }
    let error = found("192.0.2.1:1").unwrap_err();
    for part in ["POD_IP", "10.96.1.1:8761", "10.96.0.10:53", "no route"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

/// NodeLocal DNSCache listens on a link-local address of every node, and a route to it starts at that address.
#[test]
fn skips_routes_that_start_at_an_unusable_address() {
    let mut environment = environment([("HOST_IP", "192.0.2.1")]);
    environment.resolv_conf = "nameserver 10.96.0.10".to_owned();
    for unusable in ["127.0.0.1", "169.254.20.10", "192.0.2.1", "0.0.0.0", "fe80::2", "::ffff:127.0.0.1"] {
        let route = |to: SocketAddr| Ok(if to.port() == 53 { ip("10.0.0.5") } else { ip(unusable) });
        let found = AddressPreference::default().probe_with(&environment, &[addr("127.0.0.1:8761")], route);
        assert_eq!(found.unwrap(), ip("10.0.0.5"), "{unusable}");
    }
}

/// `managedHostsFileContent` of `kubelet_pods.go`.
#[test]
fn reads_the_kubelets_hosts_file_last() {
    let file = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\nfe00::0\tip6-localnet\n\
                fd00::7\trates-0.rates.shop.svc.cluster.local\trates-0\n\
                10.0.0.7\trates-0.rates.shop.svc.cluster.local\trates-0\n";
    let found = |hosts: &str, family| {
        let environment = PodEnvironment { hosts: hosts.to_owned(), ..environment([("HOSTNAME", "rates-0")]) };
        AddressPreference { family, ..AddressPreference::default() }.probe_with(&environment, &[], no_route)
    };
    assert_eq!(found(file, IpFamily::PreferV4).unwrap(), ip("10.0.0.7"));
    assert_eq!(found(file, IpFamily::Primary).unwrap(), ip("fd00::7"));
    assert!(found("127.0.1.1 rates-0\n10.0.0.7 rates-0\n", IpFamily::PreferV4).is_err(), "not written by a kubelet");
    assert!(found("# Kubernetes-managed hosts file.\n127.0.1.1 rates-0\n", IpFamily::PreferV4).is_err());
    let host_network = file.replace("file.", "file (host network).");
    let error = found(&host_network, IpFamily::PreferV4).unwrap_err();
    assert!(error.to_string().contains("allow_host_network"), "{error}");
}

#[test]
fn finds_a_route_without_sending_a_packet() {
    // Nothing listens on this port: a packet to it would be answered at once by an ICMP error on loopback.
    assert_eq!(route(addr("127.0.0.1:9")).unwrap(), ip("127.0.0.1"));
}

/// `http://localhost:8761/eureka` on a developer's machine without a network.
#[test]
fn registers_loopback_if_the_registry_is_on_the_same_developers_machine() {
    let probe = |environment: &PodEnvironment, registry: &[SocketAddr]| {
        AddressPreference::default().probe_with(environment, registry, |to| Ok(to.ip()))
    };
    let (v4, v6) = (addr("127.0.0.1:8761"), addr("[::1]:8761"));
    let laptop = environment([("HOSTNAME", "laptop")]);
    assert_eq!(probe(&laptop, &[v6, v4]).unwrap(), ip("127.0.0.1"));
    assert_eq!(probe(&laptop, &[v6]).unwrap(), ip("::1"));
    // Another address is reached by other machines too.
    let nameserver = PodEnvironment { resolv_conf: "nameserver 192.0.2.53".to_owned(), ..laptop.clone() };
    let from_lan = |to: SocketAddr| Ok(if to.ip() == ip("192.0.2.53") { ip("192.0.2.7") } else { to.ip() });
    let preference = AddressPreference::default();
    assert_eq!(preference.probe_with(&nameserver, &[v4], from_lan).unwrap(), ip("192.0.2.7"));
    // In a pod, and with a registry elsewhere, a loopback address is a mistake.
    for pod in ["KUBERNETES_SERVICE_HOST", "POD_NAME", "HOST_IP"] {
        let error = probe(&environment([(pod, "127.0.0.1")]), &[v4]).unwrap_err();
        assert!(error.to_string().contains("127.0.0.1 is a loopback address"), "{error}");
    }
    let kubelet = PodEnvironment { hosts: format!("{KUBELET_HEADER}\n"), ..laptop.clone() };
    assert!(probe(&kubelet, &[v4]).is_err());
    let mixed = preference.probe_with(&laptop, &[v4, addr("10.0.0.9:8761")], |_| Ok(ip("127.0.0.1")));
    assert!(mixed.is_err());
    assert!(probe(&laptop, &[]).is_err());
}
