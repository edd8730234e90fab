//! Whatever a nameserver answers: no panic, a bounded number of questions, and nothing but endpoints that a
//! request can be sent to. The `dns_answers` fuzz target drives the same path with packets.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use proptest::prelude::*;

use super::{
    DnsLookup, Servers,
    ask::Asker,
    exchange::{Exchange, Exchanged, Via},
    record::{Data, Query, Rcode, Record, Response, Srv},
    wire,
};
use crate::{
    Error,
    name::{ClusterDomain, Namespace, Target},
    plan::Families,
    plan::{Plan, Scope},
    source::{BoxFuture, Lookup, State},
};

const NAMESERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 53);

/// Gives the scripted answers one after the other, and over again.
#[derive(Debug)]
struct Scripted {
    answers: Mutex<std::iter::Cycle<std::vec::IntoIter<Response>>>,
    asked: AtomicUsize,
}

impl Exchange for Scripted {
    fn exchange<'a>(&'a self, from: SocketAddr, _: &'a Query, _: Via) -> BoxFuture<'a, Result<Exchanged, Error>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let next = self.answers.lock().unwrap().next();
        let answer = next.map(|response| Exchanged { response, large: false, from });
        Box::pin(async move { answer.ok_or_else(|| Error::transient("nothing scripted")) })
    }
}

fn name() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![
        Just("orders.shop.svc.cluster.local"),
        Just("_http._tcp.orders.shop.svc.cluster.local"),
        Just("web-0.orders.shop.svc.cluster.local"),
        Just("web-1.orders.shop.svc.cluster.local"),
        Just("db.example.com"),
        Just(""),
        Just("a..b"),
    ]
    .prop_map(Arc::from)
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| Data::A(ip.into())),
        Just(Data::A(std::net::Ipv4Addr::UNSPECIFIED)),
        any::<[u8; 16]>().prop_map(|ip| Data::Aaaa(ip.into())),
        name().prop_map(Data::Cname),
        (any::<u16>(), any::<u16>(), prop_oneof![Just(0), any::<u16>()], name())
            .prop_map(|(priority, weight, port, target)| Data::Srv(Srv { priority, weight, port, target })),
        any::<u32>().prop_map(Data::Soa),
        Just(Data::Other),
    ]
}

fn section() -> impl Strategy<Value = Vec<Record>> {
    let record = (name(), any::<u32>(), data()).prop_map(|(name, ttl, data)| Record { name, ttl, data });
    prop::collection::vec(record, 0..8)
}

fn response() -> impl Strategy<Value = Response> {
    let rcode = prop_oneof![
        6 => Just(Rcode::NoError),
        1 => Just(Rcode::NxDomain),
        1 => Just(Rcode::Failure("SERVFAIL".to_owned())),
    ];
    (rcode, section(), section(), section()).prop_map(|(rcode, answers, authorities, additionals)| Response {
        rcode,
        answers,
        authorities,
        additionals,
        cut: false,
    })
}

fn lookup(exchange: Arc<Scripted>, target: &str) -> DnsLookup {
    let scope = Scope::new(Namespace::new("shop").ok(), ClusterDomain::new("cluster.local").ok());
    let plan = Plan::new(&Target::new(target).unwrap(), &scope);
    let asker = Arc::new(Asker::new(Servers::new(exchange, &[NAMESERVER], 2), false));
    DnsLookup::new(asker, &plan, Families::Both, std::time::Duration::from_secs(300))
}

proptest! {
    #[test]
    fn f17_no_answer_panics_asks_for_ever_or_yields_a_useless_endpoint(
        answers in prop::collection::vec(response(), 1..6),
        target in prop_oneof![Just("orders:80"), Just("orders.shop:http"), Just("web-0.orders:http")],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let exchange = Arc::new(Scripted { answers: Mutex::new(answers.into_iter().cycle()), asked: AtomicUsize::new(0) });
        let mut lookup = lookup(exchange.clone(), target);
        for _ in 0..3 {
            let update = runtime.block_on(lookup.ask(&mut |_| ()));
            if let State::Ready(endpoints) = update.state {
                prop_assert!(!endpoints.is_empty());
                for endpoint in endpoints {
                    prop_assert!(endpoint.addrs().all(|addr| addr.port() != 0 && !addr.ip().is_unspecified()));
                }
            }
            // Three readings, two types each, nine questions for a chain of eight CNAMEs; eight targets.
            prop_assert!(exchange.asked.swap(0, Ordering::Relaxed) <= 3 * 2 * 9 + 3 * 8 * 2 * 9);
        }
    }

    #[test]
    fn no_packet_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = hickory_net::proto::op::Message::from_vec(&bytes) {
            let _ = wire::response(&message);
        }
    }
}

/// F7 asks for less than 1 ms; the figure is printed (`cargo test --release -p discovery-core f7 -- --nocapture`).
#[test]
fn f7_a_thousand_addresses_are_read_from_one_packet() {
    use hickory_net::proto::{
        op::{Message, Query as WireQuery},
        rr::{Name, RData, Record as WireRecord, RecordType, rdata::A},
    };
    let name = Name::from_ascii("orders.shop.svc.cluster.local.").unwrap();
    let mut message = Message::query();
    message.queries.push(WireQuery::query(name.clone(), RecordType::A));
    for n in 0..1000_u32 {
        let ip = std::net::Ipv4Addr::from(0x0a00_0001 + n);
        message.answers.push(WireRecord::from_rdata(name.clone(), 5, RData::A(A(ip))));
    }
    let packet = message.to_vec().unwrap();

    let begun = crate::clock::now();
    let message = Message::from_vec(&packet).unwrap();
    let query = Query::new("orders.shop.svc.cluster.local", super::record::Rtype::A);
    let answer = super::answer::read(&query, &wire::response(&message), 0).unwrap();
    let took = crate::clock::now() - begun;

    println!("1000 addresses, {} octets: {took:?}", packet.len());
    let super::answer::Answer::Found { records, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(records.len(), 1000);
}
