use discovery_core::source::State;

use super::*;
use crate::model::applications;

const MAX: usize = 1000;

fn all(instances: &str) -> Applications {
    let body = format!(r#"{{"applications":{{"application":[{{"name":"RATES","instance":[{instances}]}}]}}}}"#);
    Applications::from_page(applications(body.as_bytes(), MAX).unwrap())
}

fn query(target: &str, zone: Option<&str>) -> Option<Query> {
    let settings = LookupSettings {
        names: AcceptedNames::default(),
        zone: zone.map(str::to_owned),
        prefer_ip_address: true,
        filter: InstanceFilter::default(),
        resolver: Resolver::builder().environment(discovery_core::Environment::empty()).build().unwrap(),
    };
    Query::from_target(&Target::new(target).unwrap(), &settings)
}

fn addrs(target: &str, instances: &str) -> Vec<String> {
    addrs_of(&query(target, None).unwrap(), instances, &ResolvedNames::new())
}

fn addrs_of(query: &Query, instances: &str, resolved: &ResolvedNames) -> Vec<String> {
    match query.answer(&all(instances), resolved).0 {
        State::Failed(_) => vec!["failed".to_owned()],
        State::Ready(endpoints) => endpoints.iter().map(|endpoint| endpoint.addr().to_string()).collect(),
        State::Empty => vec!["empty".to_owned()],
        State::NotFound => vec!["not found".to_owned()],
        other => panic!("{other:?}"),
    }
}

const BOTH: &str = r#"{"instanceId":"1","ipAddr":"10.0.0.1","status":"UP","vipAddress":"rates","secureVipAddress":"rates-tls",
    "port":{"$":8080,"@enabled":"true"},"securePort":{"$":8443,"@enabled":"true"},
    "metadata":{"zone":"a","management.port":"9090"}}"#;

#[test]
fn target_selects_the_port() {
    for (target, addr) in [
        ("rates", "10.0.0.1:8080"),
        ("http://rates", "10.0.0.1:8080"),
        ("http://rates:1234", "10.0.0.1:8080"),
        ("RATES:http", "10.0.0.1:8080"),
        ("https://rates", "10.0.0.1:8443"),
        ("https://rates-tls", "10.0.0.1:8443"),
        ("rates:https", "10.0.0.1:8443"),
        ("rates:management", "10.0.0.1:9090"),
        ("_management._tcp.rates", "10.0.0.1:9090"),
        ("rates:metrics", "empty"),
        ("rates-tls", "not found"),
        ("http://rates.shop.svc", "not found"),
    ] {
        assert_eq!(addrs(target, BOTH), [addr], "{target}");
    }
}

/// Spring's names have underscores, which no Service has.
#[test]
fn an_application_with_an_underscore_is_a_target() {
    let body = r#"{"applications":{"application":[{"name":"ORDER_SERVICE","instance":[{"instanceId":"1",
        "ipAddr":"10.0.0.1","status":"UP","vipAddress":"order_service","port":8080}]}]}}"#;
    let all = Applications::from_page(applications(body.as_bytes(), MAX).unwrap());
    for target in ["ORDER_SERVICE", "http://ORDER_SERVICE/v1", "http://order_service:80", "order_service:http"] {
        let state = query(target, None).unwrap().answer(&all, &ResolvedNames::new()).0;
        let State::Ready(endpoints) = state else { panic!("{target}: {state:?}") };
        assert_eq!(endpoints[0].addr().to_string(), "10.0.0.1:8080", "{target}");
    }
}

#[test]
fn does_not_apply_to_targets_without_an_application_name() {
    for target in ["10.0.0.1:80", "localhost", "rates.", "_x._udp.rates"] {
        assert!(query(target, None).is_none(), "{target}");
    }
}

