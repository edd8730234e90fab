//! `VipConnector` under hyper's client.

use std::{collections::BTreeSet, error::Error as _, net::SocketAddr};

use ::tower::ServiceExt;
use bytes::Bytes;
use discovery_proxy::{
    Mode,
    forward::{Dialer, SnapshotHandle},
};
use discovery_testing::FakeCluster;
use discovery_tower::{VipConnector, VipEndpoint, VipError};
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tests::within;

use crate::world::*;

type Http = Client<VipConnector, Empty<Bytes>>;

async fn get(client: &Http) -> Result<SocketAddr, hyper_util::client::legacy::Error> {
    let response = client.get(format!("http://{VIP}/v1/items").parse().unwrap()).await?;
    let pod = response.extensions().get::<VipEndpoint>().unwrap().addr();
    response.into_body().collect().await.unwrap();
    Ok(pod)
}

#[tokio::test]
async fn requests_to_a_virtual_address_reach_pods() {
    let cluster = FakeCluster::start().await.unwrap();
    let orders = cluster.service("shop", "orders").replicas(3).start().await.unwrap();
    let addrs: Vec<SocketAddr> = orders.pods().iter().map(|pod| pod.addr()).collect();
    let mut world = ForwardWorld::new(Mode::Userspace).serving(&service(), &addrs);
    let published = SnapshotHandle::new(world.proxy.snapshot().clone());
    let connector = VipConnector::new(Dialer::new(published.clone()));
    // With a connection for each request, the pods take turns.
    let each = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector.clone());
    let mut reached = BTreeSet::new();
    for _ in 0..3 {
        reached.insert(within("a response", get(&each)).await.unwrap());
    }
    assert_eq!(reached, addrs.iter().copied().collect());

    // A kept connection stays with its pod; when the pod dies, the next connection finds another.
    let kept = Client::builder(TokioExecutor::new()).build(connector);
    let home = within("a response", get(&kept)).await.unwrap();
    assert_eq!(within("a response", get(&kept)).await.unwrap(), home);
    let pod = orders.pods().into_iter().find(|pod| pod.addr() == home).unwrap();
    pod.kill().await;
    let next = within("a response from another pod", async {
        loop {
            // The request that meets the broken connection may fail.
            if let Ok(pod) = get(&kept).await {
                break pod;
            }
        }
    });
    assert_ne!(next.await, home);

    let last = addrs.into_iter().find(|addr| *addr != home).unwrap();
    published.publish(&world.pods(&[last]));
    assert_eq!(within("a response", get(&each)).await.unwrap(), last);
}

#[tokio::test]
async fn a_refusal_by_the_rules_is_an_error_that_says_so() {
    let world = ForwardWorld::new(Mode::Nftables).serving(&service(), &[]);
    let connector = VipConnector::new(Dialer::new(world.forwarder.snapshot_handle()));
    let error = connector.clone().oneshot(format!("http://{VIP}").parse().unwrap()).await.unwrap_err();
    assert!(error.as_dial().unwrap().is_refused());

    let client: Http = Client::builder(TokioExecutor::new()).build(connector);
    let error = client.get("http://orders.shop/".parse().unwrap()).await.unwrap_err();
    assert!(error.is_connect());
    let inner = error.source().unwrap().downcast_ref::<VipError>().unwrap();
    assert!(inner.is_not_an_address() && inner.to_string().contains("orders.shop"), "{inner}");
}
