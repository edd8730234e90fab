//! Data and the end of a connection arrive on the other side.

use std::{
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use discovery_core::policy::SplitMix64;

use discovery_proxy::{Config, IpvsConfig, Mode, Proxier, Scheduler, forward::Forwarder, object::*};
use tests::within;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

use crate::{pods::*, world::*};

#[tokio::test]
async fn every_mode_reaches_all_pods() {
    for mode in all_modes() {
        let (_pods, addrs) = echo_pods(3).await;
        let world = ForwardWorld::new(mode.clone()).serving(&service(), &addrs);
        let mut missing = addrs.clone();
        within("all pods", async {
            while !missing.is_empty() {
                let (mut stream, pod) = visit(world.tcp()).await.unwrap();
                assert!(addrs.contains(&pod), "{mode:?}: {pod}");
                missing.retain(|one| *one != pod);
                stream.write_all(b"ping").await.unwrap();
                let mut pong = [0; 4];
                stream.read_exact(&mut pong).await.unwrap();
                assert_eq!(pong, *b"ping");
            }
        })
        .await;
    }
}

/// A connection between a client and a pod whose side the test plays itself.
async fn pair(world: impl FnOnce(&[SocketAddr]) -> ForwardWorld) -> (ForwardWorld, TcpStream, TcpStream) {
    let (listeners, addrs) = listeners(1).await;
    let world = world(&addrs);
    let client = TcpStream::connect(world.tcp()).await.unwrap();
    let (pod, _) = within("a connection", listeners[0].accept()).await.unwrap();
    (world, client, pod)
}

fn plain(addrs: &[SocketAddr]) -> ForwardWorld {
    ForwardWorld::new(Mode::Userspace).serving(&service(), addrs)
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    within("the end", stream.read_to_string(&mut text)).await.unwrap();
    text
}

#[tokio::test]
async fn a_client_that_closed_its_side_still_gets_the_answer() {
    let (_world, mut client, mut pod) = pair(plain).await;
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut pod).await, "question");
    pod.write_all(b"answer").await.unwrap();
    drop(pod);
    assert_eq!(read_all(&mut client).await, "answer");
}

#[tokio::test]
async fn a_pod_that_closed_its_side_still_receives() {
    let (world, mut client, mut pod) = pair(plain).await;
    pod.write_all(b"banner").await.unwrap();
    pod.shutdown().await.unwrap();
    assert_eq!(read_all(&mut client).await, "banner");
    client.write_all(b"late word").await.unwrap();
    drop(client);
    assert_eq!(read_all(&mut pod).await, "late word");
    world.until("the end of the connection", |stats| stats.connections == 0).await;
}

/// A receiver must not mistake half of the data for all of it.
#[tokio::test]
async fn passes_a_reset_on_as_a_reset() {
    for from_pod in [true, false] {
        let (_world, mut client, mut pod) = pair(plain).await;
        client.write_all(b"x").await.unwrap();
        pod.read_u8().await.unwrap();
        let (breaks, mut other) = if from_pod { (pod, client) } else { (client, pod) };
        breaks.set_zero_linger().unwrap();
        drop(breaks);
        let error = within("a reset", other.read(&mut [0; 1])).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "from_pod {from_pod}");
    }
}

/// Bytes that differ at each position, so that lost, doubled and swapped parts show.
fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

async fn bulk_both_ways(splice: bool) {
    let (_pods, addrs) = echo_pods(1).await;
    let world = ForwardWorld::with(Mode::Nftables, builder().splice(splice)).serving(&service(), &addrs);
    let (mut stream, _) = visit(world.tcp()).await.unwrap();
    let sent = pattern(24 << 20);
    let (mut read, mut write) = stream.split();
    let write = async {
        write.write_all(&sent).await.unwrap();
        write.shutdown().await.unwrap();
    };
    let mut received = Vec::new();
    let (_, n) = within("all data", async { tokio::join!(write, read.read_to_end(&mut received)) }).await;
    n.unwrap();
    assert!(received == sent, "{} of {} bytes, splice {splice}", received.len(), sent.len());
}

#[tokio::test]
async fn bulk_data_arrives_intact_when_spliced() {
    bulk_both_ways(true).await;
}

#[tokio::test]
async fn bulk_data_arrives_intact_when_copied() {
    bulk_both_ways(false).await;
}

/// Connections on different worker threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn worker_threads_carry_as_the_runtime_does() {
    let (_pods, addrs) = echo_pods(2).await;
    let world = ForwardWorld::with(Mode::Userspace, builder().workers(3)).serving(&service(), &addrs);
    let visits = (0..40).map(|_| async {
        let (mut stream, pod) = visit(world.tcp()).await.unwrap();
        let sent = pattern(300_000);
        let (mut read, mut write) = stream.split();
        let mut received = vec![0; sent.len()];
        let (written, read) = tokio::join!(write.write_all(&sent), read.read_exact(&mut received));
        written.and(read.map(|_| ())).unwrap();
        assert!(received == sent);
        pod
    });
    let pods = within("all visits", futures_util::future::join_all(visits)).await;
    assert_eq!(addrs.iter().map(|addr| pods.iter().filter(|pod| *pod == addr).count()).collect::<Vec<_>>(), [20, 20]);
}

