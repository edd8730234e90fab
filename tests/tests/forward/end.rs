//! Shutdown drains; dropping a forwarder closes everything.

use std::time::Duration;

use discovery_proxy::{Mode, object::Protocol};
use tests::within;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{pods::*, world::*};

#[tokio::test]
async fn shutdown_waits_for_open_connections() {
    for workers in [0, 2] {
        let (_pods, addrs) = echo_pods(1).await;
        let world = ForwardWorld::with(Mode::Userspace, builder().workers(workers)).serving(&service(), &addrs);
        let (local, (mut stream, _)) = (world.tcp(), visit(world.tcp()).await.unwrap());
        let shutdown = tokio::spawn(world.forwarder.shutdown(tests::PATIENCE));
        within("a refused connection", async {
            while !is_refused(local).await {
                tokio::task::yield_now().await;
            }
        })
        .await;
        // The forwarder still carries open connections.
        stream.write_all(b"last words").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut echo = String::new();
        stream.read_to_string(&mut echo).await.unwrap();
        assert_eq!(echo, "last words");
        let drained = within("the end", shutdown).await.unwrap();
        assert_eq!((drained.connections_cut, drained.associations_cut), (0, 0));
    }
}

#[tokio::test]
async fn shutdown_cuts_connections_after_the_timeout() {
    for workers in [0, 2] {
        let (_pods, addrs) = echo_pods(1).await;
        let world = ForwardWorld::with(Mode::Userspace, builder().workers(workers)).serving(&service(), &addrs);
        let (mut one, _) = visit(world.tcp()).await.unwrap();
        let (mut other, _) = visit(world.tcp()).await.unwrap();
        let drained = within("the end", world.forwarder.shutdown(Duration::from_millis(20))).await;
        assert_eq!(drained.connections_cut, 2);
        for stream in [&mut one, &mut other] {
            assert!(matches!(stream.read(&mut [0; 1]).await, Ok(0) | Err(_)));
        }
    }
}

#[tokio::test]
async fn dropping_a_forwarder_closes_all_sockets() {
    for workers in [0, 2] {
        let (_pods, addrs) = echo_pods(1).await;
        let world = ForwardWorld::with(Mode::Userspace, builder().workers(workers)).serving(&service(), &addrs);
        let (tcp, udp) = (world.tcp(), world.local(Protocol::Udp));
        let (mut stream, _) = visit(tcp).await.unwrap();
        drop(world);
        let end = within("the end of the connection", stream.read(&mut [0; 1])).await;
        assert!(matches!(end, Ok(0) | Err(_)));
        assert!(is_refused(tcp).await);
        until("a closed UDP socket", || std::net::UdpSocket::bind(udp).is_ok()).await;
    }
}
