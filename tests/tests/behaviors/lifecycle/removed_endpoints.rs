//! Endpoints that have left the set and are silent, for `Balance` and for clients of one's own.

use std::{
    future::pending,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use discovery_core::{Environment, Resolver, Upstream, endpoint::Endpoint};
use discovery_testing::{ManualHandle, ManualSource};
use discovery_tower::{Balance, NoRetry};
use futures_util::FutureExt;
use http::{Method, Request, Response};
use http_body_util::Empty;
use tests::{until, within};
use tokio::time::{Instant, sleep};
use tower::{ServiceExt, service_fn};

const SECOND: Duration = Duration::from_secs(1);

/// Pod 1 alone, which a test replaces with pod 2.
async fn orders() -> (Upstream, ManualHandle) {
    let (source, handle) = ManualSource::new();
    handle.set_endpoints([Endpoint::new(pod(1))]);
    let resolver = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).build().unwrap();
    (resolver.resolve("http://orders").await.unwrap(), handle)
}

fn pod(last: u8) -> SocketAddr {
    ([10, 0, 0, last], 80).into()
}

async fn replace(orders: &Upstream, handle: &ManualHandle) {
    handle.set_endpoints([Endpoint::new(pod(2))]);
    until(orders, "pod 2", |set| set.iter().all(|endpoint| endpoint.addr() == pod(2))).await;
}

/// A service for `Balance`: pod 1 never answers, pod 2 does at once.
async fn answer(silent: bool, calls: Arc<AtomicUsize>) -> io::Result<Response<Empty<Bytes>>> {
    calls.fetch_add(1, Relaxed);
    if silent {
        pending::<()>().await;
    }
    Ok(Response::new(Empty::new()))
}

fn request(method: Method) -> Request<()> {
    Request::builder().method(method).uri("/").body(()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn idempotent_calls_of_balance_leave_a_silent_endpoint_that_was_removed() {
    let (orders, handle) = orders().await;
    let calls = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let counted = calls.clone();
    let balance = Balance::new(orders.clone(), move |endpoint: &Endpoint| {
        let silent = endpoint.addr() == pod(1);
        let calls = counted[usize::from(!silent)].clone();
        service_fn(move |_: Request<()>| answer(silent, calls.clone()))
    });
    let once = balance.clone().with_retry_policy(NoRetry::new());
    let mut get = tokio::spawn(balance.clone().oneshot(request(Method::GET)));
    let mut post = tokio::spawn(balance.clone().oneshot(request(Method::POST)));
    let mut unrepeatable = tokio::spawn(once.oneshot(request(Method::GET)));
    sleep(60 * SECOND).await;
    assert!((&mut get).now_or_never().is_none(), "the endpoint is in the set: its requests wait");
    let failing = orders.pick().unwrap();
    replace(&orders, &handle).await;
    let removed = Instant::now();
    assert_eq!(within("an answer", get).await.unwrap().unwrap().status(), 200);
    assert!((SECOND..2 * SECOND).contains(&removed.elapsed()), "{:?}", removed.elapsed());
    let penalty = failing.loaded_endpoint().load().penalty(Instant::now().into_std());
    assert_eq!(penalty, 1, "it counts as a failure of the silent endpoint");
    sleep(60 * SECOND).await;
    assert!((&mut post).now_or_never().is_none(), "doing it twice may do harm");
    assert!((&mut unrepeatable).now_or_never().is_none(), "the policy sends each request once");
    assert_eq!(calls.map(|calls| calls.load(Relaxed)), [3, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_another_endpoint_to_appear() {
    let (orders, handle) = orders().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let balance = Balance::new(orders.clone(), move |endpoint: &Endpoint| {
        let (silent, calls) = (endpoint.addr() == pod(1), calls.clone());
        service_fn(move |_: Request<()>| answer(silent, calls.clone()))
    });
    let mut get = tokio::spawn(balance.with_removed_silence(SECOND / 4).oneshot(request(Method::GET)));
    sleep(SECOND).await;
    handle.empty();
    sleep(60 * SECOND).await;
    assert!(orders.endpoints().is_empty());
    assert!((&mut get).now_or_never().is_none(), "there is no other endpoint");
    replace(&orders, &handle).await;
    assert_eq!(within("an answer", get).await.unwrap().unwrap().status(), 200);
}

/// A pod that shuts down gracefully leaves the set and finishes its requests.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_answers_other_requests_is_not_silent() {
    let (orders, handle) = orders().await;
    let pick = orders.pick().unwrap();
    let mut silent = Box::pin(orders.removed_and_silent(pick.loaded_endpoint(), SECOND));
    replace(&orders, &handle).await;
    for _ in 0..40 {
        let quarter = sleep(SECOND / 4);
        tokio::select! {
            () = &mut silent => panic!("the endpoint answers"),
            () = quarter => pick.answered(),
        }
    }
    let last_answer = Instant::now();
    silent.await;
    assert!((SECOND..=2 * SECOND).contains(&last_answer.elapsed()), "{:?}", last_answer.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_comes_back_has_not_left() {
    let (orders, handle) = orders().await;
    let pick = orders.pick().unwrap();
    let mut silent = Box::pin(orders.removed_and_silent(pick.loaded_endpoint(), SECOND));
    replace(&orders, &handle).await;
    assert!((&mut silent).now_or_never().is_none());
    handle.set_endpoints([pod(1), pod(2)].map(Endpoint::new));
    until(&orders, "both pods", |set| set.len() == 2).await;
    let minute = sleep(60 * SECOND);
    tokio::select! {
        () = &mut silent => panic!("the endpoint is in the set"),
        () = minute => {}
    }
    replace(&orders, &handle).await;
    within("the silence", silent).await;
}
