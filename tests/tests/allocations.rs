//! The request path allocates nothing. A program of its own, because its allocator counts.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use discovery_core::{
    EndpointMap, Environment, Resolver, Upstream,
    policy::{LeastExpectedWait, LeastRequest, Outcome, Policy, Random, RoundRobin, Tried},
};
use discovery_testing::ManualSource;

async fn upstream(policy: impl Policy) -> Upstream {
    let (source, handle) = ManualSource::new();
    let addrs: Vec<String> = (1..=100).map(|n| format!("10.0.0.{n}:80")).collect();
    handle.set(addrs.iter().map(String::as_str));
    let builder = Resolver::builder().environment(Environment::empty()).source(Arc::new(source));
    let upstream = builder.policy(policy).build().unwrap().resolve("orders:80").await.unwrap();
    assert_eq!(upstream.endpoints().len(), 100);
    upstream
}

/// Allocations of a thousand runs, after one run that may set up thread-local state.
fn allocations(mut run: impl FnMut()) -> u64 {
    run();
    allocation_counter::measure(|| (0..1000).for_each(|_| run())).count_total
}

#[tokio::test]
async fn reading_the_endpoints_allocates_nothing() {
    for orders in
        [upstream(RoundRobin::new()).await, upstream(Random::new()).await, upstream(LeastRequest::new()).await]
    {
        let read = || {
            let endpoints = orders.endpoints();
            black_box(endpoints.iter().map(|endpoint| usize::from(endpoint.port())).sum::<usize>());
            black_box((endpoints.is_stale(), endpoints.version(), endpoints.to_arc()));
        };
        assert_eq!(allocations(read), 0);
    }
}

/// On threads without a runtime, several at once, each with its own first run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_threads_allocate_nothing() {
    let orders = upstream(LeastRequest::new()).await;
    let now = Instant::now();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let orders = orders.clone();
            std::thread::spawn(move || {
                allocations(|| orders.pick().unwrap().complete(Outcome::Success, now))
                    + allocations(|| drop(black_box(orders.endpoints())))
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), 0);
    }
}

/// A pick clones the value of the endpoint, which is an `Arc` here.
#[tokio::test]
async fn a_pick_from_an_endpoint_map_allocates_nothing() {
    let orders = upstream(LeastRequest::new()).await;
    let made = Arc::new(AtomicUsize::new(0));
    let counted = made.clone();
    let names: EndpointMap<Arc<str>> = EndpointMap::new(orders, move |endpoint| {
        counted.fetch_add(1, Ordering::Relaxed);
        endpoint.to_string().into()
    });
    // The map creates its values in the background.
    while made.load(Ordering::Relaxed) < 100 {
        tokio::task::yield_now().await;
    }
    let now = Instant::now();
    let pick = || {
        let (pick, name) = names.pick(&Tried::new()).unwrap();
        black_box(name);
        pick.complete(Outcome::Success, now);
    };
    assert_eq!(allocations(pick), 0);
}

#[tokio::test]
async fn a_pick_and_its_completion_allocate_nothing() {
    for (name, orders) in [
        ("round robin", upstream(RoundRobin::new()).await),
        ("random", upstream(Random::new()).await),
        ("least request", upstream(LeastRequest::new()).await),
        ("least expected wait", upstream(LeastExpectedWait::new()).await),
    ] {
        let now = Instant::now();
        assert_eq!(allocations(|| orders.pick().unwrap().complete(Outcome::Success, now)), 0, "{name}");
        assert_eq!(allocations(|| orders.pick().unwrap().complete(Outcome::Failure, now)), 0, "{name}, failing");
        assert_eq!(allocations(|| drop(orders.pick_untried(&Tried::new()).unwrap())), 0, "{name}, cancelled");
    }
}

/// Shows that the counter counts.
#[test]
fn a_vector_is_an_allocation() {
    assert_eq!(allocations(|| drop(black_box(vec![1_u8]))), 1000);
}
