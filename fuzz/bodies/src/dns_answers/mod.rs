//! Whatever bytes a nameserver sends, a lookup does not panic, ends within its time limit, and yields only endpoints
//! that a request can be sent to.
//!
//! The body runs end to end, because the parser of answers is private. A nameserver on loopback answers each question
//! with the next packet of the input, with the matching id. Time is paused and advances when all tasks are idle, so an
//! unanswered question costs no real time.

mod packet;
mod recorded;

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::OnceLock,
    time::Duration,
};

use arbitrary::{Arbitrary, Unstructured};
use discovery_core::{Environment, Resolver, Upstream, context::Families};
use packet::Packet;
use tokio::{
    net::UdpSocket,
    runtime::{Builder, Runtime},
    time::{Instant, timeout},
};

use crate::{Addresses, text::loggable_lines};

pub(crate) use recorded::corpus;

/// An input: a target, and what the nameserver answers.
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

pub(crate) fn check(bytes: &[u8]) {
    let Some(case) = Case::read(bytes) else { return };
    runtime().block_on(async {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a UDP socket on loopback");
        let resolver = resolver(socket.local_addr().expect("the socket's address"));
        let server = tokio::spawn(answer(socket, case.packets));
        let upstream = resolver.upstream(case.target.text()).expect("a valid name");
        for _ in 0..3 {
            let start = Instant::now();
            let result = timeout(LOOKUP_LIMIT, upstream.first_answer()).await.expect("the lookup ends in time");
            assert!(start.elapsed() < LOOKUP_LIMIT);
            check_answer(&upstream, result.is_ok());
            upstream.refresh();
            tokio::time::sleep(Duration::from_millis(1_100)).await;
        }
        server.abort();
    });
}

impl Case {
    /// Recorded packets begin with [`recorded::MARK`]; any other bytes are nearly valid records.
    fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.strip_prefix(recorded::MARK) {
            Some(rest) => {
                let (target, packets) = rest.split_first()?;
                let targets = [TargetName::Service, TargetName::NamedPort, TargetName::Pod, TargetName::External];
                Some(Self { target: targets[usize::from(target % 4)], packets: recorded::packets(packets) })
            }
            None => Self::arbitrary_take_rest(Unstructured::new(bytes)).ok(),
        }
    }
}

fn check_answer(upstream: &Upstream, ready: bool) {
    assert_eq!(ready, !upstream.endpoints().is_empty());
    Addresses::WithPort.check_all(upstream);
    loggable_lines(&upstream.explain().to_string());
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
