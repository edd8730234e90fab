//! `discovery-tower`: the stream of changes, and the balancing service.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error as _,
    future::Future,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use discovery_core::{
    Upstream,
    endpoint::{Endpoint, EndpointSet, Identity},
    policy::{Policy, RoundRobin},
};
use discovery_testing::{
    Behavior, FakeCluster, FakeDns, FakePod, FakeService, ManualSource, Pod, Rule, Service as Declared,
};
use discovery_tower::{Balance, Discover, Error, NoRetry};
use futures_util::{FutureExt, StreamExt, stream};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use tests::{PATIENCE, addrs, brisk, in_pod, until};
use tower::{
    Service, ServiceExt,
    balance::p2c,
    discover::Change,
    load::{CompleteOnResponse, PendingRequests},
};

type Call = Request<Full<Bytes>>;

/// Which endpoints each request went to, by its number.
type Log = Arc<Mutex<BTreeMap<usize, Vec<SocketAddr>>>>;

/// One pod through a hyper client of its own, as an application would have it.
#[derive(Clone)]
struct ToPod {
    client: legacy::Client<HttpConnector, Full<Bytes>>,
    pod: SocketAddr,
    log: Log,
}

impl ToPod {
    fn new(endpoint: &Endpoint, log: &Log) -> Self {
        Self::over(false, endpoint, log)
    }

    fn over(http2: bool, endpoint: &Endpoint, log: &Log) -> Self {
        let client = legacy::Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
        Self { client, pod: endpoint.addr(), log: log.clone() }
    }
}

impl Service<Call> for ToPod {
    type Response = Response<()>;
    type Error = legacy::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<()>, legacy::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), legacy::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Call) -> Self::Future {
        if let Some(Number(number)) = request.extensions().get() {
            self.log.lock().unwrap().entry(*number).or_default().push(self.pod);
        }
        *request.uri_mut() = format!("http://{}{}", self.pod, request.uri().path()).parse().unwrap();
        let response = self.client.request(request);
        Box::pin(async move {
            let (parts, body) = response.await?.into_parts();
            // Read to its end, so that the connection serves again.
            let _ = body.collect().await;
            Ok(Response::from_parts(parts, ()))
        })
    }
}

#[derive(Clone)]
struct Number(usize);

fn request(method: Method, number: usize) -> Call {
    let builder = Request::builder().method(method).uri("/").header("host", "orders.shop").extension(Number(number));
    builder.body(Full::default()).unwrap()
}

struct World {
    service: FakeService,
    upstream: Upstream,
    log: Log,
    cluster: FakeCluster,
}

impl World {
    async fn new(replicas: usize) -> Self {
        Self::with_policy(replicas, discovery_core::policy::LeastRequest::new()).await
    }

    /// A cluster whose DNS gives no TTL, so that changes are seen at once.
    async fn with_policy(replicas: usize, policy: impl Policy) -> Self {
        let cluster = FakeCluster::with_dns(FakeDns::builder().ttl(0).start().await.unwrap());
        let service = cluster.service("shop", "orders").replicas(replicas).start().await.unwrap();
        let resolver = in_pod(cluster.dns(), "shop").refresh(brisk()).policy(policy).build().unwrap();
        let upstream = resolver.upstream(format!("http://orders:{}", service.port()).as_str()).unwrap();
        let known = within("an answer", upstream.first_answer()).await;
        assert_eq!(known.is_ok(), replicas > 0);
        Self { service, upstream, log: Log::default(), cluster }
    }

    fn balance(&self) -> Balance<ToPod> {
        let log = self.log.clone();
        Balance::new(self.upstream.clone(), move |endpoint| ToPod::new(endpoint, &log))
    }

    fn pod(&self, index: usize) -> FakePod {
        self.service.pods().swap_remove(index)
    }

    async fn sees(&self, pods: usize) {
        until(&self.upstream, "the pods of the cluster", |set| set.len() == pods).await;
    }
}

/// Bounds a hang. Thousands of requests take a while on a machine that has other work.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(6 * PATIENCE, future).await {
        Ok(result) => result,
        Err(_) => panic!("{what}: not within {:?}", 6 * PATIENCE),
    }
}

