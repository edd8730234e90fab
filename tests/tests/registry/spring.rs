//! The settings of a Spring application, as a registry sees them.

use std::sync::Arc;

use discovery_core::{Environment, Resolver};
use discovery_eureka::SpringSettings;
use discovery_testing::FakePod;
use serde_json::{Value, json};
use tests::within;

use crate::{
    client,
    script::{Registry, page, record, status},
};

fn settings(registry: &Registry, vars: &[(&str, &str)]) -> SpringSettings {
    let url = registry.url();
    let environment = Environment::empty()
        .with_env([("EUREKA_CLIENT_SERVICEURL_DEFAULTZONE", url.as_str()), ("EUREKA_INSTANCE_IPADDRESS", "127.0.0.1")])
        .with_env(vars.iter().copied());
    SpringSettings::from_environment(&environment).unwrap()
}

/// The record that these variables register.
async fn registered(vars: &[(&str, &str)]) -> Value {
    let registry = Registry::start().await;
    registry.accepts_all(8080).await;
    let settings = settings(&registry, vars);
    let built = settings.registry(&client()).build().unwrap();
    let registration = settings.registration(&built).unwrap().register().await.unwrap();
    let body = registry.requests().await[0].body.clone();
    drop(registration);
    serde_json::from_slice::<Value>(&body).unwrap()["instance"].clone()
}

#[tokio::test]
async fn registers_what_the_variables_say() {
    let sent = registered(&[
        ("SPRING_APPLICATION_NAME", "Rates"),
        ("SERVER_PORT", "8080"),
        ("POD_NAME", "rates-0"),
        ("POD_UID", "9b1f"),
        ("EUREKA_INSTANCE_SECURE_PORT_ENABLED", "true"),
        ("EUREKA_INSTANCE_SECURE_PORT", "8443"),
        ("EUREKA_INSTANCE_LEASE_RENEWAL_INTERVAL_IN_SECONDS", "10"),
        ("EUREKA_INSTANCE_LEASE_EXPIRATION_DURATION_IN_SECONDS", "40"),
        ("EUREKA_INSTANCE_METADATA_MAP_VERSION", "2"),
        ("EUREKA_INSTANCE_METADATAMAP_MANAGEMENT_PORT", "9090"),
        ("EUREKA_INSTANCE_METADATAMAP_ZONE", "a"),
        ("eureka.instance.metadata-map.Git-Commit", "8d3f"),
        ("EUREKA_INSTANCE_STATUSPAGEURLPATH", "/actuator/info"),
        ("EUREKA_INSTANCE_HEALTHCHECKURL", "http://127.0.0.1:9090/health"),
        ("EUREKA_INSTANCE_SECUREHEALTHCHECKURL", "https://127.0.0.1:9443/health"),
        ("EUREKA_INSTANCE_INITIALSTATUS", "STARTING"),
    ])
    .await;
    assert_eq!(
        (&sent["app"], &sent["vipAddress"], &sent["secureVipAddress"]),
        (&json!("RATES"), &json!("Rates"), &json!("Rates"))
    );
    assert_eq!(sent["instanceId"], "rates-0:rates:8080:9b1f");
    assert_eq!((&sent["hostName"], &sent["ipAddr"]), (&json!("127.0.0.1"), &json!("127.0.0.1")));
    assert_eq!(sent["port"], json!({"$": 8080, "@enabled": "true"}));
    assert_eq!(sent["securePort"], json!({"$": 8443, "@enabled": "true"}));
    assert_eq!(sent["leaseInfo"], json!({"renewalIntervalInSecs": 10, "durationInSecs": 40}));
    let metadata = json!({"version": "2", "management.port": "9090", "zone": "a", "Git-Commit": "8d3f", "kubernetes.pod": "rates-0"});
    assert_eq!(sent["metadata"], metadata);
    assert_eq!(sent["homePageUrl"], "http://127.0.0.1:8080/");
    assert_eq!(sent["statusPageUrl"], "http://127.0.0.1:8080/actuator/info");
    assert_eq!(sent["healthCheckUrl"], "http://127.0.0.1:9090/health");
    assert_eq!(sent["secureHealthCheckUrl"], "https://127.0.0.1:9443/health");
    assert_eq!(sent["status"], "STARTING");
}

#[tokio::test]
async fn more_specific_variables_win() {
    let sent = registered(&[
        ("SPRING_APPLICATION_NAME", "rates"),
        ("EUREKA_INSTANCE_APPNAME", "rates-api"),
        ("EUREKA_INSTANCE_VIRTUALHOSTNAME", "quotes"),
        ("SERVER_PORT", "8080"),
        ("EUREKA_INSTANCE_NONSECUREPORT", "8081"),
        ("EUREKA_INSTANCE_INSTANCEID", "one"),
        ("EUREKA_INSTANCE_HEALTHCHECKURLPATH", "/a"),
        ("EUREKA_INSTANCE_HEALTHCHECKURL", "http://127.0.0.1:1/b"),
    ])
    .await;
    assert_eq!((&sent["app"], &sent["instanceId"]), (&json!("RATES-API"), &json!("one")));
    assert_eq!((&sent["vipAddress"], &sent["secureVipAddress"]), (&json!("quotes"), &json!("rates")));
    assert_eq!((&sent["port"]["$"], &sent["securePort"]["@enabled"]), (&json!(8081), &json!("false")));
    assert_eq!(sent["healthCheckUrl"], "http://127.0.0.1:1/b");
}

