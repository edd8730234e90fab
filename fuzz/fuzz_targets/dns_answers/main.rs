//! Whatever bytes a nameserver sends, a lookup does not panic, ends within its time limit, and yields only endpoints
//! that a request can be sent to.
//!
//! The target runs end to end, because the parser of answers is private. A nameserver on loopback answers each question
//! with the fuzzer's next packet, with the matching id. Time is paused and advances when all tasks are idle, so an
//! unanswered question costs no real time.
#![no_main]

mod packet;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::OnceLock,
    time::Duration,
};

use discovery_core::{Environment, Resolver, Upstream, context::Families};
use libfuzzer_sys::fuzz_target;
use packet::Packet;
use tokio::{
    net::UdpSocket,
    runtime::{Builder, Runtime},
    time::{Instant, timeout},
};

#[derive(arbitrary::Arbitrary, Debug)]
struct Case {
    target: TargetName,
    packets: Vec<Packet>,
}

#[derive(arbitrary::Arbitrary, Clone, Copy, Debug)]
enum TargetName {
    Service,
    NamedPort,
    Pod,
    External,
}

/// The longest that a lookup may take. Candidate names, record types, servers and attempts multiply, each with a
/// timeout of 20 ms: see `nameservers/tests.rs` in discovery-core.
const LOOKUP_LIMIT: Duration = Duration::from_secs(60);

fuzz_target!(|case: Case| {
    runtime().block_on(async {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a UDP socket on loopback");
        let resolver = resolver(socket.local_addr().expect("the socket's address"));
        let server = tokio::spawn(answer(socket, case.packets));
        let upstream = resolver.upstream(case.target.text()).expect("a valid name");
        for _ in 0..3 {
            let start = Instant::now();
            let result = timeout(LOOKUP_LIMIT, upstream.first_answer()).await.expect("the lookup ends in time");
            assert!(start.elapsed() < LOOKUP_LIMIT);
            check(&upstream, result.is_ok());
            upstream.refresh();
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
        server.abort();
    });
});

fn check(upstream: &Upstream, ready: bool) {
    let endpoints = upstream.endpoints();
    assert_eq!(ready, !endpoints.is_empty());
    for endpoint in endpoints.iter() {
        assert!(endpoint.addrs().all(|addr| addr.port() != 0 && !addr.ip().is_unspecified()), "{endpoint:?}");
    }
    assert!(!upstream.explain().to_string().is_empty());
}

/// One runtime for the whole process: starting one costs more than a lookup.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime"))
}

fn resolver(server: SocketAddr) -> Resolver {
    let environment = Environment::empty().with_env([
        ("POD_NAMESPACE", "shop".to_owned()),
        ("DISCOVERY_CLUSTER_DOMAIN", "cluster.local".to_owned()),
        ("DISCOVERY_NAMESERVERS", server.to_string()),
        ("DISCOVERY_DNS_TIMEOUT", "20ms".to_owned()),
        ("DISCOVERY_DNS_ATTEMPTS", "1".to_owned()),
    ]);
    Resolver::builder().environment(environment).families(Families::Both).build().expect("a resolver")
}

/// Answers each question with the next packet, and starts over after the last one.
async fn answer(socket: UdpSocket, packets: Vec<Packet>) {
    let mut buffer = [0; 2_048];
    let mut next = packets.iter().cycle();
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        if let Some(packet) = next.next() {
            let _ = socket.send_to(&packet.reply(&buffer[..length]), from).await;
        }
    }
}

impl TargetName {
    fn text(self) -> &'static str {
        match self {
            Self::Service => "orders:80",
            Self::NamedPort => "orders.shop:http",
            Self::Pod => "web-0.orders:http",
            Self::External => "db.example.com:5432",
        }
    }
}
