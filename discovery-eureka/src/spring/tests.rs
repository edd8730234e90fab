use discovery_core::{Environment, Resolver};
use discovery_reqwest::Client;

use super::*;
use crate::Error;

fn settings(vars: &[(&str, &str)]) -> Result<SpringSettings, Error> {
    SpringSettings::from_environment(&Environment::empty().with_env(vars.iter().copied()))
}

fn error(vars: &[(&str, &str)]) -> String {
    let error = settings(vars).unwrap_err();
    assert!(error.is_config());
    error.to_string()
}

/// A value for each variable of the table.
const ALL: &[(&str, &str)] = &[
    ("EUREKA_CLIENT_ENABLED", "true"),
    ("SPRING_CLOUD_DISCOVERY_ENABLED", "on"),
    ("EUREKA_CLIENT_REGISTER_WITH_EUREKA", "YES"),
    ("SPRING_CLOUD_SERVICE_REGISTRY_AUTO_REGISTRATION_ENABLED", "1"),
    ("EUREKA_CLIENT_FETCH_REGISTRY", "True"),
    ("EUREKA_CLIENT_SERVICE_URL_DEFAULT_ZONE", "http://u:p@a:8761/eureka/,http://b:8761/eureka"),
    ("EUREKA_CLIENT_EUREKA_SERVER_READ_TIMEOUT_SECONDS", "4"),
    ("EUREKA_CLIENT_EUREKA_SERVER_CONNECT_TIMEOUT_SECONDS", "2"),
    ("EUREKA_CLIENT_REGISTRY_FETCH_INTERVAL_SECONDS", "5"),
    ("EUREKA_CLIENT_DISABLE_DELTA", "true"),
    ("EUREKA_CLIENT_REGISTRY_REFRESH_SINGLE_VIP_ADDRESS", "orders"),
    ("EUREKA_CLIENT_SHOULD_UNREGISTER_ON_SHUTDOWN", "false"),
    ("EUREKA_CLIENT_SHOULD_ENFORCE_REGISTRATION_AT_INIT", "true"),
    ("SPRING_APPLICATION_NAME", "Rates"),
    ("EUREKA_INSTANCE_APPNAME", "rates-api"),
    ("EUREKA_INSTANCE_VIRTUAL_HOST_NAME", "rates,quotes"),
    ("EUREKA_INSTANCE_SECURE_VIRTUAL_HOST_NAME", "rates-tls"),
    ("EUREKA_INSTANCE_INSTANCE_ID", "rates-0:1"),
    ("EUREKA_INSTANCE_HOSTNAME", "rates.example.com"),
    ("EUREKA_INSTANCE_IP_ADDRESS", "10.0.0.1"),
    ("EUREKA_INSTANCE_PREFER_IP_ADDRESS", "false"),
    ("SERVER_PORT", "8080"),
    ("EUREKA_INSTANCE_NON_SECURE_PORT", "8081"),
    ("EUREKA_INSTANCE_SECURE_PORT", "8443"),
    ("EUREKA_INSTANCE_NON_SECURE_PORT_ENABLED", "true"),
    ("EUREKA_INSTANCE_SECURE_PORT_ENABLED", "true"),
    ("EUREKA_INSTANCE_LEASE_RENEWAL_INTERVAL_IN_SECONDS", "10"),
    ("EUREKA_INSTANCE_LEASE_EXPIRATION_DURATION_IN_SECONDS", "30"),
    ("EUREKA_INSTANCE_INITIAL_STATUS", "starting"),
    ("EUREKA_INSTANCE_HOME_PAGE_URL_PATH", "/home"),
    ("EUREKA_INSTANCE_STATUS_PAGE_URL_PATH", "/actuator/info"),
    ("EUREKA_INSTANCE_HEALTH_CHECK_URL_PATH", "/actuator/health"),
    ("EUREKA_INSTANCE_HOME_PAGE_URL", "http://shop.example.com/"),
    ("EUREKA_INSTANCE_STATUS_PAGE_URL", "http://10.0.0.1:9090/info"),
    ("EUREKA_INSTANCE_HEALTH_CHECK_URL", "http://10.0.0.1:9090/health"),
    ("EUREKA_INSTANCE_SECURE_HEALTH_CHECK_URL", "https://10.0.0.1:9443/health"),
];

#[test]
fn the_table_has_exactly_the_variables_that_are_read() {
    let settings = settings(ALL).unwrap();
    assert!(settings.unread().is_empty(), "{:?}", settings.unread());
    let first_column =
        include_str!("variables.md").lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let names = first_column.flat_map(|names| names.split(',')).map(|name| name.trim().trim_matches('`'));
    let mut listed: Vec<_> = names.filter(|name| *name != "EUREKA_INSTANCE_METADATA_MAP_<KEY>").collect();
    let mut read: Vec<_> = ALL.iter().map(|(name, _)| *name).collect();
    listed.sort_unstable();
    read.sort_unstable();
    assert_eq!(listed, read);
}

