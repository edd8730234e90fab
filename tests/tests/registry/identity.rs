//! Which address and id are registered, as a server sees them. The rules have tests of their own beside the code.

use discovery_core::{Environment, Resolver};
use discovery_eureka::{IpFamily, Registration};
use discovery_reqwest::Client;
use serde_json::Value;

use crate::{client, script::Registry};

async fn registered_as<const N: usize>(registry: &Registry, env: [(&str, &str); N], family: IpFamily) -> Value {
    let builder = Registration::builder(&client(), registry.url(), "rates").port(8080).family(family).env(env);
    let registration = builder.register().await.unwrap();
    let posts: Vec<_> = registry.requests().await.into_iter().filter(|request| request.method == "POST").collect();
    drop(registration);
    let body: Value = serde_json::from_slice(&posts.last().unwrap().body).unwrap();
    body["instance"].clone()
}

#[tokio::test]
async fn takes_address_and_id_from_the_downward_api() {
    let registry = Registry::start().await;
    registry.accepts_all(8080).await;
    let env = [
        ("POD_IP", "10.42.3.17"),
        ("POD_IPS", "10.42.3.17,fd00::17"),
        ("POD_NAME", "rates-0"),
        ("POD_NAMESPACE", "shop"),
        ("POD_UID", "9b1f"),
        ("NODE_NAME", "node-3"),
        ("HOST_IP", "192.0.2.7"),
    ];
    let record = registered_as(&registry, env, IpFamily::PreferV4).await;
    assert_eq!((&record["ipAddr"], &record["hostName"]), (&"10.42.3.17".into(), &"10.42.3.17".into()));
    assert_eq!(record["instanceId"], "rates-0:rates:8080:9b1f");
    assert_eq!(record["metadata"]["kubernetes.node"], "node-3");
    let record = registered_as(&registry, env, IpFamily::PreferV6).await;
    assert_eq!(record["ipAddr"], "fd00::17");
}

#[tokio::test]
async fn uses_the_address_for_the_name_of_an_unnamed_pod() {
    let registry = Registry::start().await;
    registry.accepts_all(8080).await;
    let record = registered_as(&registry, [("POD_IP", "10.0.0.1")], IpFamily::PreferV4).await;
    assert_eq!(record["instanceId"], "10.0.0.1:rates:8080:10.0.0.1");
    let env = [("POD_IP", "10.0.0.1"), ("HOSTNAME", "rates-7d9f4")];
    assert_eq!(
        registered_as(&registry, env, IpFamily::PreferV4).await["instanceId"],
        "rates-7d9f4:rates:8080:10.0.0.1"
    );
}

/// The route to a registry on loopback begins at loopback, which other pods cannot reach.
#[tokio::test]
async fn does_not_register_a_loopback_address() {
    let registry = Registry::start().await;
    let builder = Registration::builder(&client(), registry.url(), "rates").port(8080).env([("POD_NAME", "rates-0")]);
    let error = builder.register().await.unwrap_err();
    let route = format!("the route to {}: 127.0.0.1 is a loopback address", registry.addr());
    assert!(error.is_config() && error.to_string().contains(&route), "{error}");
    assert!(error.to_string().contains("set POD_IP from the downward API"), "{error}");
    assert!(registry.asked().await.is_empty());
}

#[tokio::test]
async fn the_error_names_an_invalid_variable() {
    let registry = Registry::start().await;
    for (name, value, host) in
        [("POD_IP", "ten", ""), ("POD_IP", "127.0.0.1", ""), ("POD_IP", "192.0.2.7", "192.0.2.7")]
    {
        let env = [(name, value), ("HOST_IP", host)];
        let error =
            Registration::builder(&client(), registry.url(), "rates").port(8080).env(env).register().await.unwrap_err();
        assert!(error.is_config() && error.to_string().contains(name), "{error}");
    }
    assert!(registry.asked().await.is_empty());
}

/// The registry is a Service like any other, with the same URL in every cluster.
#[tokio::test]
async fn resolves_the_registry_with_the_clients_resolver() {
    let registry = Registry::start().await;
    registry.accepts_all(8080).await;
    let port = registry.addr().port().to_string();
    let env = [
        ("POD_NAMESPACE", "rates-test"),
        ("RATES_EUREKA_SERVICE_HOST", "127.0.0.1"),
        ("RATES_EUREKA_SERVICE_PORT", &port),
    ];
    let resolver = Resolver::builder().environment(Environment::empty().with_env(env)).build().unwrap();
    let url = format!("http://rates-eureka.rates-test.svc:{port}/eureka");
    let builder = Registration::builder(&Client::new(resolver), url, "rates").port(8080).ip([127, 0, 0, 1].into());
    let _registration = builder.env([("POD_NAME", "rates-0")]).required().register().await.unwrap();
    let host = registry.requests().await[0].headers["host"].to_str().unwrap().to_owned();
    assert_eq!(host, format!("rates-eureka.rates-test.svc:{port}"));
}

/// A developer's machine: the registry on localhost, and no downward API.
#[tokio::test]
async fn a_registry_on_localhost_works_without_pod_ip() {
    let registry = Registry::start().await;
    registry.accepts_all(8080).await;
    let url = format!("http://localhost:{}/eureka", registry.addr().port());
    let builder = Registration::builder(&client(), url, "rates").port(8080).env([("HOSTNAME", "laptop")]);
    let registration = builder.required().register().await.unwrap();
    assert_eq!(registration.id(), "laptop:rates:8080:127.0.0.1");
    let body: Value = serde_json::from_slice(&registry.requests().await[0].body).unwrap();
    assert_eq!(body["instance"]["ipAddr"], "127.0.0.1");
}
