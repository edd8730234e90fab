//! Services and pods that change under traffic.

use std::{io, time::Duration};

use discovery_proxy::{Mode, NamespacedName, object::*};
use tests::within;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{pods::*, world::*};

async fn echoes(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"x").await?;
    stream.read_u8().await.map(|_| ())
}

/// Before the proxy learns of it, userspace mode finds another pod by itself.
#[tokio::test]
async fn userspace_mode_fails_over_from_a_killed_pod() {
    let (mut pods, addrs) = echo_pods(3).await;
    let world = ForwardWorld::new(Mode::Userspace).serving(&service(), &addrs);
    let (mut cut, dead) = visit(world.tcp()).await.unwrap();
    pods.remove(addrs.iter().position(|addr| *addr == dead).unwrap());

    assert!(within("the connection breaks", echoes(&mut cut)).await.is_err());
    for _ in 0..9 {
        let (mut stream, pod) = within("another pod", visit(world.tcp())).await.unwrap();
        assert_ne!(pod, dead);
        echoes(&mut stream).await.unwrap();
    }
    assert_eq!(world.forwarder.stats().unreachable, 0);
}

/// The kernel does not retry; its rules have to change.
#[tokio::test]
async fn other_modes_lose_connections_until_their_rules_change() {
    for mode in all_modes().into_iter().skip(1) {
        let (mut pods, addrs) = echo_pods(2).await;
        let mut world = ForwardWorld::new(mode.clone()).serving(&service(), &addrs);
        pods.remove(0);
        within("a connection is lost", async {
            while let Ok((_, pod)) = visit(world.tcp()).await {
                assert_eq!(pod, addrs[1]);
            }
        })
        .await;
        assert_eq!(world.forwarder.stats().unreachable, 1, "{mode:?}");

        world.pods(&addrs[1..]);
        for _ in 0..16 {
            assert_eq!(visit(world.tcp()).await.unwrap().1, addrs[1], "{mode:?}");
        }
    }
}

#[tokio::test]
async fn closes_the_connection_after_four_dead_pods() {
    let (pods, addrs) = echo_pods(2).await;
    let world = ForwardWorld::new(Mode::Userspace).serving(&service(), &addrs);
    drop(pods);
    until("dead pods", || std::net::TcpStream::connect(addrs[0]).is_err()).await;
    let mut stream = TcpStream::connect(world.tcp()).await.unwrap();
    let end = within("the end", stream.read(&mut [0; 1])).await.unwrap();
    assert_eq!(end, 0, "kube-proxy closes the connection");
    assert_eq!(world.forwarder.stats().unreachable, 1);
}

#[tokio::test]
async fn new_connections_avoid_a_removed_endpoint_and_old_ones_stay() {
    for mode in all_modes() {
        let (_pods, addrs) = echo_pods(2).await;
        let mut world = ForwardWorld::new(mode.clone()).serving(&service(), &addrs);
        let (mut old, pod) = visit(world.tcp()).await.unwrap();
        let rest: Vec<_> = addrs.iter().copied().filter(|addr| *addr != pod).collect();
        world.pods(&rest);
        for _ in 0..8 {
            assert_eq!(visit(world.tcp()).await.unwrap().1, rest[0], "{mode:?}");
        }
        echoes(&mut old).await.unwrap();
        // They survive even the removal of the Service.
        world.proxy.delete_service(&NamespacedName::new("shop", "orders"));
        let local = world.tcp();
        world.publish();
        assert!(is_refused(local).await, "{mode:?}");
        echoes(&mut old).await.unwrap();
    }
}

#[tokio::test]
async fn drains_connections_to_a_removed_endpoint_if_configured() {
    let (_pods, addrs) = echo_pods(2).await;
    let builder = builder().drain_removed_after(Duration::from_millis(30));
    let mut world = ForwardWorld::with(Mode::Nftables, builder).serving(&service(), &addrs);
    let (mut streams, mut reached) = (Vec::new(), Vec::new());
    within("both pods", async {
        while !addrs.iter().all(|addr| reached.contains(addr)) {
            let (stream, pod) = visit(world.tcp()).await.unwrap();
            streams.push(stream);
            reached.push(pod);
        }
    })
    .await;
    world.pods(&addrs[1..]);
    for (stream, pod) in streams.iter_mut().zip(&reached) {
        if *pod == addrs[0] {
            let end = within("the end of a drained connection", stream.read(&mut [0; 1])).await;
            assert!(matches!(end, Ok(0) | Err(_)));
        } else {
            echoes(stream).await.unwrap();
        }
    }
}

#[tokio::test]
async fn does_not_drain_a_terminating_pod_that_serves() {
    let (_pods, addrs) = echo_pods(1).await;
    let builder = builder().drain_removed_after(Duration::ZERO);
    let mut world = ForwardWorld::with(Mode::Nftables, builder).serving(&service(), &addrs);
    let (mut stream, _) = visit(world.tcp()).await.unwrap();
    let terminating = Conditions { ready: Some(false), serving: Some(true), terminating: Some(true) };
    world.slice(vec![SliceEndpoint { conditions: terminating, ..endpoint(addrs[0]) }], addrs[0].port());
    echoes(&mut stream).await.unwrap();
    world.pods(&[]);
    let end = within("the end", stream.read(&mut [0; 1])).await;
    assert!(matches!(end, Ok(0) | Err(_)));
}

#[tokio::test]
async fn listens_at_every_address_of_a_service() {
    let (_pods, addrs) = echo_pods(1).await;
    let mut exposed = Service {
        service_type: ServiceType::LoadBalancer,
        external_ips: vec!["198.51.100.7".into()],
        load_balancer_ingress: vec![LoadBalancerIngress { ip: "198.51.100.8".into(), ..Default::default() }],
        ..service()
    };
    exposed.ports[0].node_port = 30080;
    let mut world = ForwardWorld::new(Mode::Userspace);
    world.proxy.apply_node(&Node { name: "here".into(), addresses: vec!["192.168.0.1".into()], ..Node::default() });
    let world = world.serving(&exposed, &addrs);
    for address in [VIP, "198.51.100.7:80", "198.51.100.8:80", "192.168.0.1:30080", "127.0.0.1:30080"] {
        let local = world.forwarder.local_addr(Protocol::Tcp, address.parse().unwrap());
        assert_eq!(visit(local.expect(address)).await.unwrap().1, addrs[0], "{address}");
    }
    assert_eq!(world.forwarder.local_addr(Protocol::Tcp, "10.96.0.10:81".parse().unwrap()), None);
}
