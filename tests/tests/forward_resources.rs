//! Descriptors and threads of the forwarder. A program of its own, because both belong to the process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "forward/pods.rs"]
#[allow(dead_code, reason = "shared with the target `forward`")]
mod pods;
#[path = "forward/world.rs"]
#[allow(dead_code, reason = "shared with the target `forward`")]
mod world;

use std::{fs, fs::File, net::SocketAddr, time::Duration};

use discovery_proxy::{Mode, object::Protocol};
use rlimit::Resource;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, UdpSocket},
};

use tests::within;

use crate::{pods::*, world::*};

/// The open descriptors, and the threads of forwarders, by their name.
fn held() -> (usize, usize) {
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = threads.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
    (fs::read_dir("/proc/self/fd").unwrap().count(), names.filter(|name| name.starts_with("forward-")).count())
}

async fn everything_once(world: &ForwardWorld) {
    let mut streams = Vec::new();
    for at in 0..20 {
        let (mut stream, _) = visit(world.tcp()).await.unwrap();
        let sent = vec![7; 1 << (at % 22)];
        let (mut read, mut write) = stream.split();
        let mut received = vec![0; sent.len()];
        let (written, read) = tokio::join!(write.write_all(&sent), read.read_exact(&mut received));
        written.and(read.map(|_| ())).unwrap();
        streams.push(stream);
        if at % 3 == 0 {
            streams.pop().unwrap().set_zero_linger().unwrap();
        }
    }
    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.connect(world.local(Protocol::Udp)).await.unwrap();
    client.send(b"ping").await.unwrap();
    world.until("an association", |stats| stats.associated > 0).await;
}

/// One after the other, because both count the descriptors of the process.
#[tokio::test]
async fn returns_descriptors_and_threads_and_survives_without_descriptors() {
    let (_pods, addrs) = echo_pods(2).await;
    a_forwarder_leaves_nothing_behind(&addrs).await;
    accepting_pauses_without_descriptors(&addrs).await;
    a_thousand_ports_leave_descriptors_to_the_process().await;
}

async fn a_forwarder_leaves_nothing_behind(addrs: &[SocketAddr]) {
    let before = held();
    for round in 0..4 {
        let world = ForwardWorld::with(Mode::Userspace, builder().workers(2)).serving(&service(), addrs);
        // A thread sets its name itself, a moment after it starts.
        until("two threads", || held().1 == 2).await;
        everything_once(&world).await;
        // Shut down in one round, dropped in the next.
        if round % 2 == 0 {
            world.forwarder.shutdown(Duration::ZERO).await;
        } else {
            drop(world);
        }
        until("everything closed", || held() == before).await;
    }
}

async fn accepting_pauses_without_descriptors(addrs: &[SocketAddr]) {
    let world = ForwardWorld::with(Mode::Nftables, builder()).serving(&service(), addrs);
    let (soft, hard) = Resource::NOFILE.get().unwrap();
    Resource::NOFILE.set(soft.min(256), hard).unwrap();
    // The client has its descriptor already; the forwarder and the pod get none.
    let client = TcpSocket::new_v4().unwrap();
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(taken.len() > 100);
    let mut stream = client.connect(world.tcp()).await.unwrap();
    world.until("a failed accept", |stats| stats.accept_errors > 0).await;
    assert_eq!(world.forwarder.stats().accepted, 0);
    drop(taken);
    let pod = within("the connection", greeting(&mut stream)).await.unwrap();
    assert!(addrs.contains(&pod));
    Resource::NOFILE.set(soft, hard).unwrap();
}

/// The default limit of associations is far above the descriptors of a common process.
async fn a_thousand_ports_leave_descriptors_to_the_process() {
    let (_pods, addrs) = udp_pods(1).await;
    let (soft, hard) = Resource::NOFILE.get().unwrap();
    Resource::NOFILE.set(soft.min(256), hard).unwrap();
    let world = ForwardWorld::with(Mode::Nftables, builder()).serving(&service(), &addrs);
    let at = world.local(Protocol::Udp);
    for _ in 0..1000 {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(b"ping", at).await.unwrap();
        tokio::task::yield_now().await;
    }
    world.until("lost datagrams", |stats| stats.lost > 0).await;
    let opened: Vec<File> = (0..16).map(|_| File::open("/dev/null").unwrap()).collect();
    println!("{} associations, {} descriptors are open", world.forwarder.stats().associations, held().0);
    drop(opened);
    let other = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    other.connect(at).await.unwrap();
    other.send(b"ping").await.unwrap();
    let mut answer = [0; 256];
    within("an answer to another client", other.recv(&mut answer)).await.unwrap();
    Resource::NOFILE.set(soft, hard).unwrap();
}
