//! What is registered: the list of applications, and the instances of one.

use std::time::Duration;

use discovery_eureka::{Error, Registry as Eureka, Status};

use crate::{
    client,
    script::{Registry, json, page, record, status},
};

fn eureka(registry: &Registry) -> Eureka {
    Eureka::builder(&client(), registry.url()).build().unwrap()
}

/// The record of a current server, with everything that it holds.
fn full_record(id: &str) -> String {
    format!(
        r#"{{"instanceId":"{id}","hostName":"10.0.0.1","app":"ORDERS","ipAddr":"10.0.0.1","status":"OUT_OF_SERVICE",
        "overriddenStatus":"OUT_OF_SERVICE","port":{{"$":8080,"@enabled":"true"}},"securePort":{{"$":443,"@enabled":"false"}},
        "dataCenterInfo":{{"@class":"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo","name":"MyOwn"}},
        "leaseInfo":{{"renewalIntervalInSecs":30,"durationInSecs":90,"registrationTimestamp":1457714988223,
        "lastRenewalTimestamp":1457716158319,"evictionTimestamp":0,"serviceUpTimestamp":1457714988223}},
        "metadata":{{"version":"2"}},"homePageUrl":"http://10.0.0.1:8080/","statusPageUrl":"http://10.0.0.1:8080/info",
        "healthCheckUrl":"http://10.0.0.1:8080/health","vipAddress":"orders","secureVipAddress":"orders",
        "lastUpdatedTimestamp":"1457714988223","lastDirtyTimestamp":"1457714988172","actionType":"ADDED"}}"#
    )
}

#[tokio::test]
async fn lists_applications_with_instances_of_every_status() {
    let registry = Registry::start().await;
    let orders = [record("ORDERS", "orders-2", 2, "DOWN"), record("ORDERS", "orders-1", 1, "UP")];
    let body = page("DOWN_1_UP_2_", &[("RATES", &[record("RATES", "rates-1", 3, "UP")]), ("ORDERS", &orders)]);
    registry.on("GET", "apps", json(body)).await;
    let all = eureka(&registry).applications().await.unwrap();
    let listed: Vec<_> =
        all.iter().map(|application| (application.name.as_str(), application.instances.len())).collect();
    assert_eq!(listed, [("ORDERS", 2), ("RATES", 1)]);
    let ids: Vec<_> = all[0].instances.iter().map(|instance| (instance.id.as_str(), instance.status)).collect();
    assert_eq!(ids, [("orders-1", Status::Up), ("orders-2", Status::Down)]);
    registry.on("GET", "apps", json(r#"{"applications":{"application":null}}"#)).await;
    assert!(eureka(&registry).applications().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_instance_has_its_lease_override_urls_and_metadata() {
    let registry = Registry::start().await;
    let body = format!(r#"{{"application":{{"name":"ORDERS","instance":[{}]}}}}"#, full_record("orders-1"));
    registry.on("GET", "apps/ORDERS", json(body)).await;
    registry.on("GET", "apps/ORDERS/orders-1", json(format!(r#"{{"instance":{}}}"#, full_record("orders-1")))).await;
    let eureka = eureka(&registry);
    let [listed] = &eureka.instances("orders").await.unwrap()[..] else { panic!("one instance") };
    assert_eq!(eureka.instance("Orders", "orders-1").await.unwrap().as_ref(), Some(listed));
    assert_eq!((listed.status, listed.overridden_status), (Status::OutOfService, Some(Status::OutOfService)));
    let lease = listed.lease.unwrap();
    assert_eq!(
        (lease.renewal_interval, lease.duration),
        (Some(Duration::from_secs(30)), Some(Duration::from_secs(90)))
    );
    assert_eq!((lease.renewed_at, lease.evicted_at), (Some(1_457_716_158_319), None));
    assert_eq!(listed.urls.home_page.as_deref(), Some("http://10.0.0.1:8080/"));
    assert_eq!(listed.urls.status_page.as_deref(), Some("http://10.0.0.1:8080/info"));
    assert_eq!(listed.urls.health_check.as_deref(), Some("http://10.0.0.1:8080/health"));
    assert_eq!(listed.urls.secure_health_check, None);
    assert_eq!((listed.data_center.as_deref(), listed.metadata["version"].as_str()), (Some("MyOwn"), "2"));
}

#[tokio::test]
async fn an_unknown_application_has_no_instances() {
    let registry = Registry::start().await;
    let eureka = eureka(&registry);
    assert!(eureka.instances("billing").await.unwrap().is_empty());
    assert_eq!(eureka.instance("orders", "orders 1").await.unwrap(), None);
    assert_eq!(registry.asked().await, ["GET apps/BILLING", "GET apps/ORDERS/orders%201"]);
    for app in ["", " ", ".", "..", "a/b"] {
        assert!(eureka.instances(app).await.unwrap_err().is_config(), "{app}");
        assert!(eureka.instance("orders", app).await.unwrap_err().is_config(), "{app}");
    }
    assert_eq!(registry.asked().await.len(), 2, "what cannot be addressed is not sent");
}

#[tokio::test]
async fn failures_are_errors_and_not_empty_lists() {
    let registry = Registry::start().await;
    let eureka = eureka(&registry);
    let texts = |error: Error| error.to_string();
    // A wrong base URL.
    assert_eq!(eureka.applications().await.unwrap_err().status(), Some(404));
    registry.on("GET", "apps", json("<html>login</html>")).await;
    assert!(eureka.applications().await.unwrap_err().is_unreadable());
    registry.on("GET", "apps/ORDERS", status(503)).await;
    let error = eureka.instances("orders").await.unwrap_err();
    assert_eq!(error.status(), Some(503));
    assert!(texts(error).contains("responded to GET apps/ORDERS with 503"));
}