#[test]
fn uses_the_target_port_only_if_the_record_has_no_port() {
    let bare = r#"{"instanceId":"1","ipAddr":"10.0.0.1","status":"UP"}"#;
    assert_eq!(addrs("http://rates:81", bare), ["10.0.0.1:81"]);
    assert_eq!(addrs("rates:81", bare), ["10.0.0.1:81"]);
    assert_eq!(addrs("rates", bare), ["empty"]);
    let only_tls = r#"{"instanceId":"1","ipAddr":"10.0.0.1","status":"UP","port":{"$":80,"@enabled":"false"},
        "securePort":{"$":8443,"@enabled":"true"}}"#;
    assert_eq!(addrs("http://rates:81", only_tls), ["10.0.0.1:8443"]);
    assert_eq!(addrs("rates:http", only_tls), ["empty"], "a named port is exactly that port");
    assert_eq!(addrs("rates", only_tls), ["10.0.0.1:8443"]);
    assert_eq!(addrs("https://rates", only_tls), ["10.0.0.1:8443"]);
}

#[test]
fn only_instances_that_are_up_and_have_an_address_count() {
    let several = r#"{"instanceId":"1","ipAddr":"10.0.0.1","status":"DOWN","port":8080},
        {"instanceId":"2","ipAddr":"10.0.0.2","status":"OUT_OF_SERVICE","port":8080},
        {"instanceId":"3","hostName":"rates-3","status":"UP","port":8080},
        {"instanceId":"4","hostName":"10.0.0.4","status":"UP","port":8080},
        {"instanceId":"5","ipAddr":"fd00::5","status":"UP","port":8080}"#;
    assert_eq!(addrs("rates", several), ["10.0.0.4:8080", "[fd00::5]:8080"]);
    let none = r#"{"instanceId":"1","ipAddr":"10.0.0.1","status":"DOWN","port":8080}"#;
    assert_eq!(addrs("rates", none), ["empty"], "a name with no instance UP differs from an unknown name");
}

