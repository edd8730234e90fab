//! What the rules refuse and drop.

use std::{io, time::Duration};

use discovery_proxy::{Mode, object::*};
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::{pods::*, world::*};

/// The table in `proxy/mod.rs`, "no endpoints".
#[tokio::test]
async fn without_endpoints_the_kernel_s_modes_refuse() {
    for mode in all_modes().into_iter().skip(1) {
        let (_pods, addrs) = echo_pods(1).await;
        let mut world = World::new(mode.clone()).serving(&service(), &addrs);
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
async fn without_endpoints_userspace_mode_accepts_and_closes() {
    let world = World::new(Mode::Userspace).serving(&service(), &[]);
    let mut stream = TcpStream::connect(world.tcp()).await.unwrap();
    assert_eq!(within("the end", stream.read(&mut [0; 1])).await.unwrap(), 0);
    assert_eq!(world.forwarder.stats().refused, 1);
}

/// `internalTrafficPolicy: Local` and no endpoint on this node: the real proxy drops what comes.
#[tokio::test]
async fn what_is_dropped_is_silent_and_then_reset() {
    let (_pods, addrs) = echo_pods(1).await;
    let local = Service { internal_traffic_policy: TrafficPolicy::Local, ..service() };
    let silence = Duration::from_millis(150);
    let world = World::with(Mode::Nftables, builder().drop_timeout(silence)).serving(&local, &addrs);
    let begin = std::time::Instant::now();
    let mut stream = TcpStream::connect(world.tcp()).await.unwrap();
    let error = within("a reset", stream.read(&mut [0; 1])).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert!(begin.elapsed() >= silence, "{:?}", begin.elapsed());
    assert_eq!(world.forwarder.stats().dropped, 1);
    assert_eq!(world.forwarder.stats().unreachable, 0);
}