/// Sends GET requests, so many at a time, and returns the results in the order of their numbers.
async fn send(
    balance: &Balance<ToPod>,
    numbers: std::ops::Range<usize>,
    at_a_time: usize,
) -> Vec<Result<Response<()>, Error>> {
    let calls = numbers.map(|number| balance.clone().oneshot(request(Method::GET, number)));
    within("all answers", stream::iter(calls).buffered(at_a_time).collect()).await
}

fn failed(results: &[Result<Response<()>, Error>]) -> Vec<String> {
    results.iter().filter_map(|result| result.as_ref().err().map(|error| format!("{error:?}"))).collect()
}

/// What each pod has received, before the ones that have been removed.
fn received(pods: &[FakePod]) -> Vec<usize> {
    pods.iter().map(FakePod::requests).collect()
}

/// Sends requests until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    workers: tokio::task::JoinSet<(usize, Vec<Error>)>,
    sent: Arc<AtomicUsize>,
}

impl Load {
    fn start(balance: &Balance<ToPod>, workers: usize) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut set = tokio::task::JoinSet::new();
        for _ in 0..workers {
            let (balance, stop, sent) = (balance.clone(), stop.clone(), sent.clone());
            set.spawn(async move {
                let (mut done, mut errors) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    let number = sent.fetch_add(1, Ordering::Relaxed);
                    errors.extend(balance.clone().oneshot(request(Method::GET, number)).await.err());
                    done += 1;
                }
                (done, errors)
            });
        }
        Self { stop, workers: set, sent }
    }

    /// Waits for so many requests more.
    async fn more(&self, requests: usize) {
        let until = self.sent.load(Ordering::Relaxed) + requests;
        let sent = async {
            while self.sent.load(Ordering::Relaxed) < until {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        within("more requests", sent).await;
    }

    /// The number of requests, and why some failed.
    async fn stop(self) -> (usize, Vec<Error>) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = within("the workers", self.workers.join_all()).await;
        let (done, errors): (Vec<_>, Vec<_>) = ended.into_iter().unzip();
        (done.into_iter().sum(), errors.into_iter().flatten().collect())
    }
}

/// The stream of changes.
mod discover {
    use super::*;

    type Changes =
        Pin<Box<dyn futures_util::Stream<Item = Result<Change<Identity, SocketAddr>, std::convert::Infallible>>>>;

    fn discover(upstream: &Upstream) -> Changes {
        Box::pin(Discover::new(upstream.clone(), Endpoint::addr))
    }

    /// The next change. That it is no error is a matter of its type.
    async fn next(changes: &mut Changes) -> Change<Identity, SocketAddr> {
        let Ok(change) = within("a change", changes.next()).await.expect("it never ends");
        change
    }

    /// There is nothing to tell now: neither a change nor an end.
    fn is_waiting(changes: &mut Changes) -> bool {
        changes.next().now_or_never().is_none()
    }

    fn orders(ips: &[&str]) -> Declared {
        ips.iter().map(|ip| Pod::new(*ip)).fold(Declared::headless("shop", "orders").port("http", 80), Declared::pod)
    }

    async fn start(dns: &FakeDns) -> Upstream {
        let resolver = in_pod(dns, "shop").refresh(brisk()).build().unwrap();
        resolver.upstream("orders:80").unwrap()
    }

    #[tokio::test]
    async fn waits_for_a_name_that_does_not_exist_yet() {
        let dns = FakeDns::builder().ttl(0).start().await.unwrap();
        let upstream = start(&dns).await;
        let mut changes = discover(&upstream);
        assert!(within("an answer", upstream.first_answer()).await.unwrap_err().is_not_found());
        assert!(is_waiting(&mut changes));
        dns.apply(orders(&["10.0.0.1"]));
        assert!(matches!(next(&mut changes).await, Change::Insert(_, addr) if addr == ([10, 0, 0, 1], 80).into()));
    }

    #[tokio::test]
    async fn waits_for_a_dns_that_is_down() {
        let dns = FakeDns::builder().ttl(0).start().await.unwrap();
        dns.apply(orders(&["10.0.0.1"]));
        dns.script(Rule::any().servfail());
        let upstream = start(&dns).await;
        let mut changes = discover(&upstream);
        assert!(within("an answer", upstream.first_answer()).await.unwrap_err().is_transient());
        assert!(is_waiting(&mut changes));
        dns.clear_script();
        assert!(matches!(next(&mut changes).await, Change::Insert(..)));
    }