#[test]
fn endpoint_carries_id_zone_and_node_of_its_instance() {
    let other = BOTH
        .replace(r#""instanceId":"1""#, r#""instanceId":"2""#)
        .replace(r#""zone":"a""#, r#""zone":"b","kubernetes.node":"n1""#);
    let all = all(&format!("{BOTH},{other}"));
    let (state, _) = query("rates", Some("b")).unwrap().answer(&all, &ResolvedNames::new());
    let State::Ready(endpoints) = state else { panic!("{state:?}") };
    let fields: Vec<_> = endpoints.iter().map(|e| (e.identity().uid(), e.zone(), e.node(), e.priority())).collect();
    assert_eq!(fields, [(Some("1"), Some("a"), None, 1), (Some("2"), Some("b"), Some("n1"), 0)]);
}

/// An application on a random port registers before the port is bound (spring-cloud-netflix #843).
#[test]
fn port_0_of_a_record_is_not_a_port() {
    let with = |plain: &str, secure: &str, metadata: &str| {
        format!(
            r#"{{"instanceId":"1","ipAddr":"10.0.0.1","status":"UP","port":{plain},"securePort":{secure},
            "metadata":{{"management.port":"{metadata}"}}}}"#
        )
    };
    let zero = r#"{"$":0,"@enabled":"true"}"#;
    let tls = r#"{"$":8443,"@enabled":"true"}"#;
    for (target, instance, wanted) in [
        ("http://rates", with(zero, zero, "0"), "empty"),
        ("https://rates", with("8080", zero, "0"), "empty"),
        ("rates", with(zero, tls, "0"), "10.0.0.1:8443"),
        ("http://rates:81", with(zero, tls, "0"), "10.0.0.1:8443"),
        ("http://rates:81", with(zero, "null", "0"), "empty"),
        ("http://rates:81", with("null", r#"{"$":0,"@enabled":"false"}"#, "0"), "10.0.0.1:81"),
        ("rates:management", with("8080", tls, "0"), "empty"),
    ] {
        assert_eq!(addrs(target, &instance), [wanted], "{target} {instance}");
    }
}

/// Spring dials `hostName` unless `prefer-ip-address` is set.
#[test]
fn dials_the_host_name_or_the_address_as_configured() {
    let instance = |host: &str, ip: &str| {
        format!(r#"{{"instanceId":"1","hostName":"{host}","ipAddr":"{ip}","status":"UP","port":8080}}"#)
    };
    let known = |host: &str, resolved: Resolved| ResolvedNames::from([((host.to_owned(), 8080), resolved)]);
    let at = Resolved::At(vec!["192.0.2.1:8080".parse().unwrap(), "192.0.2.2:8080".parse().unwrap()]);
    let by_ip = query("http://rates", None).unwrap();
    let by_name = Query { prefer_ip_address: false, ..by_ip.clone() };
    for (query, host, ip, resolved, wanted) in [
        (&by_ip, "vm.example.com", "10.0.0.1", at.clone(), "10.0.0.1:8080"),
        (&by_name, "vm.example.com", "10.0.0.1", at.clone(), "192.0.2.1:8080"),
        (&by_name, "vm.example.com", "10.0.0.1", Resolved::Missing, "10.0.0.1:8080"),
        (&by_name, "vm.example.com", "10.0.0.1", Resolved::Unknown, "failed"),
        (&by_name, "192.0.2.7", "10.0.0.1", Resolved::Missing, "192.0.2.7:8080"),
        (&by_name, "", "10.0.0.1", Resolved::Missing, "10.0.0.1:8080"),
        // No usable `ipAddr`.
        (&by_ip, "vm.example.com", "", at.clone(), "192.0.2.1:8080"),
        (&by_ip, "vm.example.com", "0.0.0.0", at.clone(), "192.0.2.1:8080"),
        (&by_ip, "vm.example.com", "::ffff:0.0.0.0", at.clone(), "192.0.2.1:8080"),
        (&by_ip, "vm.example.com", "::ffff:10.0.0.1", at.clone(), "10.0.0.1:8080"),
        (&by_name, "::ffff:192.0.2.7", "10.0.0.1", Resolved::Missing, "192.0.2.7:8080"),
        (&by_name, "0.0.0.0", "10.0.0.1", Resolved::Missing, "10.0.0.1:8080"),
        (&by_ip, "[::ffff:0.0.0.0]:9999", "", Resolved::Missing, "empty"),
        (&by_ip, "vm.example.com", "fe80::1", at.clone(), "192.0.2.1:8080"),
        (&by_ip, "vm.example.com", "unknown", at.clone(), "192.0.2.1:8080"),
        (&by_ip, "VM.example.com:9999", "::", at.clone(), "192.0.2.1:8080"),
        (&by_ip, "[2001:db8::1]:9999", "", at.clone(), "[2001:db8::1]:8080"),
        (&by_ip, "vm.example.com", "", Resolved::Unknown, "failed"),
        (&by_ip, "vm.example.com", "", Resolved::Missing, "empty"),
    ] {
        let found = addrs_of(query, &instance(host, ip), &known("vm.example.com", resolved.clone()));
        assert_eq!(found, [wanted], "{host} {ip} {resolved:?}, prefer_ip_address {}", query.prefer_ip_address);
    }
}

#[test]
fn only_instances_that_meet_all_conditions_become_endpoints() {
    let instance = |id: u8, version: &str, status: &str| {
        format!(
            r#"{{"instanceId":"{id}","ipAddr":"10.0.0.{id}","status":"{status}","port":80,
            "metadata":{{"version":"{version}","track":"canary"}}}}"#
        )
    };
    let instances = [instance(1, "1", "UP"), instance(2, "2", "UP"), instance(3, "2", "DOWN")].join(",");
    let found = |filter: &InstanceFilter| {
        let query = Query { filter: filter.clone(), ..query("http://rates", None).unwrap() };
        addrs_of(&query, &instances, &ResolvedNames::new())
    };
    let mut filter = InstanceFilter::default();
    assert_eq!(found(&filter), ["10.0.0.1:80", "10.0.0.2:80"]);
    filter.add_metadata("version".to_owned(), "2".to_owned());
    assert_eq!(found(&filter), ["10.0.0.2:80"]);
    filter.add(|instance| instance.metadata.get("track").is_some_and(|track| track == "stable"));
    assert_eq!(found(&filter), ["empty"], "the application exists, so no later source is asked");
    let mut panics = InstanceFilter::default();
    panics.add(|instance| if instance.id == "1" { panic!("condition") } else { true });
    assert_eq!(found(&panics), ["10.0.0.2:80"]);
}
