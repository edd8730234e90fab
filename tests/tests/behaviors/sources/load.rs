//! Many queries to one nameserver: how many are in flight, and which of the others is next.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use discovery_core::{Environment, Resolver, Upstream, context::Families};
use hickory_proto::{
    op::{Message, MessageType},
    rr::{RData, Record, rdata::A},
};
use tests::{brisk, within};
use tokio::net::UdpSocket;

/// A nameserver that answers a query when the test says so. Its answers have a TTL of 0.
struct HeldServer {
    socket: Arc<UdpSocket>,
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    /// The names in the order of their queries, without retransmissions and later rounds.
    asked: Vec<String>,
    queries: Vec<(Message, SocketAddr)>,
    answers_at_once: bool,
}

impl HeldServer {
    async fn start() -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let held = Arc::new(Mutex::new(Held { answers_at_once: true, ..Held::default() }));
        tokio::spawn(receive(socket.clone(), held.clone()));
        Self { socket, held }
    }

    /// The resolver of a pod in `shop`, with so many queries in flight and no timeout that a test reaches.
    fn resolver(&self, in_flight: &str) -> Resolver {
        let vars = [
            ("POD_NAMESPACE", "shop"),
            ("DISCOVERY_CLUSTER_DOMAIN", "cluster.local"),
            ("DISCOVERY_DNS_TIMEOUT", "30s"),
            ("DISCOVERY_DNS_ATTEMPTS", "1"),
            ("DISCOVERY_DNS_IN_FLIGHT", in_flight),
        ];
        let builder = Resolver::builder().environment(Environment::empty().with_env(vars));
        let nameserver = self.socket.local_addr().unwrap();
        builder.nameservers([nameserver]).families(Families::V4).refresh(brisk()).build().unwrap()
    }

    /// Holds all queries from now on, and forgets which were asked before.
    fn hold(&self) {
        *self.held.lock().unwrap() = Held::default();
    }

    /// Answers the queries that are held, and keeps holding.
    async fn release(&self) {
        let queries = std::mem::take(&mut self.held.lock().unwrap().queries);
        for (query, client) in queries {
            answer(&self.socket, query, client).await;
        }
    }

    fn answer_at_once(&self) {
        self.held.lock().unwrap().answers_at_once = true;
    }

    /// Waits until so many names have been asked for since the last [`hold`](Self::hold), and returns them.
    async fn asked(&self, count: usize) -> Vec<String> {
        let reached = async {
            loop {
                let asked = self.names();
                if asked.len() >= count {
                    return asked;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        within("queries", reached).await
    }

    fn names(&self) -> Vec<String> {
        self.held.lock().unwrap().asked.clone()
    }
}

async fn receive(socket: Arc<UdpSocket>, held: Arc<Mutex<Held>>) {
    let mut buffer = [0; 1500];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        let query = Message::from_vec(&buffer[..length]).unwrap();
        let name = query.queries[0].name().to_string().split('.').next().unwrap().to_owned();
        let answers_at_once = {
            let mut held = held.lock().unwrap();
            if !held.asked.contains(&name) {
                held.asked.push(name);
            }
            if !held.answers_at_once {
                held.queries.push((query.clone(), client));
            }
            held.answers_at_once
        };
        if answers_at_once {
            answer(&socket, query, client).await;
        }
    }
}

async fn answer(socket: &UdpSocket, mut message: Message, client: SocketAddr) {
    let record = Record::from_rdata(message.queries[0].name().clone(), 0, RData::A(A(Ipv4Addr::new(10, 0, 0, 1))));
    message.metadata.message_type = MessageType::Response;
    message.metadata.authoritative = true;
    message.answers.push(record);
    // The client may be gone.
    let _ = socket.send_to(&message.to_vec().unwrap(), client).await;
}

fn upstream(resolver: &Resolver, service: &str) -> Upstream {
    resolver.upstream(format!("{service}.shop.svc.cluster.local:80").as_str()).unwrap()
}

/// F18.
#[tokio::test]
async fn only_so_many_queries_to_one_nameserver_are_in_flight() {
    let server = HeldServer::start().await;
    server.hold();
    let resolver = server.resolver("3");
    let targets: Vec<Upstream> = (0..50).map(|n| upstream(&resolver, &format!("s{n}"))).collect();
    assert_eq!(server.asked(3).await.len(), 3);
    // Every packet on its way arrives within this time; the next query would need a place.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(server.names().len(), 3);
    server.release().await;
    server.asked(4).await;
    server.answer_at_once();
    for target in &targets {
        // Those that the server still holds get their answers.
        server.release().await;
        within("an answer", target.first_answer()).await.unwrap();
    }
    let asked: BTreeSet<String> = server.names().into_iter().collect();
    assert_eq!(asked.len(), 50);
}

/// F18.
#[tokio::test]
async fn first_answers_overtake_refreshes() {
    let server = HeldServer::start().await;
    let resolver = server.resolver("1");
    let targets: Vec<Upstream> = (0..20).map(|n| upstream(&resolver, &format!("s{n}"))).collect();
    for target in &targets {
        within("an answer", target.first_answer()).await.unwrap();
    }
    server.hold();
    // One refresh is in flight. The others become due and wait.
    server.asked(1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let new = upstream(&resolver, "new");
    tokio::task::yield_now().await;
    server.release().await;
    let mut asked = server.asked(2).await;
    if !asked.contains(&"new".to_owned()) {
        // Every tenth place goes to the query that has waited longest.
        server.release().await;
        asked = server.asked(3).await;
    }
    assert!(asked.contains(&"new".to_owned()), "{asked:?}");
    assert!(asked.len() < 20, "refreshes still wait");
    server.answer_at_once();
    server.release().await;
    within("an answer", new.first_answer()).await.unwrap();
    let refreshed = server.asked(21).await;
    assert!((0..20).all(|n| refreshed.contains(&format!("s{n}"))), "no refresh is forgotten: {refreshed:?}");
}

/// F18: whether the target is in flight or waits.
#[tokio::test]
async fn a_target_that_is_dropped_frees_its_place() {
    let server = HeldServer::start().await;
    server.hold();
    let resolver = server.resolver("1");
    let in_flight = upstream(&resolver, "in-flight");
    server.asked(1).await;
    let waiting = upstream(&resolver, "waiting");
    let last = upstream(&resolver, "last");
    // Both have to wait in the queue; a moment is enough on an idle machine, and the test holds on a busy one too.
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(waiting);
    tokio::time::sleep(Duration::from_millis(100)).await;
    // Its query is never answered, and has a timeout of 30 s.
    drop(in_flight);
    assert_eq!(server.asked(2).await, ["in-flight", "last"]);
    server.release().await;
    within("an answer", last.first_answer()).await.unwrap();
}

/// F18.
#[tokio::test]
async fn a_query_that_waits_too_long_fails_and_the_explanation_says_why() {
    let server = HeldServer::start().await;
    server.hold();
    let resolver = server.resolver("1");
    let first = upstream(&resolver, "first");
    server.asked(1).await;
    let second = upstream(&resolver, "second");
    let error = within("an error", second.first_answer()).await.unwrap_err();
    assert!(error.is_timeout() && error.is_transient(), "{error}");
    let explanation = second.explain().to_string();
    for text in [error.to_string(), explanation.clone()] {
        for part in
            ["waited 5s to be sent", &server.socket.local_addr().unwrap().to_string(), "DISCOVERY_DNS_IN_FLIGHT"]
        {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }
    assert!(explanation.contains("second.shop.svc.cluster.local"), "{explanation}");

    // The nameserver answers again.
    server.answer_at_once();
    server.release().await;
    within("first", first.first_answer()).await.unwrap();
    within("second", second.ready()).await.unwrap();
}
