use discovery_core::source::State;

use super::*;
use crate::model::applications;

fn all(instances: &str) -> Applications {
    let body = format!(r#"{{"applications":{{"application":[{{"name":"RATES","instance":[{instances}]}}]}}}}"#);
    Applications::from_page(applications(body.as_bytes()).unwrap())
}

fn query(target: &str, zone: Option<&str>) -> Option<Query> {
    Query::from_target(&Target::new(target).unwrap(), zone.map(str::to_owned))
}

fn addrs(target: &str, instances: &str) -> Vec<String> {
    match query(target, None).unwrap().answer(&all(instances)).0 {
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

#[test]
fn does_not_apply_to_targets_without_an_application_name() {
    for target in ["10.0.0.1:80", "localhost", "rates.", "_x._udp.rates"] {
        assert_eq!(query(target, None), None, "{target}");
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
    assert_eq!(addrs("http://rates:81", only_tls), ["empty"]);
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
    let (state, _) = query("rates", Some("b")).unwrap().answer(&all);
    let State::Ready(endpoints) = state else { panic!("{state:?}") };
    let fields: Vec<_> = endpoints.iter().map(|e| (e.identity().uid(), e.zone(), e.node(), e.priority())).collect();
    assert_eq!(fields, [(Some("1"), Some("a"), None, 1), (Some("2"), Some("b"), Some("n1"), 0)]);
}
