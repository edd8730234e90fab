//! Datagrams.

use std::{collections::BTreeSet, io, net::SocketAddr, time::Duration};

use discovery_proxy::{Mode, NamespacedName, forward::Forwarder, object::*};
use tests::PATIENCE;
use tokio::net::UdpSocket;

use crate::{pods::*, world::*};

struct Client(UdpSocket);

impl Client {
    async fn new(world: &World) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(world.local(Protocol::Udp)).await.unwrap();
        Self(socket)
    }

    /// Sends, and says which pod has answered.
    async fn ask(&self) -> SocketAddr {
        let answer = within("an answer", self.exchange(b"ping")).await;
        let (pod, echo) = answer.split_once(' ').unwrap();
        assert_eq!(echo, "ping");
        pod.parse().unwrap()
    }

    async fn exchange(&self, datagram: &[u8]) -> String {
        self.0.send(datagram).await.unwrap();
        let mut buffer = vec![0; 1 << 16];
        let n = self.0.recv(&mut buffer).await.unwrap();
        buffer.truncate(n);
        String::from_utf8(buffer).unwrap()
    }

    /// Sends until somebody answers; returns who, and how many datagrams were lost before.
    async fn insist(&self) -> (SocketAddr, u64) {
        for lost in 0..100 {
            if let Ok(answer) = tokio::time::timeout(PATIENCE / 100, self.exchange(b"again")).await {
                return (answer.split_once(' ').unwrap().0.parse().unwrap(), lost);
            }
        }
        panic!("nobody answers");
    }
}

#[tokio::test]
async fn a_client_stays_with_its_pod_and_clients_are_spread() {
    for mode in all_modes() {
        let (_pods, addrs) = udp_pods(3).await;
        let world = World::new(mode.clone()).serving(&service(), &addrs);
        let mut reached = BTreeSet::new();
        // Kept, so that none gets the port of another.
        let mut clients = Vec::new();
        for n in 1..=24 {
            let client = Client::new(&world).await;
            let pod = client.ask().await;
            assert_eq!([client.ask().await, client.ask().await], [pod, pod], "{mode:?}");
            reached.insert(pod);
            clients.push(client);
            assert_eq!(world.forwarder.stats().associations, n, "{mode:?}");
        }
        assert_eq!(reached, addrs.iter().copied().collect(), "{mode:?}");
    }
}

/// kube-proxy's buffer of 4096 bytes would cut the second.
#[tokio::test]
async fn datagrams_of_any_size_pass_whole() {
    let (_pods, addrs) = udp_pods(1).await;
    let world = World::new(Mode::Userspace).serving(&service(), &addrs);
    let client = Client::new(&world).await;
    for size in [0, 4097, 60_000] {
        let answer = within("an answer", client.exchange(&vec![b'x'; size])).await;
        assert_eq!(answer.split_once(' ').unwrap().1.len(), size);
    }
}

/// [k/k pkg/proxy/conntrack/cleanup.go, `CleanStaleEntries`]: only flows to what no longer serves are forgotten.
#[tokio::test]
async fn a_change_forgets_exactly_the_stale_associations() {
    for mode in all_modes() {
        let (_pods, addrs) = udp_pods(2).await;
        let mut world = World::new(mode.clone()).serving(&service(), &addrs);
        let mut clients = Vec::new();
        for _ in 0..16 {
            let client = Client::new(&world).await;
            let pod = client.ask().await;
            clients.push((client, pod));
        }
        let stale = clients.iter().filter(|(_, pod)| *pod == addrs[0]).count();
        assert!(stale > 0 && stale < 16, "{mode:?}");

        world.pods(&addrs[1..]);
        let stats = world.forwarder.stats();
        assert_eq!((stats.purged, stats.associations), (stale as u64, 16 - stale), "{mode:?}: when publish returns");
        for (client, _) in &clients {
            assert_eq!(client.ask().await, addrs[1], "{mode:?}");
        }
        assert_eq!(world.forwarder.stats().associated, 16 + stale as u64, "{mode:?}: others have kept theirs");
    }
}

