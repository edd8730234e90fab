//! Datagrams.

use std::{collections::BTreeSet, io, net::SocketAddr, time::Duration};

use discovery_proxy::{Mode, NamespacedName, forward::Forwarder, object::*};
use tests::{PATIENCE, within};
use tokio::net::UdpSocket;

use crate::{pods::*, world::*};

struct UdpClient(UdpSocket);

impl UdpClient {
    async fn new(world: &ForwardWorld) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(world.local(Protocol::Udp)).await.unwrap();
        Self(socket)
    }

    /// Sends a datagram, and returns the pod that answered.
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

    /// Sends until a pod answers; returns the pod and the number of datagrams that were lost before.
    async fn insist(&self) -> (SocketAddr, u64) {
        for lost in 0..100 {
            if let Ok(answer) = tokio::time::timeout(PATIENCE / 100, self.exchange(b"again")).await {
                return (answer.split_once(' ').unwrap().0.parse().unwrap(), lost);
            }
        }
        panic!("no pod answers");
    }
}

#[tokio::test]
async fn a_client_stays_with_its_pod_and_clients_are_spread() {
    for mode in all_modes() {
        let (_pods, addrs) = udp_pods(3).await;
        let world = ForwardWorld::new(mode.clone()).serving(&service(), &addrs);
        let mut reached = BTreeSet::new();
        // Kept, so that no client gets the port of another.
        let mut clients = Vec::new();
        for n in 1..=24 {
            let client = UdpClient::new(&world).await;
            let pod = client.ask().await;
            assert_eq!([client.ask().await, client.ask().await], [pod, pod], "{mode:?}");
            reached.insert(pod);
            clients.push(client);
            assert_eq!(world.forwarder.stats().associations, n, "{mode:?}");
        }
        assert_eq!(reached, addrs.iter().copied().collect(), "{mode:?}");
    }
}

/// kube-proxy's buffer of 4096 bytes would cut the second datagram.
#[tokio::test]
async fn datagrams_of_any_size_pass_whole() {
    let (_pods, addrs) = udp_pods(1).await;
    let world = ForwardWorld::new(Mode::Userspace).serving(&service(), &addrs);
    let client = UdpClient::new(&world).await;
    for size in [0, 4097, 60_000] {
        let answer = within("an answer", client.exchange(&vec![b'x'; size])).await;
        assert_eq!(answer.split_once(' ').unwrap().1.len(), size);
    }
}

