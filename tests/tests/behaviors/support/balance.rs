//! `discovery_tower::Balance` over hyper clients, and the pods of Service `orders`.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use discovery_core::{
    Upstream,
    endpoint::Endpoint,
    policy::{LeastRequest, Policy},
};
use discovery_testing::{FakeCluster, FakeDns, FakePod, FakeService};
use discovery_tower::{Balance, Error, InFlightBody};
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
pub(crate) use tests::within_load as within;
use tests::{brisk, in_pod, until};
use tower::{Service, ServiceExt};

/// The body of a response that has been read already.
pub(crate) type NoBody = Empty<bytes::Bytes>;

/// What a call returns.
pub(crate) type Answer = Result<Response<InFlightBody<NoBody>>, Error>;

pub(crate) type Call = Request<Full<bytes::Bytes>>;

/// The endpoints that each request went to, by its number.
pub(crate) type CallLog = Arc<Mutex<BTreeMap<usize, Vec<SocketAddr>>>>;

/// One pod behind a hyper client of its own, as an application would write it.
#[derive(Clone)]
pub(crate) struct ToPod {
    client: legacy::Client<HttpConnector, Full<bytes::Bytes>>,
    pod: SocketAddr,
    log: CallLog,
}

impl ToPod {
    pub(crate) fn new(endpoint: &Endpoint, log: &CallLog) -> Self {
        Self::over(false, endpoint, log)
    }

    pub(crate) fn over(http2: bool, endpoint: &Endpoint, log: &CallLog) -> Self {
        let client = legacy::Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
        Self { client, pod: endpoint.addr(), log: log.clone() }
    }
}

impl Service<Call> for ToPod {
    type Response = Response<NoBody>;
    type Error = legacy::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<NoBody>, legacy::Error>> + Send>>;

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
            // Reading to the end lets the connection serve the next request.
            let _ = body.collect().await;
            Ok(Response::from_parts(parts, NoBody::new()))
        })
    }
}

#[derive(Clone)]
struct Number(usize);

pub(crate) fn request(method: Method, number: usize) -> Call {
    let builder = Request::builder().method(method).uri("/").header("host", "orders.shop").extension(Number(number));
    builder.body(Full::default()).unwrap()
}

pub(crate) struct BalanceWorld {
    pub(crate) service: FakeService,
    pub(crate) upstream: Upstream,
    pub(crate) log: CallLog,
    pub(crate) cluster: FakeCluster,
}

impl BalanceWorld {
    pub(crate) async fn new(replicas: usize) -> Self {
        Self::with_policy(replicas, LeastRequest::new()).await
    }

    /// A cluster whose DNS server has TTL 0, so that the upstream notices changes at once.
    pub(crate) async fn with_policy(replicas: usize, policy: impl Policy) -> Self {
        let cluster = FakeCluster::with_dns(FakeDns::builder().ttl(0).start().await.unwrap());
        let service = cluster.service("shop", "orders").replicas(replicas).start().await.unwrap();
        let resolver = in_pod(cluster.dns(), "shop").refresh(brisk()).policy(policy).build().unwrap();
        let upstream = resolver.upstream(format!("http://orders:{}", service.port()).as_str()).unwrap();
        let known = within("an answer", upstream.first_answer()).await;
        assert_eq!(known.is_ok(), replicas > 0);
        Self { service, upstream, log: CallLog::default(), cluster }
    }

    pub(crate) fn balance(&self) -> Balance<ToPod> {
        let log = self.log.clone();
        Balance::new(self.upstream.clone(), move |endpoint| ToPod::new(endpoint, &log))
    }

    pub(crate) fn pod(&self, index: usize) -> FakePod {
        self.service.pods().swap_remove(index)
    }

    pub(crate) async fn until_pods(&self, pods: usize) {
        until(&self.upstream, "the pods of the cluster", |set| set.len() == pods).await;
    }
}

/// Sends these GET requests, `at_a_time` at once; returns the results in the order of their numbers.
pub(crate) async fn send(balance: &Balance<ToPod>, numbers: std::ops::Range<usize>, at_a_time: usize) -> Vec<Answer> {
    let calls = numbers.map(|number| balance.clone().oneshot(request(Method::GET, number)));
    within("all answers", stream::iter(calls).buffered(at_a_time).collect()).await
}

pub(crate) fn failed(results: &[Answer]) -> Vec<String> {
    results.iter().filter_map(|result| result.as_ref().err().map(|error| format!("{error:?}"))).collect()
}

/// The number of requests that each pod has received.
pub(crate) fn received(pods: &[FakePod]) -> Vec<usize> {
    pods.iter().map(FakePod::requests).collect()
}

/// Sends requests until it is stopped.
pub(crate) struct Traffic {
    stop: Arc<AtomicBool>,
    workers: tokio::task::JoinSet<(usize, Vec<Error>)>,
    sent: Arc<AtomicUsize>,
}

impl Traffic {
    pub(crate) fn start(balance: &Balance<ToPod>, workers: usize) -> Self {
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

    /// Waits until this many more requests were sent.
    pub(crate) async fn more(&self, requests: usize) {
        let until = self.sent.load(Ordering::Relaxed) + requests;
        let sent = async {
            while self.sent.load(Ordering::Relaxed) < until {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        within("more requests", sent).await;
    }

    /// Returns the number of requests and the errors.
    pub(crate) async fn stop(self) -> (usize, Vec<Error>) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = within("the workers", self.workers.join_all()).await;
        let (done, errors): (Vec<_>, Vec<_>) = ended.into_iter().unzip();
        (done.into_iter().sum(), errors.into_iter().flatten().collect())
    }
}
