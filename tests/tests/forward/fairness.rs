//! What one client, with all the ports that it likes, can take from the others.

use std::{io, net::SocketAddr, time::Duration};

use discovery_proxy::{Mode, object::Protocol};
use tests::{PATIENCE, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream, UdpSocket},
    task::JoinSet,
};

use crate::{pods::*, world::*};

const ATTACKER: [u8; 4] = [127, 0, 0, 1];
const OTHER: [u8; 4] = [127, 0, 0, 2];

/// Sends one datagram from each of so many ports. The sockets are closed at once: the associations are what stays.
async fn flood(from: [u8; 4], ports: usize, datagram: &[u8], to: SocketAddr) {
    for _ in 0..ports {
        let socket = UdpSocket::bind(SocketAddr::from((from, 0))).await.unwrap();
        socket.send_to(datagram, to).await.unwrap();
        tokio::task::yield_now().await;
    }
}

async fn client(from: [u8; 4], to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(SocketAddr::from((from, 0))).await.unwrap();
    socket.connect(to).await.unwrap();
    socket
}

/// Sends until there is an answer: a datagram may be lost.
async fn ask(client: &UdpSocket) -> String {
    let mut buffer = [0; 256];
    for _ in 0..20 {
        client.send(b"ping").await.unwrap();
        if let Ok(n) = tokio::time::timeout(PATIENCE / 40, client.recv(&mut buffer)).await {
            return String::from_utf8(buffer[..n.unwrap()].to_vec()).unwrap();
        }
    }
    panic!("no answer");
}

/// A pod that answers `ping` only, and says from where it was asked.
async fn answer_pings(socket: UdpSocket) -> io::Result<()> {
    let mut buffer = [0; 256];
    loop {
        let Ok((n, from)) = socket.recv_from(&mut buffer).await else { continue };
        if &buffer[..n] == b"ping" {
            let _ = socket.send_to(from.to_string().as_bytes(), from).await;
        }
    }
}

/// All of the attacker's associations have replies, so none of them gives way.
#[tokio::test]
async fn a_thousand_ports_of_one_client_leave_half_of_the_associations_to_others() {
    let (_pods, addrs) = udp_pods(1).await;
    let world = ForwardWorld::with(Mode::Nftables, builder().max_associations(64)).serving(&service(), &addrs);
    let at = world.local(Protocol::Udp);
    let mut answered = Vec::new();
    for _ in 0..32 {
        let client = client(ATTACKER, at).await;
        ask(&client).await;
        answered.push(client);
    }
    flood(ATTACKER, 968, b"ping", at).await;
    world.until("lost datagrams", |stats| stats.lost > 0).await;
    assert!(world.forwarder.stats().associations <= 32, "{:?}", world.forwarder.stats());
    ask(&client(OTHER, at).await).await;
}

/// A scan, or a flood with spoofed addresses, fills the table with associations that never get a reply.
#[tokio::test]
async fn associations_without_a_reply_give_way_and_one_with_a_reply_stays() {
    let pod = UdpSocket::bind((addresses(1)[0], 0)).await.unwrap();
    let addr = pod.local_addr().unwrap();
    let mut pods = JoinSet::new();
    pods.spawn(answer_pings(pod));
    let world = ForwardWorld::with(Mode::Nftables, builder().max_associations(64)).serving(&service(), &[addr]);
    let at = world.local(Protocol::Udp);
    let established = client(OTHER, at).await;
    let path = ask(&established).await;
    for last in 10..40 {
        flood([127, 0, 1, last], 10, b"flood", at).await;
    }
    world.until("evictions", |stats| stats.evicted > 0).await;
    assert_eq!(ask(&established).await, path, "the association with a reply stays");
    ask(&client([127, 0, 0, 3], at).await).await;
    assert!(world.forwarder.stats().associations <= 64, "{:?}", world.forwarder.stats());
}

async fn connect(from: [u8; 4], to: SocketAddr) -> io::Result<(TcpStream, SocketAddr)> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((from, 0)))?;
    let mut stream = socket.connect(to).await?;
    let pod = greeting(&mut stream).await?;
    Ok((stream, pod))
}

#[tokio::test]
async fn the_connections_of_one_client_leave_half_of_the_limit_to_others() {
    let (_pods, addrs) = echo_pods(1).await;
    for workers in [0, 2] {
        let builder = builder().max_connections(32).workers(workers);
        let world = ForwardWorld::with(Mode::Nftables, builder).serving(&service(), &addrs);
        let mut held = Vec::new();
        for _ in 0..16 {
            held.push(within("a connection", connect(ATTACKER, world.tcp())).await.unwrap());
        }
        for _ in 0..20 {
            within("a reset", connect(ATTACKER, world.tcp())).await.unwrap_err();
        }
        let (_other, pod) = within("another client", connect(OTHER, world.tcp())).await.unwrap();
        assert_eq!(pod, addrs[0]);
        assert_eq!(world.forwarder.stats().limited, 20);
        drop(held);
        world.until("the ended connections", |stats| stats.connections == 1).await;
        within("a connection", connect(ATTACKER, world.tcp())).await.unwrap();
    }
}

/// Time advances only when the test says so.
#[tokio::test(start_paused = true)]
async fn a_connection_that_carries_nothing_is_reset_after_the_limit() {
    let idle = Duration::from_secs(600);
    let awake = tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    let (_pods, addrs) = echo_pods(1).await;
    let builder = builder().tcp_idle_timeout(idle);
    let world = ForwardWorld::with(Mode::Nftables, builder).serving(&service(), &addrs);
    let (mut used, _) = visit(world.tcp()).await.unwrap();
    let (mut unused, _) = visit(world.tcp()).await.unwrap();
    let mut byte = [0];
    for _ in 0..2 {
        tokio::time::advance(idle - Duration::from_secs(10)).await;
        used.write_all(b"x").await.unwrap();
        used.read_exact(&mut byte).await.unwrap();
    }
    unused.read_exact(&mut byte).await.unwrap_err();
    assert_eq!((world.forwarder.stats().idle, world.forwarder.stats().connections), (1, 1));
    tokio::time::advance(idle + Duration::from_secs(10)).await;
    used.read_exact(&mut byte).await.unwrap_err();
    assert_eq!(world.forwarder.stats().idle, 2);
    awake.abort();
}