#[test]
fn an_invalid_value_names_variable_value_rule_and_remedy() {
    for (name, value, rule) in [
        ("EUREKA_CLIENT_ENABLED", "maybe", "not a boolean"),
        ("EUREKA_CLIENT_FETCHREGISTRY", "2", "not a boolean"),
        ("EUREKA_CLIENT_REGISTRYFETCHINTERVALSECONDS", "30s", "not a number of seconds"),
        ("EUREKA_CLIENT_EUREKASERVERREADTIMEOUTSECONDS", "0", "not a number of seconds"),
        ("EUREKA_INSTANCE_LEASERENEWALINTERVALINSECONDS", "-1", "not a number of seconds"),
        ("EUREKA_INSTANCE_NONSECUREPORT", "0", "not a port"),
        ("EUREKA_INSTANCE_SECURE_PORT", "65536", "not a port"),
        ("SERVER_PORT", "http", "not a port"),
        ("EUREKA_INSTANCE_IPADDRESS", "rates-0", "not an IP address"),
        ("EUREKA_INSTANCE_HOSTNAME", "http://rates", "neither a name nor an address"),
        ("EUREKA_INSTANCE_INSTANCEID", "a/b", "cannot address"),
        ("EUREKA_INSTANCE_APPNAME", "rates api", "use letters, digits"),
        ("SPRING_APPLICATION_NAME", "rates/api", "use letters, digits"),
        ("EUREKA_INSTANCE_INITIALSTATUS", "ready", "not a status"),
        ("EUREKA_INSTANCE_INITIALSTATUS", "unknown", "not a status"),
        ("EUREKA_INSTANCE_HEALTHCHECKURL", "/health", "not an http or https URL"),
        ("EUREKA_INSTANCE_STATUSPAGEURLPATH", "http://a/info", "not a path"),
        ("EUREKA_INSTANCE_STATUSPAGEURLPATH", "localhost:8080/info", "not a path"),
        ("EUREKA_INSTANCE_HOMEPAGEURLPATH", "//localhost/", "not a path"),
        ("EUREKA_INSTANCE_HOMEPAGEURL", "http:localhost", "not an http or https URL"),
        ("EUREKA_INSTANCE_HOMEPAGEURL", "http://localhost/a b", "not an http or https URL"),
        ("EUREKA_INSTANCE_SECUREHEALTHCHECKURL", "ftp://a", "not an http or https URL"),
        ("EUREKA_INSTANCE_PREFERIPADDRESS", "false", "needs a host name"),
        ("EUREKA_INSTANCE_LEASEEXPIRATIONDURATIONINSECONDS", "30", "would end before the next heartbeat"),
        ("EUREKA_INSTANCE_LEASERENEWALINTERVALINSECONDS", "90", "would end before the next heartbeat"),
        ("EUREKA_INSTANCE_INSTANCEID", "${spring.application.name}:1", "placeholders of Spring"),
        ("EUREKA_INSTANCE_METADATAMAP_VERSION", "v-${BUILD}", "placeholders of Spring"),
        ("EUREKA_INSTANCE_IP_ADDRESS", "$(POD_IP)", "Kubernetes did not replace"),
    ] {
        let text = error(&[(name, value)]);
        assert!(text.contains(&format!("`{name}`")) && text.contains(rule) && text.contains("; "), "{name}: {text}");
        assert!(text.contains(value) || text.contains("${") || text.contains("$("), "{name}: {text}");
    }
}

#[test]
fn an_invalid_url_never_shows_the_password() {
    for url in
        ["ftp://user:s3cret@a/eureka", "http://user:s3cret@", "user:s3cret@a", "http://a/,http://u:s3cret@b/?x=y"]
    {
        let text = error(&[("EUREKA_CLIENT_SERVICEURL_DEFAULTZONE", url)]);
        assert!(text.starts_with("`EUREKA_CLIENT_SERVICEURL_DEFAULTZONE`") && !text.contains("s3cret"), "{text}");
    }
    let settings = settings(ALL).unwrap();
    assert!(!format!("{settings:?}").contains("u:p"));
}

/// Spring's default leads to the pod itself, and the registration would fail for no visible reason.
#[test]
fn the_default_url_is_for_developers_machines_only() {
    settings(&[]).unwrap();
    let pod = ("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    assert!(error(&[pod]).starts_with("EUREKA_CLIENT_SERVICEURL_DEFAULTZONE is not set"));
    assert!(error(&[pod, ("EUREKA_CLIENT_FETCHREGISTRY", "false")]).contains("is not set"));
    settings(&[pod, ("EUREKA_CLIENT_ENABLED", "false")]).unwrap();
}

#[test]
fn switches_turn_off_registration_and_source() {
    let client = Client::new(Resolver::builder().environment(Environment::empty()).build().unwrap());
    for (vars, registers, fetches) in [
        (&[][..], true, true),
        (&[("EUREKA_CLIENT_ENABLED", "false")], false, false),
        (&[("SPRING_CLOUD_DISCOVERY_ENABLED", "off")], false, false),
        (&[("EUREKA_CLIENT_REGISTER_WITH_EUREKA", "false")], false, true),
        (&[("EUREKA_CLIENT_REGISTERWITHEUREKA", "no")], false, true),
        (&[("SPRING_CLOUD_SERVICEREGISTRY_AUTOREGISTRATION_ENABLED", "0")], false, true),
        (&[("EUREKA_CLIENT_FETCHREGISTRY", "FALSE")], true, false),
        (&[("EUREKA_CLIENT_FETCHREGISTRY", " ")], true, true),
    ] {
        let settings = settings(vars).unwrap();
        let registry = settings.registry(&client).build().unwrap();
        let both = (settings.registration(&registry).is_some(), settings.source(&registry).is_some());
        assert_eq!(both, (registers, fetches), "{vars:?}");
    }
}

/// The kubelet writes `SERVER_PORT` for it, beside `SERVER_SERVICE_HOST`.
#[test]
fn a_service_named_server_does_not_set_the_port() {
    let kubelet = ("SERVER_PORT", "tcp://10.96.0.7:80");
    settings(&[kubelet, ("SERVER_SERVICE_HOST", "10.96.0.7")]).unwrap();
    assert!(error(&[kubelet]).contains("not a port"));
}