    #[tokio::test]
    async fn tells_nothing_while_dns_is_down() {
        let dns = FakeDns::builder().ttl(0).start().await.unwrap();
        dns.apply(orders(&["10.0.0.1", "10.0.0.2"]));
        let upstream = start(&dns).await;
        let mut changes = discover(&upstream);
        next(&mut changes).await;
        next(&mut changes).await;
        dns.script(Rule::any().servfail());
        let stale = async {
            while !upstream.endpoints().is_stale() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        within("the failure", stale).await;
        assert!(is_waiting(&mut changes), "the endpoints stay");
    }

    #[tokio::test]
    async fn removes_all_of_an_empty_set_and_goes_on() {
        let dns = FakeDns::builder().ttl(0).start().await.unwrap();
        dns.apply(orders(&["10.0.0.1", "10.0.0.2"]));
        let upstream = start(&dns).await;
        let mut changes = discover(&upstream);
        next(&mut changes).await;
        next(&mut changes).await;
        dns.apply(orders(&[]));
        for _ in 0..2 {
            assert!(matches!(next(&mut changes).await, Change::Remove(_)));
        }
        assert!(is_waiting(&mut changes));
        dns.apply(orders(&["10.0.0.3"]));
        assert!(matches!(next(&mut changes).await, Change::Insert(..)));
    }

    /// Applies a change to what a consumer has, as tower's balancer does.
    fn apply(held: &mut BTreeMap<Identity, SocketAddr>, change: Change<Identity, SocketAddr>) {
        match change {
            Change::Insert(key, addr) => {
                held.insert(key, addr);
            }
            Change::Remove(key) => assert!(held.remove(&key).is_some(), "{key} is not there"),
        }
    }

    #[tokio::test]
    async fn inserts_and_removes_add_up_to_each_set() {
        let (source, handle) = ManualSource::new();
        let dns = FakeDns::start().await.unwrap();
        let builder = in_pod(&dns, "shop").source(Arc::new(source)).refresh(brisk());
        let upstream = builder.build().unwrap().upstream("orders:80").unwrap();
        let (mut changes, mut held) = (discover(&upstream), BTreeMap::new());
        for step in 1_u32..60 {
            // Any of 6 addresses, never none.
            let bits = step.wrapping_mul(0x9e37_79b9) >> 26 | 1 << (step % 6);
            let texts: Vec<_> =
                (0..6).filter(|bit| bits & 1 << bit > 0).map(|last| format!("10.0.0.{last}:80")).collect();
            handle.set(texts.iter().map(String::as_str));
            until(&upstream, "the set", |set| addrs(set) == texts).await;
            while let Some(Some(Ok(change))) = changes.next().now_or_never() {
                apply(&mut held, change);
            }
            let addrs: Vec<_> = held.values().map(ToString::to_string).collect();
            assert_eq!(addrs, texts, "step {step}");
        }
    }

    #[tokio::test]
    async fn a_changed_endpoint_replaces_its_key() {
        let (source, handle) = ManualSource::new();
        let dns = FakeDns::start().await.unwrap();
        let builder = in_pod(&dns, "shop").source(Arc::new(source)).refresh(brisk());
        let upstream = builder.build().unwrap().upstream("orders:80").unwrap();
        let mut weights = Box::pin(Discover::new(upstream.clone(), Endpoint::weight));
        let mut seen = Vec::new();
        for weight in [1, 7] {
            handle.set_endpoints([Endpoint::new(([10, 0, 0, 1], 80).into()).with_weight(weight)]);
            let Ok(Change::Insert(key, weight)) = within("a change", weights.next()).await.unwrap() else {
                panic!("a removal");
            };
            seen.push((key.to_string(), weight));
        }
        assert_eq!(seen, [("10.0.0.1:80".to_owned(), 1), ("10.0.0.1:80".to_owned(), 7)]);
    }

    #[tokio::test]
    async fn feeds_towers_own_balancer() {
        let world = World::new(3).await;
        let log = world.log.clone();
        let discover = Discover::new(world.upstream.clone(), move |endpoint: &Endpoint| {
            PendingRequests::new(ToPod::new(endpoint, &log), CompleteOnResponse::default())
        });
        let mut balance = p2c::Balance::<_, Call>::new(Box::pin(discover));
        let pods = world.service.pods();
        for number in 0..200 {
            let response = balance.ready().await.unwrap().call(request(Method::GET, number)).await.unwrap();
            assert_eq!(response.status(), 200);
        }
        assert!(received(&pods).iter().all(|requests| *requests > 0), "{:?}", received(&pods));

        world.service.set_ready(0, false);
        world.sees(2).await;
        let before = pods[0].requests();
        for number in 200..250 {
            balance.ready().await.unwrap().call(request(Method::GET, number)).await.unwrap();
        }
        assert_eq!(pods[0].requests(), before);
    }
}

#[tokio::test]
async fn balance_is_clone_and_shares_one_service_for_each_endpoint() {
    let world = World::new(4).await;
    let made = Arc::new(AtomicUsize::new(0));
    let (counted, log) = (made.clone(), world.log.clone());
    let balance = Balance::new(world.upstream.clone(), move |endpoint| {
        counted.fetch_add(1, Ordering::Relaxed);
        ToPod::new(endpoint, &log)
    });
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..32 {
        let mut balance = balance.clone();
        tasks.spawn(async move {
            for number in 0..10 {
                // Ready at any time, without a queue: `&mut` is there because the trait has it.
                assert!(matches!(
                    balance.poll_ready(&mut Context::from_waker(std::task::Waker::noop())),
                    Poll::Ready(Ok(()))
                ));
                balance.call(request(Method::GET, 10 * task + number)).await.unwrap();
            }
        });
    }
    within("the tasks", tasks.join_all()).await;
    assert_eq!(made.load(Ordering::Relaxed), 4);
    let received = received(&world.service.pods());
    assert_eq!(received.iter().sum::<usize>(), 320);
    assert!(received.iter().all(|requests| *requests > 0), "{received:?}");
}

#[tokio::test]
async fn each_call_picks() {
    let world = World::with_policy(4, RoundRobin::new()).await;
    let mut balance = world.balance();
    for number in 0..12 {
        balance.call(request(Method::GET, number)).await.unwrap();
    }
    assert_eq!(received(&world.service.pods()), [3; 4], "over connections that are kept");
}

/// tonic loses 19 % here, for ever (contracts/peers.md).
#[tokio::test]
async fn one_refusing_endpoint_of_four_fails_no_request() {
    let world = World::new(4).await;
    world.service.kill(0).await;
    let dead = world.pod(0).addr();
    let results = send(&world.balance(), 0..2_000, 16).await;
    let log = world.log.lock().unwrap();
    let met = log.values().filter(|attempts| attempts.contains(&dead)).count();
    println!("one refusing endpoint of 4, still in DNS: 0 of 2000 requests failed, {met} met it");
    assert_eq!(failed(&results), [""; 0]);
    assert!(met > 0, "it was never tried");
}

/// tower's P2C sends it 19.8 % (contracts/peers.md).
#[tokio::test]
async fn an_endpoint_that_fails_fast_gets_less_than_one_percent() {
    let world = World::new(10).await;
    for pod in &world.service.pods()[1..] {
        pod.set_behavior(Behavior::Slow(Duration::from_millis(5)));
    }
    let failing = world.pod(0);
    failing.set_behavior(Behavior::Failing(StatusCode::INTERNAL_SERVER_ERROR));
    let balance = world.balance();
    send(&balance, 0..500, 32).await;
    let before = failing.requests();
    let results = send(&balance, 500..4_500, 32).await;
    let got = failing.requests() - before;
    println!("1 of 10 answers 500 at once: {before} of the first 500 requests, then {got} of 4000");
    assert!(got < 40, "{got} of 4000");
    let told = results.iter().flatten().filter(|response| response.status().is_server_error()).count();
    assert_eq!(told, got, "a 500 is a response and is not sent again");
}

#[tokio::test]
async fn a_retry_goes_to_an_endpoint_not_yet_tried() {
    let world = World::new(4).await;
    world.service.kill(0).await;
    world.service.kill(1).await;
    let results = send(&world.balance(), 0..300, 4).await;
    assert_eq!(failed(&results), [""; 0], "of three endpoints one is alive");
    let log = world.log.lock().unwrap();
    for (number, attempts) in &*log {
        let distinct: BTreeSet<_> = attempts.iter().collect();
        assert_eq!(distinct.len(), attempts.len(), "request {number}: {attempts:?}");
    }
    let longest = log.values().map(Vec::len).max();
    assert!(log.len() == 300 && longest > Some(1), "{longest:?}");
}

#[tokio::test]
async fn when_all_refuse_the_error_tells_how_many_were_tried_and_why() {
    for (replicas, tried, text) in [
        (1, 1, " failed at endpoint 127."),
        (2, 2, " failed at 2 endpoints, last at 127."),
        (5, 3, " failed at 3 endpoints, last at 127."),
    ] {
        let world = World::new(replicas).await;
        for index in 0..replicas {
            world.service.kill(index).await;
        }
        let error = send(&world.balance(), 0..1, 1).await.remove(0).unwrap_err();
        assert_eq!(error.endpoints_tried(), tried);
        let line = error.to_string();
        assert!(line.starts_with("request to http://orders") && line.contains(text), "{line}");
        assert!(line.ends_with("Connection refused (os error 111)"), "{line}");
        assert!(error.as_discovery().is_none());
        let source = error.source().and_then(|source| source.downcast_ref::<legacy::Error>());
        assert!(source.is_some_and(legacy::Error::is_connect), "{error:?}");
    }
}

/// The reserve of 100 and a fifth of the requests, however many fail; time stands still, so that nothing comes back.
#[tokio::test(start_paused = true)]
async fn in_an_outage_the_budget_bounds_what_is_sent_again() {
    let (source, handle) = ManualSource::new();
    handle.set(["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
    let builder = discovery_core::Resolver::builder().environment(discovery_core::Environment::empty());
    let resolver = builder.source(Arc::new(source)).build().unwrap();
    let upstream = resolver.resolve("orders:80").await.unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let balance = Balance::new(upstream, move |_| {
        let counted = counted.clone();
        tower::service_fn(move |_: Call| {
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Err::<Response<()>, _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)))
        })
    });
    let mut over = 0;
    for number in 0..1_000 {
        let error = balance.clone().oneshot(request(Method::GET, number)).await.unwrap_err();
        over += usize::from(error.is_over_budget());
        assert_eq!(error.to_string().contains("budget"), error.is_over_budget(), "{error}");
        assert_eq!(error.is_over_budget(), error.endpoints_tried() < 3, "{error}");
    }
    assert_eq!(sent.load(Ordering::Relaxed), 1_000 + 100 + 200);
    assert!(over >= 800, "{over}");
}

