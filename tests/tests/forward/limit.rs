//! Limits, and addresses that the forwarder cannot listen at.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use discovery_proxy::{Mode, forward::Forwarder};
use tests::within;
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::{pods::*, world::*};

#[tokio::test]
async fn connections_wait_at_the_limit() {
    let (_pods, addrs) = echo_pods(1).await;
    let world = ForwardWorld::with(Mode::Userspace, builder().max_connections(2)).serving(&service(), &addrs);
    let (first, _) = visit(world.tcp()).await.unwrap();
    let (_second, _) = visit(world.tcp()).await.unwrap();
    let mut third = TcpStream::connect(world.tcp()).await.unwrap();
    // By the time the fourth is connected, the third would have been carried.
    let fourth = TcpStream::connect(world.tcp()).await.unwrap();
    assert_eq!(world.forwarder.stats().connections, 2);
    drop(first);
    within("the third connection", greeting(&mut third)).await.unwrap();
    assert_eq!(world.forwarder.stats().connections, 2);
    drop(fourth);
}

#[tokio::test]
async fn reports_an_address_in_use_and_tries_it_again() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = Arc::new(AtomicU16::new(taken.local_addr().unwrap().port()));
    let at = port.clone();
    let builder = Forwarder::builder()
        .listen_at(move |_, _| Some(SocketAddr::from(([127, 0, 0, 1], at.load(Ordering::Relaxed)))));
    let (_pods, addrs) = echo_pods(1).await;
    let mut world = ForwardWorld::with(Mode::Userspace, builder);
    let mut tcp_only = service();
    tcp_only.ports.truncate(1);
    world.proxy.apply_service(&tcp_only);
    let mut rng = discovery_core::policy::SplitMix64::with_seed(1);
    let changes = world.proxy.sync(std::time::Instant::now(), &mut rng);

    let failed = world.forwarder.publish(&changes);
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].destination(), VIP.parse().unwrap());
    let text = failed[0].to_string();
    assert!(
        text.contains(&taken.local_addr().unwrap().to_string()) && text.contains("stop the other socket"),
        "{text}"
    );

    drop(taken);
    world.pods(&addrs);
    visit(world.tcp()).await.unwrap();
}

/// No machine has a documentation address (RFC 5737).
#[tokio::test]
async fn the_error_for_a_foreign_address_says_what_to_do() {
    let builder = Forwarder::builder().listen_at(|_, _| Some("192.0.2.1:8080".parse().unwrap()));
    let mut world = ForwardWorld::with(Mode::Userspace, builder);
    world.proxy.apply_service(&service());
    let mut rng = discovery_core::policy::SplitMix64::with_seed(1);
    let changes = world.proxy.sync(std::time::Instant::now(), &mut rng);
    let failed = world.forwarder.publish(&changes);
    assert_eq!(failed.len(), 2, "TCP and UDP");
    assert!(failed.iter().all(|one| one.is_not_local() && one.to_string().contains("ip route add local")));
}

#[test]
fn a_forwarder_needs_a_runtime_or_threads() {
    let proxy = discovery_proxy::Proxier::new(discovery_proxy::Config::new(
        discovery_proxy::object::IpFamily::V4,
        Mode::Userspace,
    ));
    let error = builder().start(proxy.snapshot().clone()).unwrap_err();
    assert!(error.to_string().contains("`workers`"), "{error}");
    builder().workers(1).start(proxy.snapshot().clone()).unwrap();
}

/// A waiting connection that its client closes does not block the next one.
#[tokio::test]
async fn a_client_may_leave_while_it_waits() {
    let (_pods, addrs) = echo_pods(1).await;
    let world = ForwardWorld::with(Mode::Userspace, builder().max_connections(1)).serving(&service(), &addrs);
    let (first, _) = visit(world.tcp()).await.unwrap();
    drop(TcpStream::connect(world.tcp()).await.unwrap());
    let mut last = TcpStream::connect(world.tcp()).await.unwrap();
    drop(first);
    within("the last connection", greeting(&mut last)).await.unwrap();
    drop(last.read_u8());
}
