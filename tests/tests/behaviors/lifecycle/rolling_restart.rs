//! Pods that are replaced one after the other, under load.

use discovery_core::endpoint::EndpointSet;
use discovery_testing::FakePod;
use tests::until;

use crate::support::balance::{BalanceWorld, Traffic};

/// A new pod is in use before the old one leaves, as with `maxUnavailable: 0`. The old pod stops at once.
#[tokio::test]
async fn a_rolling_restart_under_load_fails_no_request() {
    let world = BalanceWorld::new(4).await;
    let traffic = Traffic::start(&world.balance(), 8);
    let old = world.service.pods();
    for pod in &old {
        traffic.more(100).await;
        let new = world.service.add_pod().await.unwrap();
        let has = |set: &EndpointSet, pod: &FakePod| set.iter().any(|endpoint| endpoint.addr() == pod.addr());
        until(&world.upstream, "the new pod", |set| has(set, &new)).await;
        assert!(world.service.remove_pod(pod.name()).await);
    }
    world.until_pods(4).await;
    traffic.more(200).await;
    let (sent, errors) = traffic.stop().await;
    println!("rolling restart of 4 pods: {sent} requests, {} failed", errors.len());
    assert!(errors.is_empty(), "{errors:?}");
    let new = world.service.pods();
    assert!(new.iter().all(|pod| pod.requests() > 0 && !old.iter().any(|gone| gone.addr() == pod.addr())));
}
