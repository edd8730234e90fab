//! Connections that the rules refuse or drop.

use std::{io, time::Duration};

use discovery_proxy::{Mode, object::*};
use tests::within;
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::{pods::*, world::*};

/// The table in the docs of `discovery_proxy`, row "no endpoints".
#[tokio::test]
async fn kernel_modes_refuse_without_endpoints() {
    for mode in all_modes().into_iter().skip(1) {
        let (_pods, addrs) = echo_pods(1).await;
        let mut world = ForwardWorld::new(mode.clone()).serving(&service(), &addrs);
        let local = world.tcp();
        visit(local).await.unwrap();
        world.pods(&[]);
        assert!(is_refused(local).await, "{mode:?}: when publish returns");
        // And back again.
        world.pods(&addrs);
        assert_eq!(visit(world.tcp()).await.unwrap().1, addrs[0]);
    }
}

#[tokio::test]
async fn userspace_mode_accepts_and_closes_without_endpoints() {
    let world = ForwardWorld::new(Mode::Userspace).serving(&service(), &[]);
    let mut stream = TcpStream::connect(world.tcp()).await.unwrap();
    assert_eq!(within("the end", stream.read(&mut [0; 1])).await.unwrap(), 0);
    assert_eq!(world.forwarder.stats().refused, 1);
}

/// `internalTrafficPolicy: Local` without an endpoint on this node: the real proxy drops packets.
#[tokio::test]
async fn a_dropped_connection_is_silent_and_then_reset() {
    let (_pods, addrs) = echo_pods(1).await;
    let local = Service { internal_traffic_policy: TrafficPolicy::Local, ..service() };
    let drop_timeout = Duration::from_millis(150);
    let world = ForwardWorld::with(Mode::Nftables, builder().drop_timeout(drop_timeout)).serving(&local, &addrs);
    let begin = std::time::Instant::now();
    let mut stream = TcpStream::connect(world.tcp()).await.unwrap();
    let error = within("a reset", stream.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(begin.elapsed() >= drop_timeout, "{:?}", begin.elapsed());
    assert_eq!(world.forwarder.stats().dropped, 1);
    assert_eq!(world.forwarder.stats().unreachable, 0);
}
