//! The life of a pod: register, be found, be taken out of service, go in order, be evicted.

use std::{collections::BTreeSet, io::Read as _, time::Duration};

use discovery_core::{Environment, Resolver};
use discovery_eureka::{Registration, Status};
use discovery_reqwest::Client;

use crate::harness::{on_eureka, until, until_endpoints, within};

/// Two peers behind one Service: what is registered at one is found at both, requests are balanced over what is found, a peer
/// that dies is not noticed, and who goes in order is gone at once.
#[test]
fn a_pods_life_with_two_peers() {
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
        assert_eq!(callers(&client, 40).await, BTreeSet::from(["rates-1".to_owned(), "rates-2".to_owned()]));

        // One peer dies. Half of the new connections lead to nobody.
        world.servers[0].kill();
        let before = (one.registration.state().requests, two.registration.state().requests);
        until("heartbeats go on", || async {
            one.registration.state().requests > before.0 + 5 && two.registration.state().requests > before.1 + 5
        })
        .await;
        for pod in [&one, &two] {
            until("told the peer that is left", || async {
                world.servers[1]
                    .instance("RATES", pod.registration.id())
                    .await
                    .is_some_and(|held| held["status"] == "UP")
            })
            .await;
        }
        assert_eq!(rates.endpoints().len(), 2);
        assert_eq!(callers(&client, 40).await.len(), 2);

        // One goes in order.
        let id = one.registration.id().to_owned();
        within("deregistered", one.registration.shutdown(Duration::ZERO)).await.unwrap();
        assert_eq!(world.servers[1].instance("RATES", &id).await, None);
        until_endpoints(&rates, 1).await;
        assert_eq!(callers(&client, 20).await, BTreeSet::from(["rates-2".to_owned()]));
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(world.servers[1].instance("RATES", &id).await, None, "no heartbeat brings it back");
        assert_eq!(two.server.requests() + one.server.requests(), 100, "none was lost");
    });
}

/// Who sends 2xx answers to `count` requests.
async fn callers(client: &Client, count: usize) -> BTreeSet<String> {
    let mut callers = BTreeSet::new();
    for _ in 0..count {
        let response = client.get("http://rates/").send().await.unwrap().error_for_status().unwrap();
        callers.insert(response.text().await.unwrap());
    }
    callers
}

/// A pod that is killed says nothing. Its lease counts twice, so that it goes after 2 × 3 s, and a round of the eviction.
#[test]
fn a_killed_pod_is_evicted() {
    on_eureka(1, |world| async move {
        let (source, server) = (world.source().build().unwrap(), &world.servers[0]);
        let rates = world.resolver(&source).upstream("http://rates").unwrap();
        let stays = world.pod("rates", "rates-1").await;
        // This program again, for nothing but the test below.
        let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "life::a_pod_to_be_killed", "--ignored"])
            .env(VICTIM, server.url())
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        until_endpoints(&rates, 2).await;
        let id = server.ids("RATES").await.into_iter().find(|id| id != stays.registration.id()).unwrap();
        victim.kill().unwrap();
        victim.wait().unwrap();
        assert!(server.instance("RATES", &id).await.is_some(), "nobody has told the registry");
        until_endpoints(&rates, 1).await;
        assert_eq!(server.instance("RATES", &id).await, None);
        assert!(stays.registration.state().is_settled(), "the other one has kept its lease");
        assert_eq!(stays.registration.state().lost, 0);
    });
}

/// The registry of the pod that is to be killed.
const VICTIM: &str = "DISCOVERY_EUREKA_VICTIM";

#[test]
#[ignore = "it is the process that `a_killed_pod_is_evicted` starts and kills"]
fn a_pod_to_be_killed() {
    let Ok(url) = std::env::var(VICTIM) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let resolver = Resolver::builder().environment(Environment::empty()).build().unwrap();
    let client = Client::new(resolver);
    let pod = Registration::builder(&client, url, "rates").ip([127, 0, 0, 1].into()).port(9);
    let pod = pod.lease(Duration::from_secs(1), Duration::from_secs(3)).env([("POD_NAME", "rates-2")]).required();
    let _registration = runtime.block_on(pod.register()).unwrap();
    // Until it is killed, or the test that should do so has gone.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    std::process::exit(0);
}

/// Status, override and metadata as the server holds them.
#[test]
fn what_is_set_is_what_the_server_holds() {
    on_eureka(1, |world| async move {
        let source = world.source().build().unwrap();
        let rates = world.resolver(&source).upstream("http://rates").unwrap();
        let pod = world.pod_with("rates", "rates-1", |builder| builder.zone("a").health_check("/health")).await;
        let (registration, server) = (&pod.registration, &world.servers[0]);
        let held = || async { server.instance("RATES", registration.id()).await.unwrap() };

        let record = held().await;
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

        registration.set_metadata("colour", "blue & green");
        registration.set_status(Status::OutOfService);
        within("told", registration.settled()).await.unwrap();
        let record = held().await;
        assert_eq!(
            (&record["status"], &record["overriddenStatus"]),
            (&"OUT_OF_SERVICE".into(), &"OUT_OF_SERVICE".into())
        );
        assert_eq!(record["metadata"]["colour"], "blue & green");
        until_endpoints(&rates, 0).await;

        registration.set_status(Status::Up);
        within("told", registration.settled()).await.unwrap();
        assert_eq!(held().await["status"], "UP");
        until_endpoints(&rates, 1).await;
        assert_eq!(source.instances("rates")[0].metadata["colour"], "blue & green");

        // Registered so from the beginning, there is more to take away than an override.
        let shy = world.pod_with("rates", "rates-2", |builder| builder.status(Status::OutOfService)).await;
        let held_shy = || async { server.instance("RATES", shy.registration.id()).await.unwrap() };
        assert_eq!(held_shy().await["status"], "OUT_OF_SERVICE");
        shy.registration.set_status(Status::Up);
        within("told", shy.registration.settled()).await.unwrap();
        assert_eq!(held_shy().await["status"], "UP");
        within("deregistered", shy.registration.shutdown(Duration::ZERO)).await.unwrap();

        registration.set_status(Status::Down);
        until_endpoints(&rates, 0).await;
        assert_eq!(held().await["status"], "DOWN");
        assert_eq!(registration.state().lost, 0, "no heartbeat was refused on the way");
    });
}
