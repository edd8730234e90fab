//! Waiting for events. No test waits by sleeping for a guessed time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use discovery_core::{Explanation, Upstream, endpoint::EndpointSet};

/// How long a test waits for an event that has to happen. It bounds a hang; no test measures time with it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The same bound for thousands of requests, which take a while on a busy machine.
pub const LOAD_PATIENCE: Duration = Duration::from_secs(120);

/// Awaits `work`, for at most [`PATIENCE`].
///
/// # Panics
/// When `work` takes longer.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    bounded(PATIENCE, what, work).await
}

/// Awaits `work`, for at most [`LOAD_PATIENCE`].
///
/// # Panics
/// When `work` takes longer.
pub async fn within_load<T>(what: &str, work: impl Future<Output = T>) -> T {
    bounded(LOAD_PATIENCE, what, work).await
}

async fn bounded<T>(limit: Duration, what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| panic!("{what}: not within {limit:?}"))
}

/// Waits for a published set that satisfies `wanted`.
///
/// # Panics
/// When no such set is published within [`PATIENCE`].
pub async fn until(upstream: &Upstream, what: &str, wanted: impl Fn(&EndpointSet) -> bool) {
    let reached = async {
        let mut watch = upstream.watch();
        while !wanted(&*watch.next().await) {}
    };
    if tokio::time::timeout(PATIENCE, reached).await.is_err() {
        panic!("{what}: not within {PATIENCE:?}; {}", upstream.explain());
    }
}

/// Polls until the upstream satisfies `holds`, for state that publishes no set when it changes.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub async fn eventually(upstream: &Upstream, what: &str, holds: impl Fn(&Upstream) -> bool) {
    let begun = Instant::now();
    while !holds(upstream) {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}; {}", upstream.explain());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until the current set is stale.
///
/// # Panics
/// When it is not within [`PATIENCE`].
pub async fn until_stale(upstream: &Upstream) {
    eventually(upstream, "a stale set", |upstream| upstream.endpoints().is_stale()).await;
}

/// Waits until the current set is fresh.
///
/// # Panics
/// When it is not within [`PATIENCE`].
pub async fn until_fresh(upstream: &Upstream) {
    eventually(upstream, "a fresh set", |upstream| !upstream.endpoints().is_stale()).await;
}

/// Waits, without a bound, until a whole round of queries is over: not only until the first endpoints are published.
/// With `since`, until the round after the one that it explains.
pub async fn next_round(upstream: &Upstream, since: Option<&Arc<Explanation>>) {
    loop {
        let now = upstream.explain();
        if !now.steps.is_empty() && since.is_none_or(|before| !Arc::ptr_eq(before, &now)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