/// Far more than all buffers between client and pod hold.
const FLOOD: usize = 96 << 20;

#[tokio::test]
async fn backpressure_of_a_pod_stops_its_client() {
    for splice in [true, false] {
        let copied = |addrs: &[SocketAddr]| {
            ForwardWorld::with(Mode::Userspace, builder().splice(splice)).serving(&service(), addrs)
        };
        let (_world, client, mut pod) = pair(copied).await;
        let (progress, mut seen) = tokio::sync::watch::channel(0);
        let writing = tokio::spawn(async move {
            let (mut client, chunk) = (client, vec![7; 1 << 16]);
            for _ in 0..FLOOD / chunk.len() {
                client.write_all(&chunk).await.unwrap();
                progress.send_modify(|sent| *sent += chunk.len());
            }
        });
        // The loop ends when the client stops, or has written everything.
        while let Ok(Ok(())) = tokio::time::timeout(Duration::from_millis(300), seen.changed()).await {}
        let held = *seen.borrow();
        assert!(held < FLOOD, "the client wrote {held} bytes, and the pod read none");
        let mut received = Vec::new();
        within("the buffered data", pod.read_to_end(&mut received)).await.unwrap();
        assert_eq!(received.len(), FLOOD);
        writing.await.unwrap();
    }
}

/// [k/k pkg/proxy/ipvs, scheduler `lc`]: a connection counts as long as it is open.
#[tokio::test]
async fn ipvs_counts_carried_connections() {
    let (_pods, addrs) = echo_pods(2).await;
    let least = Mode::Ipvs(IpvsConfig::default().with_scheduler(Scheduler::LeastConnection));
    let world = ForwardWorld::new(least).serving(&service(), &addrs);
    let (first, busy) = visit(world.tcp()).await.unwrap();
    for _ in 0..4 {
        let (stream, pod) = visit(world.tcp()).await.unwrap();
        assert_ne!(pod, busy);
        drop(stream);
        world.until("only the first connection", |stats| stats.connections == 1).await;
    }
    drop(first);
}

/// Connects as the client with the address `from`.
pub(crate) async fn visit_from(from: [u8; 4], at: SocketAddr) -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let mut stream = socket.connect(at).await.unwrap();
    greeting(&mut stream).await.unwrap()
}

#[tokio::test]
async fn session_affinity_goes_by_the_clients_address() {
    for mode in all_modes() {
        let (_pods, addrs) = echo_pods(4).await;
        let world = ForwardWorld::new(mode.clone()).serving(&sticky(), &addrs);
        let clients: Vec<[u8; 4]> = (1..=12).map(|last| [127, 0, 0, last]).collect();
        let mut homes = Vec::new();
        for client in &clients {
            homes.push(visit_from(*client, world.tcp()).await);
        }
        for (client, home) in clients.iter().zip(&homes).chain(clients.iter().zip(&homes).rev()) {
            assert_eq!(visit_from(*client, world.tcp()).await, *home, "{mode:?}");
        }
        homes.sort();
        homes.dedup();
        assert!(homes.len() > 1, "{mode:?}: all clients at one pod");
    }
}

/// The source address is the forwarder's, not the client's.
#[tokio::test]
async fn pods_see_the_address_of_the_forwarder() {
    let listener = TcpListener::bind((addresses(1)[0], 0)).await.unwrap();
    let world = plain(&[listener.local_addr().unwrap()]);
    let client = TcpStream::connect(world.tcp()).await.unwrap();
    let (_, source) = within("a connection", listener.accept()).await.unwrap();
    assert_ne!(source, client.local_addr().unwrap());
}

/// IPv6 has a proxy of its own.
#[tokio::test]
async fn carries_ipv6_as_ipv4() {
    let pod = TcpListener::bind("[::1]:0").await.unwrap();
    let addr = pod.local_addr().unwrap();
    let mut proxy = Proxier::new(Config::new(IpFamily::V6, Mode::Nftables));
    let vip: SocketAddr = "[fd00:10:96::a]:80".parse().unwrap();
    proxy.apply_service(&Service { cluster_ip: vip.ip().to_string(), cluster_ips: Vec::new(), ..service() });
    proxy.apply_endpoint_slice(&EndpointSlice {
        namespace: "shop".into(),
        name: "orders-6".into(),
        labels: [(SERVICE_NAME_LABEL.into(), "orders".into())].into(),
        address_type: AddressType::V6,
        ports: vec![SlicePort { name: Some("TCP".into()), port: Some(addr.port().into()), ..SlicePort::default() }],
        endpoints: vec![endpoint(addr)],
    });
    let at = |_, _| Some(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)));
    let forwarder = Forwarder::builder().listen_at(at).start(proxy.snapshot().clone()).unwrap();
    let changes = proxy.sync(std::time::Instant::now(), &mut SplitMix64::with_seed(1));
    assert!(forwarder.publish(&changes).is_empty());
    let mut client = TcpStream::connect(forwarder.local_addr(Protocol::Tcp, vip).unwrap()).await.unwrap();
    let (mut served, _) = within("a connection", pod.accept()).await.unwrap();
    client.write_all(b"six").await.unwrap();
    drop(client);
    assert_eq!(read_all(&mut served).await, "six");
}
