//! Whatever a nameserver answers, the DNS source does not panic, sends a bounded number of queries, and yields only
//! endpoints that a request can be sent to. The `dns_answers` fuzz target drives the same path with packets.

use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use hickory_net::proto::op::Message;
use proptest::prelude::*;

use super::*;
use crate::{
    name::{ClusterDomain, Namespace, Target},
    plan::{Families, Plan, Scope},
    source::{
        Lookup, State,
        dns::{DnsSource, lookup::DnsLookup, message::tests::response},
    },
};

const NAMESERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 53);

/// Gives the scripted responses one after another, and then from the start again.
#[derive(Debug)]
struct Scripted {
    responses: Mutex<std::iter::Cycle<std::vec::IntoIter<Response>>>,
    queries: AtomicUsize,
}

impl Transport for Scripted {
    fn exchange<'a>(&'a self, _: &'a Permit, _: &'a Query, _: Via) -> BoxFuture<'a, Result<Reply, Error>> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        let next = self.responses.lock().unwrap().next();
        let reply = next.map(|response| Reply { response, large: false });
        Box::pin(async move { reply.ok_or_else(|| Error::transient("nothing scripted")) })
    }
}

fn lookup(transport: Arc<Scripted>, target: &str) -> DnsLookup {
    let scope = Scope::new(Namespace::new("shop").ok(), ClusterDomain::new("cluster.local").ok());
    let plan = Plan::new(&Target::new(target).unwrap(), &scope);
    let (limits, gate) = (Limits::new(None, None, 1), Gate::new(NAMESERVER, 64, Duration::from_secs(1)));
    let nameservers =
        Arc::new(Nameservers::with_transport(transport, [gate].into_iter(), limits, false, Zone::of("cluster.local")));
    let source = DnsSource {
        nameservers,
        families: Families::Both,
        max_stale: Duration::from_secs(300),
        hosts: Arc::default(),
        is_here: false,
    };
    DnsLookup::new(source, &plan)
}

proptest! {
    /// `docs/failure-modes.md`, F17.
    #[test]
    fn any_answers_lead_to_usable_endpoints_within_a_bounded_number_of_queries(
        responses in prop::collection::vec(response(), 1..6),
        target in prop_oneof![Just("orders:80"), Just("orders.shop:http"), Just("web-0.orders:http")],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let responses = Mutex::new(responses.into_iter().cycle());
        let transport = Arc::new(Scripted { responses, queries: AtomicUsize::new(0) });
        let mut lookup = lookup(transport.clone(), target);
        for _ in 0..3 {
            let update = runtime.block_on(lookup.ask(&mut |_| ()));
            if let State::Ready(endpoints) = update.state {
                prop_assert!(!endpoints.is_empty());
                for endpoint in endpoints {
                    prop_assert!(endpoint.addrs().all(|addr| addr.port() != 0 && !crate::endpoint::SpecialAddress::of(addr.ip()).is_some_and(|special| special.is_unusable())));
                }
            }
            // Three ways to read the name, two types each, nine queries for a chain of eight CNAMEs; and eight SRV
            // targets for each way.
            prop_assert!(transport.queries.swap(0, Ordering::Relaxed) <= 3 * 2 * 9 + 3 * 8 * 2 * 9);
        }
    }

    #[test]
    fn no_packet_causes_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = Message::from_vec(&bytes) {
            let _ = Response::from_wire(&message);
        }
    }
}

/// A response with so many A records.
fn addresses(name: &str, count: u32) -> Message {
    use hickory_net::proto::{
        op::Query as WireQuery,
        rr::{Name, RData, Record as WireRecord, RecordType, rdata::A},
    };
    let name = Name::from_ascii(name).unwrap();
    let mut message = Message::query();
    message.queries.push(WireQuery::query(name.clone(), RecordType::A));
    for n in 0..count {
        let ip = std::net::Ipv4Addr::from(0x0a00_0001 + n);
        message.answers.push(WireRecord::from_rdata(name.clone(), 5, RData::A(A(ip))));
    }
    message
}

/// `docs/failure-modes.md`, F7, allows 1 ms. The test prints the time that it took: run
/// `cargo test --release -p discovery-core a_thousand_addresses -- --nocapture`.
#[test]
fn a_thousand_addresses_are_read_from_one_packet() {
    let packet = addresses("orders.shop.svc.cluster.local.", 1000).to_vec().unwrap();

    let began = clock::now();
    let message = Message::from_vec(&packet).unwrap();
    let query = Query::new("orders.shop.svc.cluster.local", Rtype::A);
    let resolution = Response::from_wire(&message).read(&query).unwrap();
    let took = clock::now() - began;

    println!("1000 addresses, {} bytes: {took:?}", packet.len());
    let Resolution::Answer(Answer::Found { value, .. }) = resolution else { panic!("{resolution:?}") };
    assert_eq!(value.ips().count(), 1000);
}

/// The first nameserver may be dead, and all of its places taken by queries that wait for it. A host's name: for one of
/// the cluster, the second nameserver would have to prove the zone.
#[tokio::test(start_paused = true)]
async fn a_query_that_waits_for_a_place_goes_on_to_the_next_nameserver() {
    let second = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2)), 53);
    let response = Response::from_wire(&addresses("db.example.com.", 1));
    let responses = Mutex::new(vec![response].into_iter().cycle());
    let transport = Arc::new(Scripted { responses, queries: AtomicUsize::new(0) });
    let gates = [(NAMESERVER, 1), (second, 64)].map(|(server, places)| Gate::new(server, places, WHOLE));
    let nameservers = Nameservers::with_transport(
        transport,
        gates.into_iter(),
        Limits::new(None, None, 2),
        false,
        Zone::of("cluster.local"),
    );
    let held = nameservers.servers[0].gate().enter(&"another query", &mut Duration::default()).await.unwrap();

    let began = clock::now();
    let outcome = nameservers.query("db.example.com", Rtype::A, false).await;
    assert!(matches!(outcome.result, Ok(Answer::Found { .. })), "{outcome:?}");
    assert_eq!(clock::now() - began, NEXT_AFTER);
    drop(held);
}
