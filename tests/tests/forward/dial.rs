//! Connecting from within the process, without a forwarder in between.

use std::{net::SocketAddr, time::Duration};

use discovery_proxy::{
    Mode,
    forward::{Dialer, SnapshotHandle},
    object::*,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{pods::*, world::*};

fn vip() -> SocketAddr {
    VIP.parse().unwrap()
}

fn dialer(world: &ForwardWorld) -> Dialer {
    Dialer::new(world.forwarder.snapshot_handle())
}

#[tokio::test]
async fn a_services_address_leads_straight_to_a_pod() {
    for mode in all_modes() {
        let (_pods, addrs) = echo_pods(2).await;
        let world = ForwardWorld::new(mode).serving(&service(), &addrs);
        let mut dialed = dialer(&world).dial(vip()).await.unwrap();
        let mut name = vec![0; dialed.read_u8().await.unwrap().into()];
        dialed.read_exact(&mut name).await.unwrap();
        assert_eq!(String::from_utf8(name).unwrap(), dialed.endpoint().to_string());
        dialed.write_all(b"x").await.unwrap();
        assert_eq!(dialed.read_u8().await.unwrap(), b'x');
        assert_eq!(world.forwarder.stats().accepted, 0, "no forwarder in between");
    }
}

#[tokio::test]
async fn an_address_without_a_service_is_dialed_as_it_is() {
    let (_pods, addrs) = echo_pods(1).await;
    let world = ForwardWorld::new(Mode::Nftables);
    assert_eq!(dialer(&world).dial(addrs[0]).await.unwrap().endpoint(), addrs[0]);
}

#[tokio::test]
async fn userspace_mode_tries_four_times_and_says_so() {
    let (pods, addrs) = echo_pods(3).await;
    let world = ForwardWorld::new(Mode::Userspace).serving(&service(), &addrs);
    drop(pods);
    for addr in &addrs {
        until("dead pods", || std::net::TcpStream::connect(addr).is_err()).await;
    }
    let error = dialer(&world).dial(vip()).await.unwrap_err();
    assert_eq!(error.attempts(), 4);
    assert!(!error.is_refused() && error.to_string().contains("4 connect attempts failed"), "{error}");
}

#[tokio::test]
async fn other_modes_try_once() {
    let (pods, addrs) = echo_pods(1).await;
    let world = ForwardWorld::new(Mode::Nftables).serving(&service(), &addrs);
    drop(pods);
    until("a dead pod", || std::net::TcpStream::connect(addrs[0]).is_err()).await;
    let error = dialer(&world).with_connect_timeout(Duration::from_secs(1)).dial(vip()).await.unwrap_err();
    assert_eq!(error.attempts(), 1);
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_refusal_and_a_drop_are_errors_at_once() {
    let (_pods, addrs) = echo_pods(1).await;
    let mut world = ForwardWorld::new(Mode::Nftables).serving(&service(), &[]);
    let error = dialer(&world).dial(vip()).await.unwrap_err();
    assert!(error.is_refused(), "{error}");
    let local = Service { internal_traffic_policy: TrafficPolicy::Local, ..service() };
    world = world.serving(&local, &addrs);
    let error = dialer(&world).dial(vip()).await.unwrap_err();
    assert!(error.is_dropped(), "{error}");
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::TimedOut);
}

/// With the snapshots alone, without a forwarder.
#[tokio::test]
async fn a_dialer_follows_published_snapshots() {
    let (_pods, addrs) = echo_pods(2).await;
    let mut world = ForwardWorld::new(Mode::Nftables).serving(&sticky(), &addrs[..1]);
    let published = SnapshotHandle::new(world.proxy.snapshot().clone());
    let dialer = Dialer::new(published.clone()).with_source([10, 244, 1, 7].into());
    assert_eq!(dialer.dial(vip()).await.unwrap().endpoint(), addrs[0]);
    published.publish(&world.pods(&addrs[1..]));
    assert_eq!(dialer.dial(vip()).await.unwrap().endpoint(), addrs[1]);
}
