//! The life of a pod: it registers, is found, goes out of service, deregisters, or is evicted.

use std::{collections::BTreeSet, io::Read as _, time::Duration};

use discovery_core::{Environment, Resolver};
use discovery_eureka::{Registration, Status};
use discovery_reqwest::Client;

use crate::harness::{on_eureka, until, until_endpoints, within};

/// Two peers behind one Service. A pod that registers at one is found at both, and requests are balanced over the pods.
/// The death of a peer goes unnoticed, and a pod that deregisters is gone at once.
#[test]
fn pods_register_and_deregister_with_two_peers() {
    on_eureka(2, |mut world| async move {
        let source = world.source().build().unwrap();
        let resolver = world.resolver(&source);
        let rates = resolver.upstream("http://rates").unwrap();
        let one = world.pod("rates", "rates-1").await;
        let two = world.pod("rates", "rates-2").await;
        until_endpoints(&rates, 2).await;
        for server in &world.servers {
            until("both peers know both", || async {
                server.instance("RATES", one.registration.id()).await.is_some()
                    && server.instance("RATES", two.registration.id()).await.is_some()
            })
            .await;
        }

        let client = Client::new(resolver);
        assert_eq!(answering(&client, 40).await, BTreeSet::from(["rates-1".to_owned(), "rates-2".to_owned()]));

        // One peer dies, so half of the new connections fail.
        world.servers[0].kill();
        let before = (one.registration.state().requests, two.registration.state().requests);
        until("heartbeats continue", || async {
            one.registration.state().requests > before.0 + 5 && two.registration.state().requests > before.1 + 5
        })
        .await;
        for pod in [&one, &two] {
            until("the remaining peer knows the pod", || async {
                world.servers[1]
                    .instance("RATES", pod.registration.id())
                    .await
                    .is_some_and(|record| record["status"] == "UP")
            })
            .await;
        }
        assert_eq!(rates.endpoints().len(), 2);
        assert_eq!(answering(&client, 40).await.len(), 2);

        // One pod deregisters.
        let id = one.registration.id().to_owned();
        within("deregistered", one.registration.shutdown(Duration::ZERO)).await.unwrap();
        assert_eq!(world.servers[1].instance("RATES", &id).await, None);
        until_endpoints(&rates, 1).await;
        assert_eq!(answering(&client, 20).await, BTreeSet::from(["rates-2".to_owned()]));
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(world.servers[1].instance("RATES", &id).await, None, "a late heartbeat registered the pod again");
        assert_eq!(two.server.requests() + one.server.requests(), 100, "every request reached a pod exactly once");
    });
}

/// Sends `count` requests, which all have to succeed; returns the pods that answered.
async fn answering(client: &Client, count: usize) -> BTreeSet<String> {
    let mut pods = BTreeSet::new();
    for _ in 0..count {
        let response = client.get("http://rates/").send().await.unwrap().error_for_status().unwrap();
        pods.insert(response.text().await.unwrap());
    }
    pods
}

/// A killed pod does not deregister. The server doubles its lease of 3 s, so the first eviction after 6 s removes it.
#[test]
fn a_killed_pod_is_evicted() {
    on_eureka(1, |world| async move {
        let (source, server) = (world.source().build().unwrap(), &world.servers[0]);
        let rates = world.resolver(&source).upstream("http://rates").unwrap();
        let stays = world.pod("rates", "rates-1").await;
        // A second process of this program runs the helper test below.
        let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "life::pod_to_be_killed", "--ignored"])
            .env(VICTIM, server.url())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        until_endpoints(&rates, 2).await;
        let id = server.ids("RATES").await.into_iter().find(|id| id != stays.registration.id()).unwrap();
        victim.kill().unwrap();
        victim.wait().unwrap();
        assert!(server.instance("RATES", &id).await.is_some(), "the killed pod is still registered");
        until_endpoints(&rates, 1).await;
        assert_eq!(server.instance("RATES", &id).await, None);
        assert!(stays.registration.state().is_settled(), "the other pod keeps its lease");
        assert_eq!(stays.registration.state().lost, 0);
    });
}

/// The variable with the registry's URL, for the pod that is to be killed.
const VICTIM: &str = "DISCOVERY_EUREKA_VICTIM";

#[test]
#[ignore = "a helper process that `a_killed_pod_is_evicted` starts and kills"]
fn pod_to_be_killed() {
    let Ok(url) = std::env::var(VICTIM) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let resolver = Resolver::builder().environment(Environment::empty()).build().unwrap();
    let client = Client::new(resolver);
    let pod = Registration::builder(&client, url, "rates").ip([127, 0, 0, 1].into()).port(9);
    let pod = pod.lease(Duration::from_secs(1), Duration::from_secs(3)).env([("POD_NAME", "rates-2")]).required();
    let _registration = runtime.block_on(pod.register()).unwrap();
    // Blocks until the test kills this process or exits itself.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    std::process::exit(0);
}

