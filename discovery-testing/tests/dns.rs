//! `FakeDns` over real sockets.

#[allow(dead_code, reason = "shared by several tests, each of which uses a part")]
mod support;

use std::{net::Ipv4Addr, time::Duration};

use discovery_testing::{FakeDns, Pod, QType, Rule, Service, Transport};
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{RData, RecordType},
};
use support::*;
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

const ORDERS: &str = "orders.shop.svc.cluster.local.";
const NGINX: &str = "nginx.shop.svc.cluster.local.";
/// A delay that no test waits for.
const FOREVER: Duration = Duration::from_secs(3600);

async fn dns() -> FakeDns {
    let dns = FakeDns::start().await.expect("start");
    dns.apply(Service::cluster_ip("shop", "orders").ip("10.0.0.1").port("http", 80));
    dns
}

async fn dns_with_pods(count: u8) -> FakeDns {
    let dns = dns().await;
    let pods = (1..=count).map(|n| Pod::new(Ipv4Addr::new(10, 1, 0, n)));
    let nginx = Service::headless("shop", "nginx").port("web", 8080);
    dns.apply(pods.fold(nginx, Service::pod));
    dns
}

#[tokio::test]
async fn answers_over_udp_and_tcp_on_one_port() {
    let dns = dns().await;
    let question = query(ORDERS, RecordType::A);
    for answer in [udp(dns.addr(), &question).await, tcp(dns.addr(), &question).await] {
        assert_eq!(addresses(&answer), ["10.0.0.1"]);
        assert!(answer.authoritative && !answer.truncation);
        assert_eq!(answer.queries, question.queries);
    }
    let queries = dns.questions();
    let transports: Vec<Transport> = queries.iter().map(|query| query.transport).collect();
    assert_eq!(transports, [Transport::Udp, Transport::Tcp]);
    assert!(queries.iter().all(|q| q.name == ORDERS && q.qtype == QType::A && !q.dropped));
    assert!(queries.iter().all(|q| q.from.ip().is_loopback() && q.from != dns.addr()));
}

#[tokio::test]
async fn echoes_the_case_and_counts_without_case() {
    let dns = dns().await;
    let answer = udp(dns.addr(), &query("ORDERS.shop.svc.Cluster.local.", RecordType::A)).await;
    assert_eq!(answer.answers[0].name.to_ascii(), "ORDERS.shop.svc.Cluster.local.");
    assert_eq!(dns.count("orders.SHOP.svc.cluster.local", QType::A), 1);
    assert_eq!(dns.count(ORDERS, QType::AAAA), 0);
}

#[tokio::test]
async fn negative_answers_contain_an_soa() {
    let dns = FakeDns::builder().ttl(30).start().await.expect("start");
    let answer = udp(dns.addr(), &query(ORDERS, RecordType::A)).await;
    assert_eq!(answer.response_code, ResponseCode::NXDomain);
    let RData::SOA(soa) = &answer.authorities[0].data else {
        panic!("expected an SOA: {answer:?}");
    };
    assert_eq!((answer.authorities[0].ttl, soa.minimum), (30, 30));
}

