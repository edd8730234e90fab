use discovery_core::source::State;

use super::*;
use crate::model::applications;

fn all(instances: &str) -> Applications {
    let body = format!(r#"{{"applications":{{"application":[{{"name":"RATES","instance":[{instances}]}}]}}}}"#);
    Applications::of(applications(body.as_bytes()).unwrap())
}

fn question(target: &str) -> Option<Question> {
    Question::of(&Target::new(target).unwrap())
}

fn addrs(target: &str, instances: &str) -> Vec<String> {
    let parsed = Target::new(target).unwrap();
    let written = parsed.port().number().map(u16::from);
    match question(target).unwrap().answer(&all(instances), written, None).0 {
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
fn the_target_chooses_the_port() {
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
fn what_is_no_name_of_an_application_is_not_asked() {
    for target in ["10.0.0.1:80", "localhost", "rates.", "_x._udp.rates"] {
        assert_eq!(question(target), None, "{target}");
    }
}

#[test]
fn a_port_that_is_absent_is_the_written_one_and_a_disabled_one_none() {
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
fn only_those_that_are_up_and_have_an_address_count() {
    let several = r#"{"instanceId":"1","ipAddr":"10.0.0.1","status":"DOWN","port":8080},
        {"instanceId":"2","ipAddr":"10.0.0.2","status":"OUT_OF_SERVICE","port":8080},
        {"instanceId":"3","hostName":"rates-3","status":"UP","port":8080},
        {"instanceId":"4","hostName":"10.0.0.4","status":"UP","port":8080},
        {"instanceId":"5","ipAddr":"fd00::5","status":"UP","port":8080}"#;
    assert_eq!(addrs("rates", several), ["10.0.0.4:8080", "[fd00::5]:8080"]);
    let none = r#"{"instanceId":"1","ipAddr":"10.0.0.1","status":"DOWN","port":8080}"#;
    assert_eq!(addrs("rates", none), ["empty"], "known, and not up: not the same as unknown");
}

#[test]
fn an_endpoint_has_its_instances_id_zone_and_node() {
    let other = BOTH
        .replace(r#""instanceId":"1""#, r#""instanceId":"2""#)
        .replace(r#""zone":"a""#, r#""zone":"b","kubernetes.node":"n1""#);
    let all = all(&format!("{BOTH},{other}"));
    let (state, _) = question("rates").unwrap().answer(&all, None, Some("b"));
    let State::Ready(endpoints) = state else { panic!("{state:?}") };
    let told: Vec<_> = endpoints.iter().map(|e| (e.identity().uid(), e.zone(), e.node(), e.priority())).collect();
    assert_eq!(told, [(Some("1"), Some("a"), None, 1), (Some("2"), Some("b"), Some("n1"), 0)]);
}