/// The same source: whether it is ready does not matter.
#[tokio::test]
async fn an_association_with_a_terminating_pod_that_serves_is_kept() {
    let (_pods, addrs) = udp_pods(2).await;
    let mut world = World::new(Mode::Nftables).serving(&service(), &addrs);
    let client = Client::new(&world).await;
    let pod = client.ask().await;
    let terminating = Conditions { ready: Some(false), serving: Some(true), terminating: Some(true) };
    let slice = |addr: &SocketAddr| SliceEndpoint {
        conditions: if *addr == pod { terminating } else { Conditions::default() },
        ..endpoint(*addr)
    };
    world.slice(addrs.iter().map(slice).collect(), addrs[0].port());
    assert_eq!(client.ask().await, pod);
    assert_eq!(world.forwarder.stats().purged, 0);
    // Nor where new clients are refused: it goes on.
    let not_ready = Conditions { ready: Some(false), serving: Some(true), terminating: Some(false) };
    world.slice(vec![SliceEndpoint { conditions: not_ready, ..endpoint(pod) }], pod.port());
    assert_eq!(client.ask().await, pod);
}

/// Releases 1.32 to 1.35 kept both (issue 139628).
#[tokio::test]
async fn nothing_is_left_of_a_service_without_endpoints_or_that_is_gone() {
    for delete in [false, true] {
        let (_pods, addrs) = udp_pods(1).await;
        let mut world = World::new(Mode::Nftables).serving(&service(), &addrs);
        let client = Client::new(&world).await;
        client.ask().await;
        if delete {
            world.proxy.delete_service(&NamespacedName::new("shop", "orders"));
            world.publish();
        } else {
            world.pods(&[]);
        }
        assert_eq!(world.forwarder.stats().associations, 0);
        // The socket is closed, and the kernel says so by ICMP.
        let refused = async {
            loop {
                match client.0.send(b"ping").await {
                    Ok(_) => tokio::task::yield_now().await,
                    Err(error) => break error.kind(),
                }
            }
        };
        assert_eq!(within("a refusal", refused).await, io::ErrorKind::ConnectionRefused);
    }
}

