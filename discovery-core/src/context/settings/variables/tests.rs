use proptest::prelude::*;

use super::*;
use crate::name::{ClusterDomain, Namespace};

fn read(vars: &[(&str, &str)]) -> Result<Settings, Error> {
    Settings::from_vars(vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

#[test]
fn reads_every_variable() {
    let settings = read(&[
        ("DISCOVERY_NAMESPACE", " shop "),
        ("DISCOVERY_CLUSTER_DOMAIN", "Corp.Example."),
        ("DISCOVERY_NAMESERVERS", "10.96.0.10, 10.96.0.11:5353 ,[fd00::a]:54,10.96.0.10"),
        ("DISCOVERY_IP_FAMILIES", "Both"),
        ("DISCOVERY_DNS_TRANSPORT", "tcp"),
        ("DISCOVERY_DNS_TIMEOUT", "500ms"),
        ("DISCOVERY_DNS_ATTEMPTS", "5"),
        ("DISCOVERY_DNS_IN_FLIGHT", "1024"),
        ("DISCOVERY_OVERRIDES", " orders=127.0.0.1:8080 "),
        ("DISCOVERY_OVERRIDES_FILE", "overrides.txt"),
        ("DISCOVERY_SERVICE_ENV", "off"),
        ("DISCOVERY_CLUSTER_ONLY", "on"),
        ("DISCOVERY_DENY_PRIVATE", "Off"),
        ("DISCOVERY_MIN_REFRESH", "1s"),
        ("DISCOVERY_MAX_REFRESH", "1m"),
        ("DISCOVERY_MAX_STALE", "0s"),
        ("DISCOVERY_REMOVAL_HOLD", "250ms"),
        ("DISCOVERY_RETAIN_FOR", "90s"),
        ("PATH", "/bin"),
    ])
    .expect("settings");
    let servers: Vec<String> = settings.nameservers.iter().flatten().map(ToString::to_string).collect();
    assert_eq!(servers, ["10.96.0.10:53", "10.96.0.11:5353", "[fd00::a]:54"]);
    let expected = Settings {
        namespace: Namespace::new("shop").ok(),
        cluster_domain: ClusterDomain::new("corp.example").ok(),
        nameservers: settings.nameservers.clone(),
        families: Some(Families::Both),
        dns_tcp: Some(true),
        dns_timeout: Some(Duration::from_millis(500)),
        dns_attempts: Some(5),
        dns_in_flight: Some(1024),
        overrides: Some("orders=127.0.0.1:8080".to_owned()),
        overrides_file: Some("overrides.txt".into()),
        service_env: Some(false),
        cluster_only: Some(true),
        deny_private: Some(false),
        min_refresh: Some(Duration::from_secs(1)),
        max_refresh: Some(Duration::from_secs(60)),
        max_stale: Some(Duration::ZERO),
        removal_hold: Some(Duration::from_millis(250)),
        retain_for: Some(Duration::from_secs(90)),
        unknown: Vec::new(),
    };
    assert_eq!(settings, expected);
}

#[test]
fn empty_variables_and_auto_count_as_not_set() {
    assert_eq!(read(&[]).expect("empty"), Settings::default());
    let empty: Vec<(String, String)> = KNOWN.iter().map(|name| (format!("{PREFIX}{name}"), " ".to_owned())).collect();
    assert_eq!(Settings::from_vars(empty).expect("blank"), Settings::default());
    assert_eq!(read(&[("DISCOVERY_IP_FAMILIES", "auto")]).expect("auto"), Settings::default());
}

#[test]
fn the_error_of_a_malformed_value_names_rule_and_remedy() {
    for (name, value, expected) in [
        ("NAMESPACE", "My_NS", "'_' is not allowed in a label (RFC 1123); use `-`"),
        ("CLUSTER_DOMAIN", "a..b", "a label is empty; remove the doubled or leading dot"),
        ("NAMESERVERS", "10.0.0.1,", "``: a nameserver must be an IP address, `ip:port` or `[v6]:port`; for example"),
        ("NAMESERVERS", "dns.corp", "`dns.corp`: a nameserver must be an IP address"),
        ("IP_FAMILIES", "v4", "use `auto`, `ipv4`, `ipv6` or `both`"),
        ("DNS_TRANSPORT", "dot", "use `tcp` or `udp`"),
        ("DNS_TIMEOUT", "5", "a duration must be a whole number and one of `ms`, `s`, `m`, `h`; for example `500ms`"),
        ("DNS_TIMEOUT", "-1s", "a duration must be a whole number"),
        ("DNS_TIMEOUT", "1.5s", "a duration must be a whole number"),
        ("DNS_TIMEOUT", "s", "a duration must be a whole number"),
        ("DNS_TIMEOUT", "9ms", "out of range; use 10ms to 30s"),
        ("DNS_TIMEOUT", "31s", "out of range; use 10ms to 30s"),
        ("MAX_STALE", "18446744073709551615h", "out of range; use 0s to 24h"),
        ("DNS_ATTEMPTS", "0", "out of range; use 1 to 5"),
        ("DNS_ATTEMPTS", "4294967297", "out of range; use 1 to 5"),
        ("DNS_ATTEMPTS", "+1", "not a whole number; use 1 to 5"),
        ("DNS_IN_FLIGHT", "0", "out of range; use 1 to 1024"),
        ("DNS_IN_FLIGHT", "1025", "out of range; use 1 to 1024"),
        ("DNS_IN_FLIGHT", "many", "not a whole number; use 1 to 1024"),
        ("SERVICE_ENV", "true", "use `on` or `off`"),
        ("REMOVAL_HOLD", "61s", "out of range; use 0s to 1m"),
        ("RETAIN_FOR", "25h", "out of range; use 0s to 24h"),
    ] {
        let variable = format!("{PREFIX}{name}");
        let error = read(&[(&variable, value)]).expect_err(value);
        let text = error.to_string();
        assert!(error.is_config(), "{text}");
        assert!(text.starts_with(&format!("`{variable}` is `{value}`: ")) && text.contains(expected), "{text}");
    }
    let error = read(&[("DISCOVERY_MIN_REFRESH", "1m"), ("DISCOVERY_MAX_REFRESH", "5s")]).expect_err("order");
    assert!(error.to_string().contains("`DISCOVERY_MAX_REFRESH` is `5s`") && error.is_config(), "{error}");
}

#[test]
fn lists_unknown_variables_but_not_those_of_a_service() {
    let settings = read(&[
        ("DISCOVERY_NAMESPCE", "shop"),
        ("DISCOVERY_namespace", "shop"),
        ("DISCOVERY_DISCOVERY_NAMESPACE", "shop"),
        ("DISCOVERY_EMPTY", ""),
        ("DISCOVERY_SERVICE_HOST", "10.0.0.1"),
        ("DISCOVERY_SERVICE_PORT", "8761"),
        ("DISCOVERY_SERVICE_PORT_HTTP", "8761"),
        ("DISCOVERY_PORT", "tcp://10.0.0.1:8761"),
        ("DISCOVERY_PORT_8761_TCP_ADDR", "10.0.0.1"),
        ("DISCOVERY_DNS_PORT", "no service of that name"),
    ])
    .expect("settings");
    assert_eq!(settings.namespace, None);
    let unknown = ["DISCOVERY_DISCOVERY_NAMESPACE", "DISCOVERY_DNS_PORT", "DISCOVERY_NAMESPCE", "DISCOVERY_namespace"];
    assert_eq!(settings.unknown, unknown);
}

#[test]
fn the_table_documents_every_variable_and_no_other() {
    let table = include_str!("../variables.md");
    let names: Vec<&str> =
        table.lines().filter_map(|line| line.strip_prefix("| `DISCOVERY_")?.split('`').next()).collect();
    assert_eq!(names, KNOWN);
}

#[test]
fn or_fills_in_missing_settings() {
    let one = read(&[("DISCOVERY_NAMESPACE", "shop"), ("DISCOVERY_X", "1")]).expect("one");
    let other = read(&[("DISCOVERY_NAMESPACE", "billing"), ("DISCOVERY_DNS_ATTEMPTS", "2")]).expect("other");
    let both = one.or(other);
    assert_eq!(both.namespace.as_ref().map(Namespace::as_str), Some("shop"));
    assert_eq!((both.dns_attempts, both.unknown.len()), (Some(2), 1));
}

proptest! {
    #[test]
    fn any_value_is_read_or_an_error(name in prop::sample::select(KNOWN), value in ".{0,40}|[0-9]{1,25}(ms|s|m|h)") {
        let variable = format!("{PREFIX}{name}");
        if let Err(error) = read(&[(&variable, &value)]) {
            prop_assert!(error.is_config() && error.to_string().contains(&variable), "{}", error);
        }
    }
}
