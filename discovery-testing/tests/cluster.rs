//! `FakePod` and `FakeCluster` over real sockets.

#[allow(dead_code, reason = "shared by several tests, each of which uses a part")]
mod support;

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use bytes::Bytes;
use discovery_testing::{Behavior, FakeCluster, FakePod, FakeService};
use hickory_proto::rr::{RData, RecordType};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{TEST_TIMEOUT, addresses, query, tcp};
use tokio::{net::TcpStream, time::timeout};

const FOREVER: Duration = Duration::from_secs(3600);

fn request(host: &str) -> Request<Empty<Bytes>> {
    let request = Request::builder().uri("/").header("host", host);
    request.body(Empty::new()).expect("request")
}

async fn http1(addr: SocketAddr) -> conn::http1::SendRequest<Empty<Bytes>> {
    let stream = TcpStream::connect(addr).await.expect("connect");
    let (sender, connection) = conn::http1::handshake(TokioIo::new(stream)).await.expect("handshake");
    tokio::spawn(connection);
    sender
}

async fn text(response: Response<Incoming>) -> String {
    let body = response.into_body().collect().await.expect("body").to_bytes();
    String::from_utf8(body.to_vec()).expect("text")
}

async fn get(addr: SocketAddr) -> Response<Incoming> {
    let mut sender = http1(addr).await;
    let answer = timeout(TEST_TIMEOUT, sender.send_request(request("orders.shop"))).await;
    answer.expect("in time").expect("a response")
}

async fn listed(cluster: &FakeCluster, name: &str) -> BTreeSet<String> {
    let answer = tcp(cluster.dns().addr(), &query(name, RecordType::A)).await;
    addresses(&answer).into_iter().collect()
}

fn pod_ips(service: &FakeService) -> BTreeSet<String> {
    service.pods().iter().map(|pod| pod.ip().to_string()).collect()
}

/// A headless Service with a named `targetPort`.
#[tokio::test]
async fn srv_shows_the_port_of_each_pod() {
    let cluster = FakeCluster::start().await.expect("start");
    let builder = cluster.service("shop", "orders").replicas(3).port_per_pod().stateful();
    let orders = builder.start().await.expect("start");
    let name = "_http._tcp.orders.shop.svc.cluster.local.";
    let listed = async || -> BTreeSet<(String, u16)> {
        let answer = tcp(cluster.dns().addr(), &query(name, RecordType::SRV)).await;
        let srv = answer.answers.iter().filter_map(|record| match &record.data {
            RData::SRV(srv) => Some((srv.target.to_ascii(), srv.port)),
            _ => None,
        });
        srv.collect()
    };
    let running = || -> BTreeSet<(String, u16)> {
        let pods = orders.pods();
        let name = |pod: &FakePod| format!("{}.orders.shop.svc.cluster.local.", pod.name());
        pods.iter().map(|pod| (name(pod), pod.addr().port())).collect()
    };
    let before = running();
    assert_eq!(listed().await, before);
    let ports: BTreeSet<u16> = before.iter().map(|(_, port)| *port).chain([orders.port()]).collect();
    assert_eq!(ports.len(), 4, "three pods and the Service");
    orders.rolling_restart().await.expect("restart");
    assert_ne!(running(), before);
    assert_eq!(listed().await, running());
    assert_eq!(text(get(orders.pods()[2].addr()).await).await, "orders-2");
}

#[tokio::test]
async fn responds_with_its_name_over_http1() {
    let pod = FakePod::start("web-0").await.expect("start");
    let response = get(pod.addr()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-pod"], "web-0");
    assert_eq!(response.headers()["x-host"], "orders.shop");
    assert_eq!(text(response).await, "web-0");
    let seen = pod.counters();
    assert_eq!((seen.requests, seen.served, seen.in_flight, seen.connections), (1, 1, 0, 1));
}

#[tokio::test]
async fn responds_over_http2_with_prior_knowledge() {
    let pod = FakePod::start("web-0").await.expect("start");
    let stream = TcpStream::connect(pod.addr()).await.expect("connect");
    let (mut sender, connection) =
        conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("handshake");
    tokio::spawn(connection);
    for _ in 0..2 {
        let request = Request::get("http://orders.shop:80/").body(Empty::<Bytes>::new());
        let response = sender.send_request(request.expect("request")).await.expect("a response");
        assert_eq!(response.headers()["x-host"], "orders.shop:80");
        assert_eq!(text(response).await, "web-0");
    }
    assert_eq!((pod.requests(), pod.connections()), (2, 1));
}

#[tokio::test]
async fn handler_sets_the_response() {
    let pod = FakePod::with_handler("echo", |request| {
        let mut response = Response::new(Bytes::from(request.uri().path().to_owned()));
        *response.status_mut() = StatusCode::CREATED;
        response
    });
    let pod = pod.await.expect("start");
    let response = get(pod.addr()).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()["x-pod"], "echo");
    assert_eq!(text(response).await, "/");
}