/// Its old socket may not be closed yet when the address is wanted again.
#[tokio::test]
async fn an_address_that_was_given_up_can_be_had_again_at_once() {
    let (_pods, addrs) = udp_pods(1).await;
    let own = addresses(1)[0];
    let builder = Forwarder::builder().listen_at(move |_, to| Some(SocketAddr::new(own, to.port() + 8000)));
    let mut world = World::with(Mode::Nftables, builder).serving(&service(), &addrs);
    for _ in 0..10 {
        world.pods(&[]);
        world.pods(&addrs);
        assert_eq!(Client::new(&world).await.ask().await, addrs[0]);
    }
    // A socket of somebody else is respected.
    let error = std::net::UdpSocket::bind(world.local(Protocol::Udp)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

/// The datagram that finds out is lost, as with kube-proxy.
#[tokio::test]
async fn userspace_mode_gets_around_a_pod_that_was_killed() {
    let (mut pods, addrs) = udp_pods(2).await;
    let world = World::new(Mode::Userspace).serving(&service(), &addrs);
    let client = Client::new(&world).await;
    let dead = client.ask().await;
    pods.remove(addrs.iter().position(|addr| *addr == dead).unwrap());
    until("its address is free", || std::net::UdpSocket::bind(dead).is_ok()).await;
    let (pod, lost) = client.insist().await;
    assert_ne!(pod, dead);
    assert!(lost <= 2, "{lost} datagrams");
    // The loop that serves all clients has survived it.
    Client::new(&world).await.insist().await;
}

/// The kernel keeps a flow where it is.
#[tokio::test]
async fn other_modes_stay_with_a_killed_pod_until_they_are_told() {
    let (mut pods, addrs) = udp_pods(2).await;
    let mut world = World::new(Mode::Nftables).serving(&service(), &addrs);
    let client = Client::new(&world).await;
    let dead = client.ask().await;
    let at = addrs.iter().position(|addr| *addr == dead).unwrap();
    pods.remove(at);
    until("its address is free", || std::net::UdpSocket::bind(dead).is_ok()).await;
    let mut lost = 0;
    while lost < 5 {
        client.0.send(b"ping").await.unwrap();
        // The next one brings the news of the one before.
        tokio::task::yield_now().await;
        lost = world.forwarder.stats().lost;
    }
    assert_eq!(world.forwarder.stats().associated, 1);
    world.pods(&[addrs[1 - at]]);
    assert_eq!(client.ask().await, addrs[1 - at]);
}

#[tokio::test]
async fn an_idle_association_ends_and_leaves_room_for_another() {
    let (_pods, addrs) = udp_pods(1).await;
    let builder = builder().udp_idle_timeout(Duration::from_millis(40)).max_associations(1);
    let world = World::with(Mode::Userspace, builder).serving(&service(), &addrs);
    Client::new(&world).await.ask().await;
    world.until("it is idle", |stats| stats.associations == 0).await;
    Client::new(&world).await.ask().await;
    assert_eq!(world.forwarder.stats().associated, 2);
}

/// Time stands still but for what the test lets pass: it would go on by itself when all tasks wait.
#[tokio::test(start_paused = true)]
async fn traffic_in_either_direction_keeps_an_association() {
    let idle = Duration::from_secs(30);
    let awake = tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    let pod = UdpSocket::bind((addresses(1)[0], 0)).await.unwrap();
    let world =
        World::with(Mode::Nftables, builder().udp_idle_timeout(idle)).serving(&service(), &[pod.local_addr().unwrap()]);
    let client = Client::new(&world).await;
    let mut buffer = [0; 64];
    client.0.send(b"1").await.unwrap();
    let (_, association) = pod.recv_from(&mut buffer).await.unwrap();
    for _ in 0..3 {
        tokio::time::advance(idle - Duration::from_millis(2)).await;
        client.0.send(b"more").await.unwrap();
        assert_eq!(pod.recv_from(&mut buffer).await.unwrap().1, association);
    }
    for _ in 0..3 {
        tokio::time::advance(idle - Duration::from_millis(2)).await;
        pod.send_to(b"more", association).await.unwrap();
        client.0.recv(&mut buffer).await.unwrap();
    }
    assert_eq!(world.forwarder.stats().associations, 1);
    tokio::time::advance(idle + Duration::from_millis(2)).await;
    while world.forwarder.stats().associations > 0 {
        tokio::task::yield_now().await;
    }
    client.0.send(b"anew").await.unwrap();
    pod.recv_from(&mut buffer).await.unwrap();
    assert_eq!(world.forwarder.stats().associated, 2);
    awake.abort();
}

#[tokio::test]
async fn associations_are_bounded_and_those_that_are_there_go_on() {
    let (_pods, addrs) = udp_pods(1).await;
    let world = World::with(Mode::Nftables, builder().max_associations(2)).serving(&service(), &addrs);
    let (one, other, third) = (Client::new(&world).await, Client::new(&world).await, Client::new(&world).await);
    one.ask().await;
    other.ask().await;
    third.0.send(b"ping").await.unwrap();
    world.until("it is lost", |stats| stats.lost == 1).await;
    assert_eq!(one.ask().await, addrs[0]);
    assert_eq!(world.forwarder.stats().associations, 2);
}

/// Without a Service's endpoints userspace kube-proxy loses datagrams and keeps its socket.
#[tokio::test]
async fn userspace_mode_without_endpoints_loses_datagrams() {
    let (_pods, addrs) = udp_pods(1).await;
    let mut world = World::new(Mode::Userspace).serving(&service(), &[]);
    let client = Client::new(&world).await;
    client.0.send(b"ping").await.unwrap();
    world.until("it is dropped", |stats| stats.dropped == 1).await;
    world.pods(&addrs);
    assert_eq!(client.ask().await, addrs[0]);
}

#[tokio::test]
async fn replies_still_come_while_a_forwarder_shuts_down() {
    let silent = UdpSocket::bind((addresses(1)[0], 0)).await.unwrap();
    let builder = builder().udp_idle_timeout(Duration::from_millis(200));
    let world = World::with(Mode::Userspace, builder).serving(&service(), &[silent.local_addr().unwrap()]);
    let client = Client::new(&world).await;
    client.0.send(b"question").await.unwrap();
    let mut buffer = [0; 64];
    let (_, forwarder) = within("the question", silent.recv_from(&mut buffer)).await.unwrap();
    let (drained, answer) = tokio::join!(world.forwarder.shutdown(PATIENCE), async {
        silent.send_to(b"answer", forwarder).await.unwrap();
        let n = within("the answer", client.0.recv(&mut buffer)).await.unwrap();
        buffer[..n].to_vec()
    });
    assert_eq!(answer, b"answer");
    assert_eq!(drained.associations_cut, 0);
}

#[tokio::test]
async fn own_threads_carry_datagrams_too() {
    let (_pods, addrs) = udp_pods(2).await;
    let world = World::with(Mode::Userspace, builder().workers(2)).serving(&service(), &addrs);
    let (one, other) = (Client::new(&world).await, Client::new(&world).await);
    assert_ne!(one.ask().await, other.ask().await);
}