/// The server stores the status, the status override and the metadata that the pod sets.
#[test]
fn server_stores_status_and_metadata() {
    on_eureka(1, |world| async move {
        let source = world.source().build().unwrap();
        let rates = world.resolver(&source).upstream("http://rates").unwrap();
        let pod = world.pod_with("rates", "rates-1", |builder| builder.zone("a").health_check("/health")).await;
        let (registration, server) = (&pod.registration, &world.servers[0]);
        let stored = || async { server.instance("RATES", registration.id()).await.unwrap() };

        let record = stored().await;
        let port = pod.server.addr().port();
        assert_eq!(record["hostName"], "127.0.0.1");
        assert_eq!(record["port"]["$"], port);
        assert_eq!(record["securePort"]["@enabled"], "false");
        assert_eq!(record["vipAddress"], "rates");
        assert_eq!(record["healthCheckUrl"], format!("http://127.0.0.1:{port}/health"));
        assert_eq!(record["leaseInfo"]["durationInSecs"], 3);
        assert_eq!(record["metadata"]["kubernetes.pod"], "rates-1");
        assert_eq!(registration.id(), format!("rates-1:rates:{port}:uid-of-rates-1"));
        until_endpoints(&rates, 1).await;
        assert_eq!(rates.endpoints()[0].zone(), Some("a"));

        registration.set_metadata("color", "blue & green");
        registration.set_status(Status::OutOfService);
        within("the status is sent", registration.settled()).await.unwrap();
        let record = stored().await;
        assert_eq!(
            (&record["status"], &record["overriddenStatus"]),
            (&"OUT_OF_SERVICE".into(), &"OUT_OF_SERVICE".into())
        );
        assert_eq!(record["metadata"]["color"], "blue & green");
        until_endpoints(&rates, 0).await;

        registration.set_status(Status::Up);
        within("the status is sent", registration.settled()).await.unwrap();
        assert_eq!(stored().await["status"], "UP");
        until_endpoints(&rates, 1).await;
        assert_eq!(source.instances("rates")[0].metadata["color"], "blue & green");

        // A pod that registers as out of service: removing the override is not enough to bring it up.
        let second = world.pod_with("rates", "rates-2", |builder| builder.status(Status::OutOfService)).await;
        let stored_second = || async { server.instance("RATES", second.registration.id()).await.unwrap() };
        assert_eq!(stored_second().await["status"], "OUT_OF_SERVICE");
        second.registration.set_status(Status::Up);
        within("the status is sent", second.registration.settled()).await.unwrap();
        assert_eq!(stored_second().await["status"], "UP");
        within("deregistered", second.registration.shutdown(Duration::ZERO)).await.unwrap();

        registration.set_status(Status::Down);
        until_endpoints(&rates, 0).await;
        assert_eq!(stored().await["status"], "DOWN");
        assert_eq!(registration.state().lost, 0, "the registry refused no heartbeat");
    });
}

/// An operator takes a pod out of service in the registry: the pod's state shows it, and setting UP ends it.
#[test]
fn setting_up_ends_an_operators_override() {
    on_eureka(1, |world| async move {
        let pod = world.pod("rates", "rates-1").await;
        let (registration, server) = (&pod.registration, &world.servers[0]);
        let url = format!("{}/apps/RATES/{}/status?value=OUT_OF_SERVICE", server.url(), registration.id());
        reqwest::Client::new().put(url).send().await.unwrap().error_for_status().unwrap();
        until("the override", || async { registration.state().overridden() == Some(Status::OutOfService) }).await;
        assert_eq!(registration.status(), Status::Up);
        registration.set_status(Status::Up);
        within("the status is sent", registration.settled()).await.unwrap();
        assert_eq!(server.instance("RATES", registration.id()).await.unwrap()["status"], "UP");
        assert_eq!(registration.state().lost, 0);
    });
}

/// Tomcat responds with 400 to these characters in a path, unless they are encoded.
#[test]
fn a_pod_with_special_characters_in_its_id_stays_registered() {
    on_eureka(1, |world| async move {
        let id = "rates[0]|^:1";
        let pod = world.pod_with("rates", "rates-1", |builder| builder.instance_id(id)).await;
        let (registration, server) = (&pod.registration, &world.servers[0]);
        let before = registration.state().requests;
        until("heartbeats", || async { registration.state().requests > before + 8 }).await;
        assert!(registration.state().lost == 0 && registration.state().error.is_none());
        assert_eq!(server.ids("RATES").await, [id]);
        within("deregistered", pod.registration.shutdown(Duration::ZERO)).await.unwrap();
        assert!(server.ids("RATES").await.is_empty());
    });
}