/// Spring registers `server.port` with TLS as well, once that is enabled.
#[tokio::test]
async fn a_port_with_tls_only() {
    let sent = registered(&[
        ("SPRING_APPLICATION_NAME", "rates"),
        ("SERVER_PORT", "8443"),
        ("EUREKA_INSTANCE_SECUREPORTENABLED", "true"),
        ("EUREKA_INSTANCE_NONSECUREPORTENABLED", "false"),
    ])
    .await;
    assert_eq!(sent["port"]["@enabled"], "false");
    assert_eq!(sent["securePort"], json!({"$": 8443, "@enabled": "true"}));
    assert_eq!(sent["homePageUrl"], "https://127.0.0.1:8443/");
}

#[tokio::test]
async fn host_name_depends_on_prefer_ip_address() {
    let vars = [("SPRING_APPLICATION_NAME", "rates"), ("SERVER_PORT", "8080"), ("HOSTNAME", "rates-0")];
    let host = ("EUREKA_INSTANCE_HOSTNAME", "rates.example.com");
    let prefer = |value| ("EUREKA_INSTANCE_PREFERIPADDRESS", value);
    for (more, wanted) in [
        (&[][..], "127.0.0.1"),
        (&[host], "rates.example.com"),
        (&[host, prefer("true")], "127.0.0.1"),
        (&[host, prefer("false")], "rates.example.com"),
        (&[prefer("false")], "rates-0"),
    ] {
        let sent = registered(&[&vars[..], more].concat()).await;
        assert_eq!((&sent["hostName"], &sent["ipAddr"]), (&json!(wanted), &json!("127.0.0.1")), "{more:?}");
    }
}

#[tokio::test]
async fn code_wins_over_variables() {
    let registry = Registry::start().await;
    registry.accepts_all(9999).await;
    let vars = [
        ("SPRING_APPLICATION_NAME", "rates"),
        ("SERVER_PORT", "8080"),
        ("EUREKA_INSTANCE_METADATAMAP_VERSION", "1"),
        ("EUREKA_INSTANCE_INSTANCEID", "one"),
    ];
    let settings = settings(&registry, &vars);
    let built = settings.registry(&client()).build().unwrap();
    let builder = settings.registration(&built).unwrap().app("quotes").port(9999).metadata("version", "2");
    let registration = builder.register().await.unwrap();
    within("settled", registration.settled()).await.unwrap();
    let sent: Value = serde_json::from_slice(&registry.requests().await[0].body).unwrap();
    let sent = &sent["instance"];
    assert_eq!(
        (&sent["app"], &sent["port"]["$"], &sent["metadata"]["version"]),
        (&json!("QUOTES"), &json!(9999), &json!("2"))
    );
    assert_eq!(sent["instanceId"], "one");
}

#[tokio::test]
async fn a_missing_application_name_or_port_is_an_error() {
    let registry = Registry::start().await;
    for (vars, wanted) in [
        (&[("SERVER_PORT", "8080")][..], "SPRING_APPLICATION_NAME"),
        (&[("SPRING_APPLICATION_NAME", "rates")], "no port"),
    ] {
        let settings = settings(&registry, vars);
        let built = settings.registry(&client()).build().unwrap();
        let error = settings.registration(&built).unwrap().register().await.unwrap_err();
        assert!(error.is_config() && error.to_string().contains(wanted), "{error}");
    }
    assert!(registry.asked().await.is_empty());
}

/// User and password of the URL go to every URL of the list.
#[tokio::test]
async fn the_source_reads_the_variables_too() {
    let (registry, pod) = (Registry::start().await, FakePod::start("orders-0").await.unwrap());
    let orders = record("ORDERS", "orders-0", pod.addr().port(), "UP");
    registry.on("GET", "apps", crate::script::json(page("UP_1_", &[("ORDERS", &[orders])]))).await;
    registry.on("GET", "apps/delta", status(500)).await;
    let url = registry.url().replace("http://", "http://user:p%40ss@");
    let settings = settings(
        &registry,
        &[
            ("EUREKA_CLIENT_SERVICEURL_DEFAULTZONE", url.as_str()),
            ("EUREKA_CLIENT_REGISTRYFETCHINTERVALSECONDS", "1"),
            ("EUREKA_CLIENT_DISABLEDELTA", "true"),
        ],
    );
    let built = settings.registry(&client()).build().unwrap();
    let source = settings.source(&built).unwrap().build().unwrap();
    let resolver = Resolver::builder().environment(Environment::empty().with_env([("POD_NAMESPACE", "shop")]));
    let resolver = resolver.source(Arc::new(source.clone())).build().unwrap();
    let _orders = resolver.resolve("http://orders").await.unwrap();
    crate::until("two full fetches", || async { source.counts().full >= 2 }).await;
    assert_eq!(registry.count("GET apps/delta").await, 0);
    assert_eq!(registry.requests().await[0].headers["authorization"], "Basic dXNlcjpwQHNz");
}