#[tokio::test]
async fn declarations_change_while_the_server_runs() {
    let dns = dns().await;
    let (a, addr) = (query(ORDERS, RecordType::A), dns.addr());
    dns.set_ttl(30);
    assert_eq!(udp(addr, &a).await.answers[0].ttl, 30);
    dns.apply(Service::headless("shop", "orders").port("http", 80));
    assert_eq!(udp(addr, &a).await.response_code, ResponseCode::NXDomain);
    dns.add_pod("shop", "orders", Pod::new("127.0.0.2"));
    assert_eq!(addresses(&udp(addr, &a).await), ["127.0.0.2"]);
    assert!(dns.set_ready("shop", "orders", "127.0.0.2", false));
    assert_eq!(udp(addr, &a).await.response_code, ResponseCode::NXDomain);
    assert!(dns.remove_pod("shop", "orders", "127.0.0.2"));
    assert!(!dns.remove_pod("shop", "orders", "127.0.0.2"));
    assert!(dns.remove("shop", "orders"));
    assert!(!dns.remove("shop", "orders"));
    dns.record("db.example.com", "10.9.9.9");
    let external = query("db.example.com.", RecordType::A);
    assert_eq!(addresses(&udp(addr, &external).await), ["10.9.9.9"]);
    assert!(dns.remove_record("db.example.com"));
    assert_eq!(udp(addr, &external).await.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn truncates_answers_to_the_size_that_the_client_accepts() {
    let dns = dns_with_pods(200).await;
    let question = query(NGINX, RecordType::A);
    let mut before = 0;
    for (question, limit) in
        [(question.clone(), 512), (with_edns(question.clone(), 100), 512), (with_edns(question.clone(), 1232), 1232)]
    {
        let bytes = udp_bytes(dns.addr(), &question.to_vec().expect("encode")).await;
        let answer = Message::from_vec(&bytes).expect("decode");
        assert!(answer.truncation);
        assert!(bytes.len() <= limit && bytes.len() > limit - 16, "{}", bytes.len());
        assert!(answer.answers.len() < 200);
        before = before.max(answer.answers.len());
    }
    assert!(before > 60);
    let whole = udp(dns.addr(), &with_edns(question.clone(), 65_000)).await;
    assert!(!whole.truncation);
    assert_eq!(addresses(&whole).len(), 200);
    let over_tcp = tcp(dns.addr(), &question).await;
    assert!(!over_tcp.truncation);
    assert_eq!(addresses(&over_tcp), addresses(&whole));
}

#[tokio::test]
async fn drops_additional_records_first_and_sets_tc() {
    let dns = dns_with_pods(12).await;
    let question = query("_web._tcp.nginx.shop.svc.cluster.local.", RecordType::SRV);
    let bytes = |answer: &Message| answer.to_vec().expect("encode").len();
    let whole = tcp(dns.addr(), &question).await;
    assert_eq!((whole.answers.len(), whole.additionals.len()), (12, 12));
    let limit = u16::try_from(bytes(&whole) - 10).expect("fits");
    let cut = udp(dns.addr(), &with_edns(question, limit)).await;
    assert!(cut.truncation);
    assert_eq!(cut.answers.len(), 12);
    assert!(cut.additionals.len() < 12 && cut.edns.is_some());
}

#[tokio::test]
async fn tcp_sends_answers_when_they_are_due() {
    let dns = dns().await;
    dns.script(Rule::any().qtype(QType::AAAA).delay(FOREVER));
    dns.script(Rule::any().qtype(QType::SRV).delay(Duration::from_millis(1)));
    let mut stream = TcpStream::connect(dns.addr()).await.expect("connect");
    let questions = [RecordType::AAAA, RecordType::SRV, RecordType::A].map(|t| query(ORDERS, t));
    for question in &questions {
        send_tcp(&mut stream, question).await;
    }
    let mut ids = [receive_tcp(&mut stream).await.id, receive_tcp(&mut stream).await.id];
    ids.sort_unstable();
    let mut due = [questions[1].id, questions[2].id];
    due.sort_unstable();
    assert_eq!(ids, due);
}

#[tokio::test]
async fn records_dropped_queries_and_answers_the_next_one() {
    let dns = dns().await;
    dns.script(Rule::any().name("orders.shop.svc.cluster.local").over(Transport::Udp).times(3).drop());
    let socket = socket(dns.addr()).await;
    let question = query(ORDERS, RecordType::A);
    for _ in 0..4 {
        socket.send(&question.to_vec().expect("encode")).await.expect("send");
    }
    let mut buffer = [0; 512];
    timeout(TEST_TIMEOUT, socket.recv(&mut buffer)).await.expect("in time").expect("receive");
    timeout(TEST_TIMEOUT, dns.asked(|query| query.dropped, 3)).await.expect("in time");
    let dropped: Vec<bool> = dns.questions().iter().map(|query| query.dropped).collect();
    assert_eq!(dropped, [true, true, true, false]);
    assert_eq!((dns.count(ORDERS, QType::A), dns.total()), (4, 4));
    dns.forget();
    assert_eq!(dns.total(), 0);
}

#[tokio::test]
async fn rules_set_the_response_code() {
    let dns = dns().await;
    let question = query(ORDERS, RecordType::A);
    for (rule, code, authorities) in [
        (Rule::any().servfail(), ResponseCode::ServFail, 0),
        (Rule::any().refuse(), ResponseCode::Refused, 0),
        (Rule::any().nxdomain(), ResponseCode::NXDomain, 1),
        (Rule::any().nodata(), ResponseCode::NoError, 1),
    ] {
        let id = dns.script(rule);
        let answer = udp(dns.addr(), &question).await;
        assert_eq!((answer.response_code, answer.authorities.len()), (code, authorities));
        assert!(answer.answers.is_empty());
        assert!(dns.remove_rule(id));
    }
    dns.script(Rule::any().ttl(7));
    assert_eq!(udp(dns.addr(), &question).await.answers[0].ttl, 7);
    dns.clear_script();
    assert_eq!(udp(dns.addr(), &question).await.answers[0].ttl, 5);
}

#[tokio::test]
async fn scripted_truncation_applies_to_udp_only() {
    let dns = dns_with_pods(5).await;
    let question = query(NGINX, RecordType::A);
    dns.script(Rule::any().times(1).truncate());
    dns.script(Rule::any().truncate_to(2));
    for kept in [0, 2] {
        let cut = udp(dns.addr(), &question).await;
        assert!(cut.truncation);
        assert_eq!(cut.answers.len(), kept);
    }
    assert_eq!(tcp(dns.addr(), &question).await.answers.len(), 5);
}

#[tokio::test]
async fn garbage_has_the_id_of_the_query_and_does_not_parse() {
    let dns = dns().await;
    let question = query(ORDERS, RecordType::A);
    dns.script(Rule::any().times(1).garbage());
    dns.script(Rule::any().times(1).raw(*b"hello"));
    dns.script(Rule::any().raw_with_id(*b"??hello"));
    let packet = question.to_vec().expect("encode");
    let garbage = udp_bytes(dns.addr(), &packet).await;
    assert_eq!(garbage[..2], question.id.to_be_bytes());
    Message::from_vec(&garbage).expect_err("must not parse");
    assert_eq!(udp_bytes(dns.addr(), &packet).await, b"hello");
    assert_eq!(udp_bytes(dns.addr(), &packet).await, [&question.id.to_be_bytes()[..], b"hello"].concat());
}

/// A whole message that the server would never send, under the id of each query.
#[tokio::test]
async fn custom_message_has_the_id_of_the_query_over_both_transports() {
    let dns = dns().await;
    let mut message = query(ORDERS, RecordType::A);
    message.metadata.message_type = hickory_proto::op::MessageType::Response;
    message.metadata.response_code = ResponseCode::BADVERS;
    dns.script(Rule::any().raw_with_id(message.to_vec().expect("encode")));
    let (first, second) = (query(ORDERS, RecordType::A), query(ORDERS, RecordType::A));
    assert_ne!(first.id, second.id);
    let answers = [udp(dns.addr(), &first).await, tcp(dns.addr(), &second).await];
    assert_eq!(answers.each_ref().map(|answer| answer.id), [first.id, second.id]);
    assert!(answers.iter().all(|answer| answer.queries == first.queries && answer.answers.is_empty()));
}

#[tokio::test]
async fn names_inside_the_cluster_domain_need_not_be_services() {
    let dns = dns().await;
    dns.record("legacy.cluster.local", "192.0.2.7");
    dns.record_ttl("legacy.cluster.local", 60);
    // A TTL without a record declares nothing.
    dns.record_ttl(ORDERS, 60);
    let (addr, legacy) = (dns.addr(), query("legacy.cluster.local.", RecordType::A));
    let answer = udp(addr, &legacy).await;
    assert_eq!((addresses(&answer), answer.answers[0].ttl), (vec!["192.0.2.7".to_owned()], 60));
    assert!(answer.authoritative);
    assert_eq!(addresses(&udp(addr, &query(ORDERS, RecordType::A)).await), ["10.0.0.1"]);
    assert!(dns.remove_record("legacy.cluster.local"));
    assert_eq!(udp(addr, &legacy).await.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn unsynced_server_sends_its_soa_with_servfail() {
    let dns = dns().await;
    dns.not_synced(true);
    let answer = udp(dns.addr(), &query(NGINX, RecordType::A)).await;
    assert_eq!((answer.response_code, answer.authoritative), (ResponseCode::ServFail, true));
    assert!(matches!(&answer.authorities[0].data, RData::SOA(soa) if soa.minimum == 5));
    dns.not_synced(false);
    assert_eq!(udp(dns.addr(), &query(NGINX, RecordType::A)).await.response_code, ResponseCode::NXDomain);
}

#[tokio::test]
async fn ns_records_name_the_service_in_front_of_the_server() {
    let dns = dns().await;
    dns.fronted_by("kube-system", "kube-dns");
    let ns = query("cluster.local.", RecordType::NS);
    let names = async || udp(dns.addr(), &ns).await.answers.iter().map(|r| r.data.to_string()).collect::<Vec<_>>();
    assert_eq!(names().await, ["ns.dns.cluster.local."]);
    dns.apply(Service::cluster_ip("kube-system", "kube-dns").ip("10.96.0.10").udp_port("dns", 53));
    assert_eq!(names().await, ["kube-dns.kube-system.svc.cluster.local."]);
    assert!(dns.remove("kube-system", "kube-dns"));
    assert_eq!(names().await, ["ns.dns.cluster.local."]);
}

#[tokio::test]
#[should_panic(expected = "sets port \"grpc\", which Service \"nginx\" does not have")]
async fn panic_names_the_unknown_port_of_an_added_pod() {
    dns_with_pods(1).await.add_pod("shop", "nginx", Pod::new("10.1.0.9").port("grpc", 9090));
}

#[tokio::test]
async fn disconnect_closes_a_tcp_connection() {
    let dns = dns().await;
    dns.script(Rule::any().disconnect());
    let mut stream = TcpStream::connect(dns.addr()).await.expect("connect");
    send_tcp(&mut stream, &query(ORDERS, RecordType::A)).await;
    let end = timeout(TEST_TIMEOUT, stream.read_u8()).await.expect("in time");
    end.expect_err("closed");
}

#[tokio::test]
async fn answers_malformed_queries_with_formerr() {
    let dns = dns().await;
    let answer = udp_bytes(dns.addr(), &[0xab, 0xcd, 1, 0, 0, 9]).await;
    let answer = Message::from_vec(&answer).expect("decode");
    assert_eq!((answer.id, answer.response_code), (0xabcd, ResponseCode::FormErr));
    let empty = udp(dns.addr(), &Message::query()).await;
    assert_eq!(empty.response_code, ResponseCode::FormErr);
    // A packet without an id, and a response: no answer, and the server keeps running.
    let socket = socket(dns.addr()).await;
    socket.send(&[7]).await.expect("send");
    socket.send(&answer.to_vec().expect("encode")).await.expect("send");
    let question = query(ORDERS, RecordType::A);
    socket.send(&question.to_vec().expect("encode")).await.expect("send");
    let mut buffer = [0; 512];
    let length = timeout(TEST_TIMEOUT, socket.recv(&mut buffer)).await.expect("in time");
    let first = Message::from_vec(&buffer[..length.expect("receive")]).expect("decode");
    assert_eq!(first.id, question.id);
}

#[tokio::test]
async fn refuses_zone_transfers() {
    let dns = dns().await;
    let answer = tcp(dns.addr(), &query("cluster.local.", RecordType::AXFR)).await;
    assert_eq!(answer.response_code, ResponseCode::Refused);
}

#[tokio::test]
async fn restarts_on_the_same_port() {
    let dns = dns().await;
    let addr = dns.addr();
    let mut open = TcpStream::connect(addr).await.expect("connect");
    send_tcp(&mut open, &query(ORDERS, RecordType::A)).await;
    receive_tcp(&mut open).await;
    dns.stop().await;
    dns.stop().await;
    TcpStream::connect(addr).await.expect_err("stopped");
    let end = timeout(TEST_TIMEOUT, open.read_u8()).await.expect("in time");
    end.expect_err("cut");
    dns.restart().await.expect("restart");
    assert_eq!(dns.addr(), addr);
    let answer = udp(addr, &query(ORDERS, RecordType::A)).await;
    assert_eq!(addresses(&answer), ["10.0.0.1"]);
    assert_eq!(dns.total(), 2);
}

#[tokio::test]
async fn drop_ends_all_tasks() {
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let dns = dns().await;
    dns.script(Rule::any().delay(FOREVER));
    let mut open = TcpStream::connect(dns.addr()).await.expect("connect");
    send_tcp(&mut open, &query(ORDERS, RecordType::A)).await;
    let socket = socket(dns.addr()).await;
    let packet = query(ORDERS, RecordType::A).to_vec().expect("encode");
    socket.send(&packet).await.expect("send");
    timeout(TEST_TIMEOUT, dns.asked(|_| true, 2)).await.expect("in time");
    drop(dns);
    let gone = async {
        while tokio::runtime::Handle::current().metrics().num_alive_tasks() > before {
            tokio::task::yield_now().await;
        }
    };
    timeout(TEST_TIMEOUT, gone).await.expect("all tasks end");
}

#[tokio::test]
async fn asked_resolves_with_the_query_and_is_cancel_safe() {
    let dns = dns().await;
    let matches = |query: &discovery_testing::ReceivedQuery| query.qtype == QType::AAAA;
    {
        let waiting = dns.asked(matches, 1);
        tokio::pin!(waiting);
        let now = std::future::poll_fn(|cx| std::task::Poll::Ready(waiting.as_mut().poll(cx).is_pending()));
        assert!(now.await);
    }
    let question = query(ORDERS, RecordType::AAAA);
    let ask = async {
        udp(dns.addr(), &question).await;
    };
    timeout(TEST_TIMEOUT, async { tokio::join!(dns.asked(matches, 1), ask) }).await.expect("in time");
}

#[tokio::test]
async fn supports_another_domain_and_pod_names() {
    let dns = FakeDns::builder()
        .cluster_domain("Corp.example")
        .node_search("corp.test")
        .pod_records(discovery_testing::PodRecords::Insecure)
        .start()
        .await
        .expect("start");
    dns.namespace("empty");
    let pod = query("10-1-2-3.empty.pod.corp.example.", RecordType::A);
    assert_eq!(addresses(&udp(dns.addr(), &pod).await), ["10.1.2.3"]);
    let written = format!(
        "search empty.svc.corp.example svc.corp.example corp.example corp.test\n\
         nameserver {}\noptions ndots:5\n",
        dns.addr()
    );
    assert_eq!(dns.resolv_conf("empty"), written);
    dns.restart().await.expect("restart");
    assert_eq!(dns.resolv_conf("empty"), written);
}

#[test]
#[should_panic(expected = "\"10.0.0.256\" is not an IP address")]
fn panic_names_an_invalid_address() {
    let _ = Service::cluster_ip("shop", "orders").ip("10.0.0.256");
}

#[test]
#[should_panic(expected = "Service name \"or.ders\" is not a DNS label")]
fn panic_names_an_invalid_name() {
    let _ = Service::cluster_ip("shop", "or.ders");
}