#[tokio::test]
async fn behavior_changes_while_the_pod_runs() {
    let pod = FakePod::start("web-0").await.expect("start");
    pod.set_behavior(Behavior::Failing(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(get(pod.addr()).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    pod.set_behavior(Behavior::Slow(Duration::from_millis(1)));
    assert_eq!(get(pod.addr()).await.status(), StatusCode::OK);
    pod.set_behavior(Behavior::Hanging);
    let mut sender = http1(pod.addr()).await;
    let hanging = tokio::spawn(sender.send_request(request("a")));
    timeout(TEST_TIMEOUT, pod.when(|seen| seen.in_flight == 1)).await.expect("in time");
    pod.set_behavior(Behavior::Healthy);
    assert_eq!(get(pod.addr()).await.status(), StatusCode::OK);
    assert!(!hanging.is_finished());
    pod.kill().await;
    let cut = timeout(TEST_TIMEOUT, hanging).await.expect("in time").expect("joined");
    cut.expect_err("cut");
    timeout(TEST_TIMEOUT, pod.when(|seen| seen.in_flight == 0 && seen.open == 0)).await.expect("in time");
}

#[tokio::test]
async fn kill_refuses_and_restart_listens_again() {
    let pod = FakePod::start("web-0").await.expect("start");
    let addr = pod.addr();
    pod.refuse().await;
    TcpStream::connect(addr).await.expect_err("refused");
    pod.restart().await.expect("restart");
    assert_eq!(pod.addr(), addr);
    assert_eq!(text(get(addr).await).await, "web-0");
}

#[tokio::test]
async fn stop_finishes_requests_in_flight() {
    let pod = FakePod::start("web-0").await.expect("start");
    pod.set_behavior(Behavior::Slow(Duration::from_millis(50)));
    let mut sender = http1(pod.addr()).await;
    let mut idle = http1(pod.addr()).await;
    let request = tokio::spawn(sender.send_request(request("a")));
    timeout(TEST_TIMEOUT, pod.when(|seen| seen.in_flight == 1 && seen.open == 2)).await.expect("in time");
    timeout(TEST_TIMEOUT, pod.stop()).await.expect("in time");
    let response = request.await.expect("joined").expect("a response");
    assert_eq!(text(response).await, "web-0");
    assert_eq!((pod.counters().served, pod.counters().open), (1, 0));
    idle.ready().await.expect_err("closed");
    TcpStream::connect(pod.addr()).await.expect_err("stopped");
}

#[tokio::test]
async fn stop_cuts_requests_after_the_grace_period() {
    let pod = FakePod::start("web-0").await.expect("start");
    pod.set_behavior(Behavior::Slow(FOREVER));
    let mut sender = http1(pod.addr()).await;
    let request = tokio::spawn(sender.send_request(request("a")));
    timeout(TEST_TIMEOUT, pod.when(|seen| seen.in_flight == 1)).await.expect("in time");
    let stopped = timeout(TEST_TIMEOUT, pod.stop_within(Duration::from_millis(1))).await;
    stopped.expect("in time");
    request.await.expect("joined").expect_err("cut");
}

#[tokio::test]
async fn kill_ends_a_pending_stop() {
    let pod = FakePod::start("web-0").await.expect("start");
    pod.set_behavior(Behavior::Hanging);
    let mut sender = http1(pod.addr()).await;
    let request = tokio::spawn(sender.send_request(request("a")));
    timeout(TEST_TIMEOUT, pod.when(|seen| seen.in_flight == 1)).await.expect("in time");
    let stopping = pod.stop_within(FOREVER);
    let both = async { tokio::join!(stopping, pod.kill()) };
    timeout(TEST_TIMEOUT, both).await.expect("in time");
    request.await.expect("joined").expect_err("cut");
    pod.set_behavior(Behavior::Healthy);
    pod.restart().await.expect("restart");
    assert_eq!(text(get(pod.addr()).await).await, "web-0");
}

#[tokio::test]
async fn drop_closes_everything() {
    let pod = FakePod::start("web-0").await.expect("start");
    let addr = pod.addr();
    let mut sender = http1(addr).await;
    pod.set_behavior(Behavior::Hanging);
    let request = tokio::spawn(sender.send_request(request("a")));
    timeout(TEST_TIMEOUT, pod.when(|seen| seen.in_flight == 1)).await.expect("in time");
    drop(pod);
    timeout(TEST_TIMEOUT, request).await.expect("in time").expect("joined").expect_err("cut");
    TcpStream::connect(addr).await.expect_err("closed");
}

#[tokio::test]
async fn pods_of_a_service_differ_in_address_and_share_the_port() {
    let cluster = FakeCluster::start().await.expect("start");
    let orders = cluster.service("shop", "orders").replicas(3).start().await.expect("start");
    assert_eq!(orders.name(), "orders.shop.svc");
    assert_eq!(pod_ips(&orders).len(), 3);
    assert!(orders.pods().iter().all(|pod| pod.addr().port() == orders.port()));
    assert!(orders.pods().iter().all(|pod| pod.ip().is_loopback()));
    assert_eq!(listed(&cluster, "orders.shop.svc.cluster.local.").await, pod_ips(&orders));
    let srv = query("_http._tcp.orders.shop.svc.cluster.local.", RecordType::SRV);
    let answer = tcp(cluster.dns().addr(), &srv).await;
    assert_eq!((answer.answers.len(), answer.additionals.len()), (3, 3));
    for record in &answer.answers {
        assert!(matches!(&record.data, RData::SRV(srv) if srv.port == orders.port()));
    }
    assert_eq!(text(get(orders.pods()[1].addr()).await).await, "orders-1");
    let counts: Vec<(String, usize)> = orders.requests().into_iter().collect();
    let expected = [("orders-0", 0), ("orders-1", 1), ("orders-2", 0)];
    assert_eq!(counts, expected.map(|(name, count)| (name.to_owned(), count)));
}

#[tokio::test]
async fn dns_follows_added_and_removed_pods() {
    let name = "orders.shop.svc.cluster.local.";
    let cluster = FakeCluster::start().await.expect("start");
    let orders = cluster.service("shop", "orders").replicas(2).start().await.expect("start");
    let added = orders.add_pod().await.expect("add");
    assert!(listed(&cluster, name).await.contains(&added.ip().to_string()));
    assert!(orders.remove_pod("orders-0").await);
    assert!(!orders.remove_pod("orders-0").await);
    assert_eq!(listed(&cluster, name).await, pod_ips(&orders));
    orders.kill(0).await;
    assert_eq!(listed(&cluster, name).await.len(), 2);
    TcpStream::connect(orders.pods()[0].addr()).await.expect_err("killed");
    orders.set_ready(0, false);
    let ready = BTreeSet::from([added.ip().to_string()]);
    assert_eq!(listed(&cluster, name).await, ready);
    drop(orders);
    assert!(listed(&cluster, name).await.is_empty());
}

#[tokio::test]
async fn rolling_restart_replaces_every_pod() {
    let name = "web.shop.svc.cluster.local.";
    let cluster = FakeCluster::start().await.expect("start");
    let web = cluster.service("shop", "web").replicas(2).port_name("web").stateful();
    let web = web.start().await.expect("start");
    let old = web.pods();
    let before = pod_ips(&web);
    old[0].set_behavior(Behavior::Slow(Duration::from_millis(20)));
    let mut sender = http1(old[0].addr()).await;
    let request = tokio::spawn(sender.send_request(request("a")));
    timeout(TEST_TIMEOUT, old[0].when(|seen| seen.in_flight == 1)).await.expect("in time");
    timeout(TEST_TIMEOUT, web.rolling_restart()).await.expect("in time").expect("restart");
    request.await.expect("joined").expect("finished");
    assert!(pod_ips(&web).is_disjoint(&before));
    assert_eq!(listed(&cluster, name).await, pod_ips(&web));
    let names: Vec<String> = web.pods().iter().map(|pod| pod.name().to_owned()).collect();
    assert_eq!(names, ["web-0", "web-1"]);
    let first = listed(&cluster, &format!("web-0.{name}")).await;
    assert_eq!(first, BTreeSet::from([web.pods()[0].ip().to_string()]));
    for pod in old {
        TcpStream::connect(pod.addr()).await.expect_err("stopped");
    }
}

#[tokio::test]
async fn clusters_run_side_by_side() {
    let one = FakeCluster::start().await.expect("start");
    let two = FakeCluster::start().await.expect("start");
    let a = one.service("shop", "orders").replicas(20).start().await.expect("start");
    let b = two.service("shop", "orders").replicas(20).start().await.expect("start");
    let addrs: BTreeSet<SocketAddr> = a.pods().iter().chain(&b.pods()).map(FakePod::addr).collect();
    assert_eq!(addrs.len(), 40);
    assert_ne!(one.env("shop"), two.env("shop"));
}

#[test]
fn handles_can_be_shared_between_threads() {
    fn check<T: Send + Sync>() {}
    check::<FakeCluster>();
    check::<FakeService>();
    check::<FakePod>();
    check::<discovery_testing::FakeDns>();
}
