//! Our crates and Java clients, with the same registry.

use discovery_reqwest::Client;

use crate::harness::{Consumer, on_eureka, until, until_endpoints};

/// Netflix's client finds a pod that our crate registered, and Spring's client calls it. Our client finds and calls a
/// Java application that Netflix's client registered.
#[test]
fn rust_and_java_pods_find_and_call_each_other() {
    on_eureka(1, |world| async move {
        let pod = world.pod_with("rates", "rates-1", |builder| builder.zone("zone-r")).await;
        let consumer = Consumer::start(&world.programs, world.ip(10), &world.servers[0].url()).await;

        until("Java finds the pod", || async { !consumer.instances("rates").await.is_empty() }).await;
        let port = pod.server.addr().port();
        let line = format!("{} UP 127.0.0.1 {port} zone-r", pod.registration.id());
        assert_eq!(consumer.instances("rates").await, line);
        assert_eq!(consumer.call("rates", "/v1/eur").await, (200, "rates-1".to_owned()));

        let source = world.source().build().unwrap();
        let resolver = world.resolver(&source);
        let java = resolver.upstream("http://java-shop").unwrap();
        until_endpoints(&java, 1).await;
        assert_eq!(java.endpoints()[0].addr(), consumer.addr());
        assert_eq!(java.endpoints()[0].zone(), Some("zone-j"));
        let response = Client::new(resolver).get("http://java-shop/hello").send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "hello from java");

        // After it deregisters, Java no longer finds the pod.
        pod.registration.shutdown(std::time::Duration::ZERO).await.unwrap();
        until("Java drops the pod", || async { consumer.instances("rates").await.is_empty() }).await;
        assert_eq!(consumer.call("rates", "/").await.0, 404);
    });
}