#[tokio::test]
async fn an_empty_set_fails_after_the_patience_and_not_before() {
    let world = World::new(0).await;
    let patience = Duration::from_millis(150);
    let begun = Instant::now();
    let error = send_with(world.balance().with_endpoint_timeout(patience)).await.unwrap_err();
    assert!(begun.elapsed() >= patience, "{:?}", begun.elapsed());
    assert_eq!(error.endpoints_tried(), 0);
    assert!(error.as_discovery().is_some_and(|error| error.is_not_found()), "{error:?}: as CoreDNS has it");
}

async fn send_with(balance: Balance<ToPod>) -> Result<Response<()>, Error> {
    within("an answer", balance.oneshot(request(Method::GET, 0))).await
}

#[tokio::test]
async fn without_patience_an_empty_set_fails_at_once() {
    let world = World::new(0).await;
    let balance = world.balance().with_endpoint_timeout(Duration::ZERO);
    let error = balance.oneshot(request(Method::GET, 0)).now_or_never().expect("at once").unwrap_err();
    assert!(error.as_discovery().is_some_and(|error| error.is_not_found()), "{error:?}: as CoreDNS has it");
}

/// The first answer is on its way: that is not the same as no endpoint.
#[tokio::test]
async fn without_patience_the_first_call_waits_for_the_first_answer() {
    let world = World::new(1).await;
    let resolver = in_pod(world.cluster.dns(), "shop").build().unwrap();
    let upstream = resolver.upstream(world.upstream.target()).unwrap();
    let log = world.log.clone();
    let balance =
        Balance::new(upstream, move |endpoint| ToPod::new(endpoint, &log)).with_endpoint_timeout(Duration::ZERO);
    send_with(balance).await.unwrap();
}

