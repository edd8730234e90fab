//! `Balance` passes over endpoints whose service is not ready.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::{Ready, ready},
    net::SocketAddr,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
};

use discovery_core::{Environment, Resolver, Upstream, endpoint::Endpoint, policy::RoundRobin};
use discovery_testing::ManualSource;
use discovery_tower::{Balance, HttpRetry};
use futures_util::FutureExt;
use http::{Request, Response};
use tower::{Service, ServiceExt};

/// What the service of one pod does. Clones share it.
#[derive(Default)]
struct State {
    /// How often the service has to be polled until it is ready; `None`: until the test says so.
    polls_left: Option<usize>,
    wakers: Vec<Waker>,
    polls: usize,
    calls: usize,
}

#[derive(Clone)]
struct Slow(Arc<Mutex<State>>);

impl Slow {
    fn ready() -> Self {
        Self(Arc::new(Mutex::new(State { polls_left: Some(0), ..State::default() })))
    }

    fn ready_after(polls: usize) -> Self {
        Self(Arc::new(Mutex::new(State { polls_left: Some(polls), ..State::default() })))
    }

    fn never() -> Self {
        Self(Arc::default())
    }

    fn become_ready(&self) {
        let mut state = self.0.lock().unwrap();
        state.polls_left = Some(0);
        state.wakers.drain(..).for_each(Waker::wake);
    }

    fn calls(&self) -> usize {
        self.0.lock().unwrap().calls
    }
}

impl Service<Request<()>> for Slow {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        let mut state = self.0.lock().unwrap();
        state.polls += 1;
        match state.polls_left {
            Some(0) => return Poll::Ready(Ok(())),
            Some(left) => {
                state.polls_left = Some(left - 1);
                // A connection that takes a few turns of its own.
                context.waker().wake_by_ref();
            }
            None => state.wakers.push(context.waker().clone()),
        }
        Poll::Pending
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        self.0.lock().unwrap().calls += 1;
        ready(Ok(Response::new(())))
    }
}

async fn upstream(pods: u8) -> Upstream {
    let (source, handle) = ManualSource::new();
    handle.set_endpoints((1..=pods).map(|last| Endpoint::new(([10, 0, 0, last], 80).into())));
    let builder = Resolver::builder().environment(Environment::empty()).policy(RoundRobin::new());
    let resolver = builder.source(Arc::new(source)).build().unwrap();
    resolver.resolve("http://orders:80").await.unwrap()
}

fn balance(upstream: Upstream, services: &[Slow]) -> Balance<Slow, HttpRetry<discovery_tower::Head>> {
    let addr = |at: usize| SocketAddr::from(([10, 0, 0, at as u8 + 1], 80));
    let services: BTreeMap<_, _> =
        services.iter().cloned().enumerate().map(|(at, service)| (addr(at), service)).collect();
    Balance::new(upstream, move |endpoint| services[&endpoint.addr()].clone())
        .with_retry_policy(HttpRetry::new().head_only())
}

/// Round robin would send every second call to the pod that is not ready.
#[tokio::test]
async fn calls_do_not_wait_for_an_endpoint_that_is_not_ready() {
    let services = [Slow::never(), Slow::ready()];
    let balance = balance(upstream(2).await, &services);
    for _ in 0..20 {
        balance.clone().oneshot(Request::new(())).now_or_never().expect("at once").unwrap();
    }
    assert_eq!(services[1].calls(), 20);
}

#[tokio::test]
async fn a_call_waits_when_no_endpoint_is_ready_and_takes_the_first() {
    let services = [Slow::never(), Slow::never(), Slow::never()];
    let balance = balance(upstream(3).await, &services);
    let mut call = Box::pin(balance.oneshot(Request::new(())));
    assert!(futures_util::poll!(&mut call).is_pending());
    services[1].become_ready();
    tests::within("a call", call).await.unwrap();
    assert_eq!(services.map(|service| service.calls()), [0, 1, 0]);
}

/// Some services make progress only while they are polled, such as one that connects in `poll_ready`.
#[tokio::test]
async fn an_endpoint_that_was_passed_over_is_polled_until_it_is_ready() {
    let services = [Slow::ready_after(100), Slow::ready()];
    let balance = balance(upstream(2).await, &services);
    while services[0].calls() == 0 {
        tests::within("a call", balance.clone().oneshot(Request::new(()))).await.unwrap();
        tokio::task::yield_now().await;
    }
    let calls = services[1].calls();
    assert!(calls <= 100, "{calls} calls went elsewhere meanwhile");
}

/// Waiting for readiness takes nothing from the endpoints that were passed over.
#[tokio::test]
async fn passing_over_leaves_nothing_in_flight() {
    let services = [Slow::never(), Slow::ready()];
    let upstream = upstream(2).await;
    let balance = balance(upstream.clone(), &services);
    for _ in 0..4 {
        balance.clone().oneshot(Request::new(())).await.unwrap();
    }
    for _ in 0..2 {
        let pick = upstream.pick().unwrap();
        assert_eq!(pick.loaded_endpoint().load().in_flight(), 1, "only this pick");
    }
}
