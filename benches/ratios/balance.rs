//! A balanced call: clones of our `Balance`, beside tower's balancer in a `Buffer`.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    time::{Duration, Instant},
};

use discovery_core::{Resolver, Upstream, policy::Outcome};
use discovery_tower::{Balance, HttpRetry, InFlight, RetryPolicy};
use http::{Request, Response};
use tokio::runtime::Runtime;
use tower::{
    BoxError, Service, ServiceExt,
    balance::p2c,
    buffer::Buffer,
    discover::ServiceList,
    load::{CompleteOnResponse, PendingRequests},
    service_fn,
};

use crate::{
    measure::{Cost, Side, compare, side_async, side_timed},
    table::{Limit, Row, Table, Unit},
    world,
};

const PODS: usize = 10;
/// tower's balancer took 630 ns at best when the limit was set.
const LIMIT: Limit = Limit::Cost { most: 150.0, ratio: 150.0 / 630.0 };
const PEER: &str = "tower p2c in Buffer";

pub fn run(table: &mut Table) {
    let here = world::here();
    let (orders, our_bare, our_http) = ours(&here);
    let (their_bare, their_http) =
        (here.block_on(async { buffered::<()>() }), here.block_on(async { buffered::<Request<()>>() }));
    let one = {
        let (mut our_bare, mut our_http, mut their_bare, mut their_http) = (our_bare, our_http, their_bare, their_http);
        compare([
            side_async(&here, async || call(&mut our_bare, ()).await),
            side_async(&here, async || call(&mut their_bare, ()).await),
            side_async(&here, async || call(&mut our_http, Request::new(())).await),
            side_async(&here, async || call(&mut their_http, Request::new(())).await),
        ])
    };
    drop(orders);

    let pool = world::elsewhere(2);
    let (_orders, our_bare, our_http) = ours(&pool);
    let (their_bare, their_http) = pool.block_on(async { (buffered::<()>(), buffered::<Request<()>>()) });
    let two = compare([
        tasks(&pool, 2, our_bare.clone(), || ()),
        tasks(&pool, 2, their_bare.clone(), || ()),
        tasks(&pool, 2, our_http, || Request::new(())),
        tasks(&pool, 2, their_http, || Request::new(())),
        tasks(&pool, 1, our_bare, || ()),
        tasks(&pool, 1, their_bare, || ()),
    ])
    // The workers allocate on other threads, which are not counted.
    .map(|cost| Cost { allocs: None, ..cost });

    table.add(Row::costs("balance: 1 thread, policy that accepts everything", one[0], PEER, one[1], LIMIT));
    table.add(Row::costs("balance: 1 thread, HttpRetry over http types", one[2], PEER, one[3], LIMIT));
    table.add(Row::costs("balance: 2 threads, wall per call", two[0], PEER, two[1], LIMIT));
    table.add(Row::costs("balance: 2 threads, HttpRetry over http types", two[2], PEER, two[3], LIMIT));
    let scaling = |one: Cost, two: Cost| one.ns / two.ns;
    let (ours, theirs) = (scaling(two[4], two[0]), scaling(two[5], two[1]));
    table.add(Row::plain(
        "balance: 2 tasks / 1, calls per second",
        Unit::Times,
        ours,
        Some((PEER, theirs)),
        Limit::None,
    ));
}

/// Our balancers over trivial services that are always ready.
#[allow(clippy::type_complexity, reason = "two service types that are written only here")]
fn ours(runtime: &Runtime) -> (Upstream, impl Call<()>, impl Call<Request<()>>) {
    let orders = runtime.block_on(world::upstream(Resolver::builder(), world::endpoints(PODS)));
    let _guard = runtime.enter();
    let bare = Balance::new(orders.clone(), |_| service_fn(|()| Answer::answer(()))).with_retry_policy(AcceptAll);
    // The answers have no body.
    let default = Balance::new(orders.clone(), |_| service_fn(|request: Request<()>| request.answer()))
        .with_retry_policy(HttpRetry::new().head_only());
    (orders, bare, default)
}

/// tower's balancer, shared between tasks by a `Buffer` as its users do it. Spawns the buffer's worker.
fn buffered<R: Answer>() -> impl Call<R> {
    let service = |_| PendingRequests::new(service_fn(R::answer), CompleteOnResponse::default());
    let balance = p2c::Balance::new(ServiceList::new::<R>((0..PODS).map(service)));
    Buffer::new(balance, 1_024)
}

/// A request with a trivial answer.
trait Answer: Send + Sized + 'static {
    type Response: Send + 'static;

    fn answer(self) -> Ready<Result<Self::Response, Infallible>>;
}

impl Answer for () {
    type Response = ();

    fn answer(self) -> Ready<Result<(), Infallible>> {
        ready(Ok(()))
    }
}

impl Answer for Request<()> {
    type Response = Response<()>;

    fn answer(self) -> Ready<Result<Response<()>, Infallible>> {
        ready(Ok(Response::new(())))
    }
}

trait Call<R>: Service<R, Error: Into<BoxError> + fmt::Debug, Future: Send> + Clone + Send + 'static {}

impl<R, S: Service<R, Error: Into<BoxError> + fmt::Debug, Future: Send> + Clone + Send + 'static> Call<R> for S {}

async fn call<R>(service: &mut impl Call<R>, request: R) {
    let ready = service.ready().await.expect("ready");
    ready.call(request).await.expect("a response");
}

/// A contestant of `count` tasks, each with a clone. The cost is the wall time divided by the calls of all tasks
/// together.
fn tasks<'a, R: Send + 'static>(
    runtime: &'a Runtime,
    count: u64,
    service: impl Call<R>,
    request: fn() -> R,
) -> Side<'a> {
    side_timed(move |n| {
        runtime.block_on(async {
            let start = Instant::now();
            let running: Vec<_> = (0..count).map(|_| tokio::spawn(many(service.clone(), n / count, request))).collect();
            for task in running {
                task.await.expect("a task panicked");
            }
            start.elapsed().max(Duration::from_nanos(1))
        })
    })
}

async fn many<R>(mut service: impl Call<R>, n: u64, request: fn() -> R) {
    for _ in 0..n.max(1) {
        call(&mut service, request()).await;
    }
}

/// A policy that accepts every answer and keeps no copy of the request.
#[derive(Clone, Copy, Debug)]
struct AcceptAll;

impl<Err> RetryPolicy<(), (), Err> for AcceptAll {
    type Response = ();

    fn finish(&self, (): (), _: InFlight) {}

    fn classify(&self, _: &Result<(), Err>) -> Outcome {
        Outcome::Success
    }

    fn clone_request(&self, (): &()) -> Option<()> {
        None
    }
}
