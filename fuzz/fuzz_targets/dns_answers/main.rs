//! Whatever a nameserver answers, in bytes: no panic, an end within the time that questions have, and nothing but
//! endpoints that a request can be sent to.
//!
//! End to end, because reading answers is private: a nameserver on loopback answers each question with the next of
//! the fuzzer's packets, under the right id. Time is paused and moves when nothing else can: a question that is not
//! answered costs no real time.
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
    target: Asked,
    packets: Vec<Packet>,
}

#[derive(arbitrary::Arbitrary, Clone, Copy, Debug)]
enum Asked {
    Service,
    NamedPort,
    Pod,
    External,
}

/// Names, types, servers and attempts multiply, each with its 20 ms: see `f17` in discovery-core.
const PATIENCE: Duration = Duration::from_secs(60);

fuzz_target!(|case: Case| {
    runtime().block_on(async {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a socket");
        let resolver = resolver(socket.local_addr().expect("an address"));
        let server = tokio::spawn(answer(socket, case.packets));
        let upstream = resolver.upstream(case.target.text()).expect("a valid name");
        for _ in 0..3 {
            let begun = Instant::now();
            let result = timeout(PATIENCE, upstream.first_answer()).await.expect("the lookup comes to an end");
            assert!(begun.elapsed() < PATIENCE);
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

/// One for the whole process: a runtime costs more than a lookup.
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

/// One packet after the other, and over again.
async fn answer(socket: UdpSocket, packets: Vec<Packet>) {
    let mut buffer = [0; 2_048];
    let mut next = packets.iter().cycle();
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        if let Some(packet) = next.next() {
            let _ = socket.send_to(&packet.reply(&buffer[..length]), from).await;
        }
    }
}

impl Asked {
    fn text(self) -> &'static str {
        match self {
            Self::Service => "orders:80",
            Self::NamedPort => "orders.shop:http",
            Self::Pod => "web-0.orders:http",
            Self::External => "db.example.com:5432",
        }
    }
}
