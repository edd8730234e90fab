//! Ours and the ecosystem's, with one registry between them.

use discovery_reqwest::Client;

use crate::harness::{Consumer, on_eureka, until, until_endpoints};

/// Netflix's client finds a pod that ours registered, Spring's calls it; ours finds and calls what theirs registered.
#[test]
fn java_finds_and_calls_ours_and_ours_finds_and_calls_java() {
    on_eureka(1, |world| async move {
        let pod = world.pod_with("rates", "rates-1", |builder| builder.zone("zone-r")).await;
        let consumer = Consumer::start(&world.programs, world.ip(10), &world.servers[0].url()).await;

        until("found by Java", || async { !consumer.instances("rates").await.is_empty() }).await;
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

        // What goes in order is gone for Java as well.
        pod.registration.shutdown(std::time::Duration::ZERO).await.unwrap();
        until("gone for Java", || async { consumer.instances("rates").await.is_empty() }).await;
        assert_eq!(consumer.call("rates", "/").await.0, 404);
    });
}