#[tokio::test]
async fn a_call_waits_for_an_endpoint_within_its_patience() {
    let world = World::new(0).await;
    let mut call = pin!(send_with(world.balance().with_endpoint_timeout(PATIENCE)));
    assert!(call.as_mut().now_or_never().is_none());
    world.service.add_pod().await.unwrap();
    assert_eq!(call.await.unwrap().status(), 200);
}

/// It hangs first, so that requests are known to be under way to it when it goes.
#[tokio::test]
async fn a_pod_killed_without_notice_fails_no_idempotent_request() {
    for http2 in [false, true] {
        let world = World::new(4).await;
        let log = world.log.clone();
        let balance = Balance::new(world.upstream.clone(), move |endpoint| ToPod::over(http2, endpoint, &log));
        let load = Load::start(&balance, 16);
        load.more(200).await;
        let pod = world.pod(0);
        pod.set_behavior(Behavior::Hanging);
        within("requests under way", pod.when(|seen| seen.in_flight >= 2)).await;
        pod.kill().await;
        load.more(1_000).await;
        let (sent, errors) = load.stop().await;
        let cut = pod.counters().requests - pod.counters().served;
        println!("a pod killed without notice, HTTP/2 {http2}: {cut} of {sent} cut off, {} failed", errors.len());
        assert!(cut >= 2, "{cut}");
        assert!(errors.is_empty(), "{errors:?}");
    }
}

