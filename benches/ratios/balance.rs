//! A balanced call: our `Balance`, which is cloned, beside tower's in a `Buffer`.

use std::{
    convert::Infallible,
    fmt,
    future::{Ready, ready},
    time::{Duration, Instant},
};

use discovery_core::{Resolver, Upstream, policy::Outcome};
use discovery_tower::{Balance, RetryPolicy};
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
    table::{Line, Row, Table, Unit},
    world,
};

const PODS: usize = 10;
/// tower's needed 630 ns at best when the line was drawn.
const LINE: Line = Line::Cost { most: 150.0, ratio: 150.0 / 630.0 };
const PEER: &str = "tower p2c in Buffer";

pub fn run(table: &mut Table) {
    let here = world::here();
    let (orders, judged, default) = ours(&here);
    let (bare, http) = (here.block_on(async { buffered::<()>() }), here.block_on(async { buffered::<Request<()>>() }));
    let one = {
        let (mut judged, mut default, mut bare, mut http) = (judged, default, bare, http);
        compare([
            side_async(&here, async || call(&mut judged, ()).await),
            side_async(&here, async || call(&mut bare, ()).await),
            side_async(&here, async || call(&mut default, Request::new(())).await),
            side_async(&here, async || call(&mut http, Request::new(())).await),
        ])
    };
    drop(orders);

    let pool = world::elsewhere(2);
    let (_orders, judged, default) = ours(&pool);
    let (bare, http) = pool.block_on(async { (buffered::<()>(), buffered::<Request<()>>()) });
    let two = compare([
        tasks(&pool, 2, judged.clone(), || ()),
        tasks(&pool, 2, bare.clone(), || ()),
        tasks(&pool, 2, default, || Request::new(())),
        tasks(&pool, 2, http, || Request::new(())),
        tasks(&pool, 1, judged, || ()),
        tasks(&pool, 1, bare, || ()),
    ])
    // Allocations on the workers are not this thread's.
    .map(|cost| Cost { allocs: None, ..cost });

    table.add(Row::costs("balance: 1 thread, judge that says yes", one[0], PEER, one[1], LINE));
    table.add(Row::costs("balance: 1 thread, HttpRetry over http types", one[2], PEER, one[3], LINE));
    table.add(Row::costs("balance: 2 threads, wall per call", two[0], PEER, two[1], LINE));
    table.add(Row::costs("balance: 2 threads, HttpRetry over http types", two[2], PEER, two[3], LINE));
    let scaling = |one: Cost, two: Cost| one.ns / two.ns;
    let (ours, theirs) = (scaling(two[4], two[0]), scaling(two[5], two[1]));
    table.add(Row::plain(
        "balance: 2 tasks / 1, calls per second",
        Unit::Times,
        ours,
        Some((PEER, theirs)),
        Line::None,
    ));
}

/// Our balancers over trivial services, which are always ready.
#[allow(clippy::type_complexity, reason = "two service types, named once")]
fn ours(runtime: &Runtime) -> (Upstream, impl Call<()>, impl Call<Request<()>>) {
    let orders = runtime.block_on(world::upstream(Resolver::builder(), world::endpoints(PODS)));
    let _guard = runtime.enter();
    let judged = Balance::new(orders.clone(), |_| service_fn(|()| Answer::answer(()))).with_retry_policy(Fine);
    let default = Balance::new(orders.clone(), |_| service_fn(|request: Request<()>| request.answer()));
    (orders, judged, default)
}

/// tower's balancer as its users share it between tasks. Spawns the worker.
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

/// So many tasks, each with a clone; the time is wall time for one call of all tasks together.
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

/// Every answer is fine, and no copy is kept.
#[derive(Clone, Copy, Debug)]
struct Fine;

impl<Err> RetryPolicy<(), (), Err> for Fine {
    fn classify(&self, _: &Result<(), Err>) -> Outcome {
        Outcome::Success
    }

    fn clone_request(&self, (): &()) -> Option<()> {
        None
    }
}
