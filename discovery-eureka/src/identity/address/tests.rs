use super::*;

fn variables<const N: usize>(vars: [(&str, &str); N]) -> Environment {
    Environment { variables: vars.into_iter().collect(), ..Environment::default() }
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

fn from_variables<const N: usize>(vars: [(&str, &str); N], choice: Choice) -> Result<IpAddr, Error> {
    told(choice, &variables(vars).variables).map(|ip| ip.expect("said"))
}

#[test]
fn an_explicit_address_wins() {
    let choice = |text| Choice { explicit: Some(ip(text)), ..Choice::default() };
    assert_eq!(from_variables([("POD_IP", "10.0.0.1")], choice("127.0.0.9")).unwrap(), ip("127.0.0.9"));
    for bad in ["0.0.0.0", "::", "224.0.0.1"] {
        assert!(from_variables([], choice(bad)).unwrap_err().is_config(), "{bad}");
    }
}

#[test]
fn the_downward_api_comes_next() {
    let found = |vars| from_variables(vars, Choice::default()).unwrap();
    assert_eq!(found([("POD_IP", "10.0.0.1"), ("POD_IPS", "")]), ip("10.0.0.1"));
    assert_eq!(found([("POD_IP", ""), ("POD_IPS", "10.0.0.2")]), ip("10.0.0.2"));
    assert_eq!(found([("POD_IP", "fd00::1"), ("POD_IPS", "fd00::1")]), ip("fd00::1"));
}

#[test]
fn a_variable_that_is_empty_is_absent() {
    assert_eq!(told(Choice::default(), &variables([("POD_IP", ""), ("POD_IPS", " ")]).variables).unwrap(), None);
}

#[test]
fn of_both_families_the_choice_decides() {
    let dual = [("POD_IP", "fd00::1"), ("POD_IPS", "fd00::1,10.0.0.1")];
    let with = |family| from_variables(dual, Choice { family, ..Choice::default() }).unwrap();
    assert_eq!(with(IpFamily::PreferV4), ip("10.0.0.1"));
    assert_eq!(with(IpFamily::PreferV6), ip("fd00::1"));
    assert_eq!(with(IpFamily::Primary), ip("fd00::1"));
}

#[test]
fn a_variable_that_is_wrong_is_an_error_and_no_fall_back() {
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
        let error = from_variables([(name, value)], Choice::default()).unwrap_err();
        assert!(error.is_config() && error.to_string().contains(name), "{name}={value}: {error}");
    }
    assert!(from_variables([("HOST_IP", "node-1"), ("POD_IP", "10.0.0.1")], Choice::default()).is_err());
}

#[test]
fn the_nodes_address_is_taken_only_when_asked() {
    let vars = [("POD_IP", "192.0.2.1"), ("HOST_IP", "192.0.2.1")];
    let error = from_variables(vars, Choice::default()).unwrap_err();
    assert!(error.to_string().contains("allow_host_network"), "{error}");
    let asked = Choice { host_network: true, ..Choice::default() };
    assert_eq!(from_variables(vars, asked).unwrap(), ip("192.0.2.1"));
}

/// Registry, then the API server, then the first nameserver.
#[test]
fn without_the_downward_api_routes_tell_in_their_order() {
    let mut environment = variables([("KUBERNETES_SERVICE_HOST", "10.96.0.1"), ("KUBERNETES_SERVICE_PORT", "443")]);
    environment.resolv_conf = "nameserver 10.96.0.10\nnameserver 10.96.0.11".to_owned();
    let registry = [addr("[fd00::9]:8761"), addr("10.96.1.1:8761")];
    let asked = std::cell::RefCell::new(Vec::new());
    let found = |good: &str| {
        asked.borrow_mut().clear();
        find(Choice::default(), &environment, &registry, |to| {
            asked.borrow_mut().push(to.to_string());
            if to == addr(good) { Ok(ip("10.0.0.5")) } else { no_route(to) }
        })
    };
    let order = ["10.96.1.1:8761", "[fd00::9]:8761", "10.96.0.1:443", "10.96.0.10:53"];
    for (at, good) in order.into_iter().enumerate() {
        assert_eq!(found(good).unwrap(), ip("10.0.0.5"), "{good}");
        assert_eq!(*asked.borrow(), order[..=at]);
    }
    let error = found("192.0.2.1:1").unwrap_err();
    for told in ["POD_IP", "10.96.1.1:8761", "10.96.0.10:53", "no route"] {
        assert!(error.to_string().contains(told), "{error}");
    }
}

/// NodeLocal DNSCache listens on a link-local address of every node, and a route to it begins there.
#[test]
fn a_route_that_begins_at_an_address_of_no_use_is_passed_over() {
    let mut environment = variables([("HOST_IP", "192.0.2.1")]);
    environment.resolv_conf = "nameserver 10.96.0.10".to_owned();
    for useless in ["127.0.0.1", "169.254.20.10", "192.0.2.1", "0.0.0.0", "fe80::2", "::ffff:127.0.0.1"] {
        let route = |to: SocketAddr| Ok(if to.port() == 53 { ip("10.0.0.5") } else { ip(useless) });
        let found = find(Choice::default(), &environment, &[addr("127.0.0.1:8761")], route);
        assert_eq!(found.unwrap(), ip("10.0.0.5"), "{useless}");
    }
}

/// `kubelet_pods.go`: `managedHostsFileContent`.
#[test]
fn the_kubelets_hosts_file_is_the_last_to_tell() {
    let file = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\nfe00::0\tip6-localnet\n\
                fd00::7\trates-0.rates.shop.svc.cluster.local\trates-0\n10.0.0.7\trates-0.rates.shop.svc.cluster.local\trates-0\n";
    let found = |hosts: &str, family| {
        let environment = Environment { hosts: hosts.to_owned(), ..variables([("HOSTNAME", "rates-0")]) };
        find(Choice { family, ..Choice::default() }, &environment, &[], no_route)
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
fn a_route_needs_no_packet() {
    // Nobody listens there, and loopback would tell at once if something had been sent to a closed port.
    assert_eq!(super::super::route(addr("127.0.0.1:9")).unwrap(), ip("127.0.0.1"));
}