/// [k/k pkg/proxy/conntrack/cleanup.go, `CleanStaleEntries`]: kube-proxy forgets only the flows to endpoints that no
/// longer serve.
#[tokio::test]
async fn a_change_removes_exactly_the_stale_associations() {
    for mode in all_modes() {
        let (_pods, addrs) = udp_pods(2).await;
        let mut world = ForwardWorld::new(mode.clone()).serving(&service(), &addrs);
        let mut clients = Vec::new();
        for _ in 0..16 {
            let client = UdpClient::new(&world).await;
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
        assert_eq!(world.forwarder.stats().associated, 16 + stale as u64, "{mode:?}: the others keep theirs");
    }
}

/// The same source: readiness does not matter.
#[tokio::test]
async fn keeps_an_association_with_a_terminating_pod_that_serves() {
    let (_pods, addrs) = udp_pods(2).await;
    let mut world = ForwardWorld::new(Mode::Nftables).serving(&service(), &addrs);
    let client = UdpClient::new(&world).await;
    let pod = client.ask().await;
    let terminating = Conditions { ready: Some(false), serving: Some(true), terminating: Some(true) };
    let slice = |addr: &SocketAddr| SliceEndpoint {
        conditions: if *addr == pod { terminating } else { Conditions::default() },
        ..endpoint(*addr)
    };
    world.slice(addrs.iter().map(slice).collect(), addrs[0].port());
    assert_eq!(client.ask().await, pod);
    assert_eq!(world.forwarder.stats().purged, 0);
    // The association stays even where new clients are refused.
    let not_ready = Conditions { ready: Some(false), serving: Some(true), terminating: Some(false) };
    world.slice(vec![SliceEndpoint { conditions: not_ready, ..endpoint(pod) }], pod.port());
    assert_eq!(client.ask().await, pod);
}

/// kube-proxy 1.32 to 1.35 kept the associations in both cases (k/k issue 139628).
#[tokio::test]
async fn removes_the_associations_of_a_deleted_service_and_of_one_without_endpoints() {
    for delete in [false, true] {
        let (_pods, addrs) = udp_pods(1).await;
        let mut world = ForwardWorld::new(Mode::Nftables).serving(&service(), &addrs);
        let client = UdpClient::new(&world).await;
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

/// The old socket may still be open when the address is needed again.
#[tokio::test]
async fn reuses_a_released_address_at_once() {
    let (_pods, addrs) = udp_pods(1).await;
    let own = addresses(1)[0];
    let builder = Forwarder::builder().listen_at(move |_, to| Some(SocketAddr::new(own, to.port() + 8000)));
    let mut world = ForwardWorld::with(Mode::Nftables, builder).serving(&service(), &addrs);
    for _ in 0..10 {
        world.pods(&[]);
        world.pods(&addrs);
        assert_eq!(UdpClient::new(&world).await.ask().await, addrs[0]);
    }
    // Another program cannot take the address meanwhile.
    let error = std::net::UdpSocket::bind(world.local(Protocol::Udp)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

/// The datagram that meets the dead pod is lost, as with kube-proxy.
#[tokio::test]
async fn userspace_mode_fails_over_from_a_killed_pod() {
    let (mut pods, addrs) = udp_pods(2).await;
    let world = ForwardWorld::new(Mode::Userspace).serving(&service(), &addrs);
    let client = UdpClient::new(&world).await;
    let dead = client.ask().await;
    pods.remove(addrs.iter().position(|addr| *addr == dead).unwrap());
    until("the free address", || std::net::UdpSocket::bind(dead).is_ok()).await;
    let (pod, lost) = client.insist().await;
    assert_ne!(pod, dead);
    assert!(lost <= 2, "{lost} datagrams");
    // The loop that serves all clients survives.
    UdpClient::new(&world).await.insist().await;
}

/// The kernel does not move a flow.
#[tokio::test]
async fn other_modes_stay_with_a_killed_pod_until_their_rules_change() {
    let (mut pods, addrs) = udp_pods(2).await;
    let mut world = ForwardWorld::new(Mode::Nftables).serving(&service(), &addrs);
    let client = UdpClient::new(&world).await;
    let dead = client.ask().await;
    let at = addrs.iter().position(|addr| *addr == dead).unwrap();
    pods.remove(at);
    until("the free address", || std::net::UdpSocket::bind(dead).is_ok()).await;
    let mut lost = 0;
    while lost < 5 {
        client.0.send(b"ping").await.unwrap();
        // Each send reports the error of the previous one.
        tokio::task::yield_now().await;
        lost = world.forwarder.stats().lost;
    }
    assert_eq!(world.forwarder.stats().associated, 1);
    world.pods(&[addrs[1 - at]]);
    assert_eq!(client.ask().await, addrs[1 - at]);
}

#[tokio::test]
async fn an_idle_association_ends_and_makes_room_for_another() {
    let (_pods, addrs) = udp_pods(1).await;
    let builder = builder().udp_idle_timeout(Duration::from_millis(40)).max_associations(1);
    let world = ForwardWorld::with(Mode::Userspace, builder).serving(&service(), &addrs);
    UdpClient::new(&world).await.ask().await;
    world.until("no association", |stats| stats.associations == 0).await;
    UdpClient::new(&world).await.ask().await;
    assert_eq!(world.forwarder.stats().associated, 2);
}

/// Time advances only when the test says so; tokio would advance it whenever all tasks wait.
#[tokio::test(start_paused = true)]
async fn traffic_in_either_direction_keeps_an_association() {
    let idle = Duration::from_secs(30);
    let awake = tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    let pod = UdpSocket::bind((addresses(1)[0], 0)).await.unwrap();
    let world = ForwardWorld::with(Mode::Nftables, builder().udp_idle_timeout(idle))
        .serving(&service(), &[pod.local_addr().unwrap()]);
    let client = UdpClient::new(&world).await;
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
    client.0.send(b"again").await.unwrap();
    pod.recv_from(&mut buffer).await.unwrap();
    assert_eq!(world.forwarder.stats().associated, 2);
    awake.abort();
}

#[tokio::test]
async fn the_limit_of_associations_spares_existing_ones() {
    let (_pods, addrs) = udp_pods(1).await;
    let world = ForwardWorld::with(Mode::Nftables, builder().max_associations(2)).serving(&service(), &addrs);
    let (one, other, third) =
        (UdpClient::new(&world).await, UdpClient::new(&world).await, UdpClient::new(&world).await);
    one.ask().await;
    other.ask().await;
    third.0.send(b"ping").await.unwrap();
    world.until("a lost datagram", |stats| stats.lost == 1).await;
    assert_eq!(one.ask().await, addrs[0]);
    assert_eq!(world.forwarder.stats().associations, 2);
}

/// As userspace kube-proxy does, which keeps its socket.
#[tokio::test]
async fn userspace_mode_drops_datagrams_without_endpoints() {
    let (_pods, addrs) = udp_pods(1).await;
    let mut world = ForwardWorld::new(Mode::Userspace).serving(&service(), &[]);
    let client = UdpClient::new(&world).await;
    client.0.send(b"ping").await.unwrap();
    world.until("a dropped datagram", |stats| stats.dropped == 1).await;
    world.pods(&addrs);
    assert_eq!(client.ask().await, addrs[0]);
}

#[tokio::test]
async fn replies_still_arrive_during_a_shutdown() {
    let silent = UdpSocket::bind((addresses(1)[0], 0)).await.unwrap();
    let builder = builder().udp_idle_timeout(Duration::from_millis(200));
    let world = ForwardWorld::with(Mode::Userspace, builder).serving(&service(), &[silent.local_addr().unwrap()]);
    let client = UdpClient::new(&world).await;
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
async fn worker_threads_carry_datagrams_too() {
    let (_pods, addrs) = udp_pods(2).await;
    let world = ForwardWorld::with(Mode::Userspace, builder().workers(2)).serving(&service(), &addrs);
    let (one, other) = (UdpClient::new(&world).await, UdpClient::new(&world).await);
    assert_ne!(one.ask().await, other.ask().await);
}