#[tokio::test]
async fn a_request_that_may_not_be_sent_twice_is_not() {
    for method in [Method::POST, Method::PATCH] {
        let world = World::with_policy(3, RoundRobin::new()).await;
        let pods = world.service.pods();
        pods.iter().for_each(|pod| pod.set_behavior(Behavior::Hanging));
        let mut call = pin!(world.balance().oneshot(request(method.clone(), 0)));
        let cut = async {
            let met = pods.iter().map(|pod| Box::pin(pod.when(|seen| seen.in_flight == 1)));
            let (_, met, _) = within("the request", futures_util::future::select_all(met)).await;
            pods[met].kill().await;
        };
        let (result, ()) = futures_util::join!(call.as_mut(), cut);
        let error = result.unwrap_err();
        assert_eq!((error.endpoints_tried(), received(&pods).iter().sum::<usize>()), (1, 1), "{method}: {error:?}");
    }
}

/// No connection, no request: then even a POST goes elsewhere; unless the application forbids it.
#[tokio::test]
async fn a_connection_that_does_not_come_about_is_safe_for_any_method() {
    let world = World::with_policy(2, RoundRobin::new()).await;
    world.service.kill(0).await;
    let balance = world.balance();
    for number in 0..4 {
        balance.clone().oneshot(request(Method::POST, number)).await.unwrap();
    }
    let once = balance.with_retry_policy(NoRetry::new());
    let mut refused = 0;
    for number in 4..8 {
        refused += usize::from(once.clone().oneshot(request(Method::POST, number)).await.is_err());
    }
    assert_eq!(refused, 2, "every second one, and not sent again");
}

#[tokio::test]
async fn dropping_a_call_takes_it_out_of_flight() {
    let world = World::new(1).await;
    let pod = world.pod(0);
    pod.set_behavior(Behavior::Hanging);
    let in_flight = || world.upstream.pick().unwrap().loaded_endpoint().load().in_flight() - 1;
    assert_eq!(in_flight(), 0);
    let call = tokio::spawn(world.balance().oneshot(request(Method::GET, 0)));
    within("the request", pod.when(|seen| seen.in_flight == 1)).await;
    assert_eq!(in_flight(), 1);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(in_flight(), 0);
    let now = Instant::now();
    assert_eq!(world.upstream.pick().unwrap().loaded_endpoint().load().penalty(now), 0, "nothing is learned from it");
}

/// A new pod is in use before the old one leaves, as with `maxUnavailable: 0`. The old one stops at once.
#[tokio::test]
async fn a_rolling_restart_under_load_fails_no_request() {
    let world = World::new(4).await;
    let load = Load::start(&world.balance(), 8);
    let old = world.service.pods();
    for pod in &old {
        load.more(100).await;
        let new = world.service.add_pod().await.unwrap();
        let has = |set: &EndpointSet, pod: &FakePod| set.iter().any(|endpoint| endpoint.addr() == pod.addr());
        until(&world.upstream, "the new pod", |set| has(set, &new)).await;
        assert!(world.service.remove_pod(pod.name()).await);
    }
    world.sees(4).await;
    load.more(200).await;
    let (sent, errors) = load.stop().await;
    println!("rolling restart of 4 pods: {sent} requests, {} failed", errors.len());
    assert!(errors.is_empty(), "{errors:?}");
    let new = world.service.pods();
    assert!(new.iter().all(|pod| pod.requests() > 0 && !old.iter().any(|gone| gone.addr() == pod.addr())));
}
