//! Pods and consumers while the registry is down.

use std::time::Duration;

use discovery_reqwest::Client;

use crate::harness::{Server, on_eureka, until, until_endpoints};

/// A restarted registry is empty. Pods register again with their next heartbeat, and consumers keep their endpoints.
#[test]
fn pods_register_again_with_a_restarted_registry() {
    on_eureka(1, |mut world| async move {
        let source = world.source().build().unwrap();
        let resolver = world.resolver(&source);
        let rates = resolver.upstream("http://rates").unwrap();
        let one = world.pod("rates", "rates-1").await;
        let two = world.pod("rates", "rates-2").await;
        until_endpoints(&rates, 2).await;
        let client = Client::new(resolver);
        let calls = tokio::spawn({
            let (client, rates) = (client.clone(), rates.clone());
            async move {
                let mut fewest = usize::MAX;
                loop {
                    client.get("http://rates/").send().await.unwrap().error_for_status().unwrap();
                    fewest = fewest.min(rates.endpoints().len());
                    assert_eq!(fewest, 2, "{}", rates.explain());
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        });

        world.servers[0].kill();
        until("the outage is noticed", || async {
            one.registration.state().error.is_some() && rates.endpoints().is_stale()
        })
        .await;
        assert_eq!(rates.endpoints().len(), 2, "the endpoints stay");

        let ip = world.ip(1);
        world.servers[0] = Server::start(&world.programs, ip, None).await;
        world.servers[0].ready().await;
        for pod in [&one, &two] {
            until("registered again", || async {
                pod.registration.state().lost == 1 && pod.registration.state().is_settled()
            })
            .await;
            assert!(world.servers[0].instance("RATES", pod.registration.id()).await.is_some());
        }
        until("fetched again", || async { !rates.endpoints().is_stale() && source.instances("rates").len() == 2 })
            .await;
        assert!(!calls.is_finished(), "a request failed or an endpoint was missing: {:?}", calls.await);
        calls.abort();
    });
}
