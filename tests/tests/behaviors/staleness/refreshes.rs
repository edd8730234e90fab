//! F3: an answer that is used forever. Part of F14: refreshes happen in the background, before expiry.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use discovery_core::{
    Environment, Resolver,
    endpoint::Endpoint,
    plan::Plan,
    policy::Outcome,
    refresh::RefreshSettings,
    source::{BoxFuture, Lookup, Source, State, Update},
};
use discovery_testing::{FakeDns, Pod, Rule};
use futures_util::FutureExt as _;
use tests::{figure, ips, orders, until, within};
use tokio::time::Instant;

use crate::support::dns::{dns, pod, pod_with};

/// F3. The next refresh comes when the TTL of 1 s is over, without any failed request.
#[tokio::test]
async fn the_next_refresh_finds_an_added_pod() {
    let dns = FakeDns::builder().ttl(1).start().await.unwrap();
    dns.apply(orders(&["10.0.0.1"]));
    let resolver = pod_with(&dns, &[]).refresh(RefreshSettings::default()).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    upstream.pick().unwrap().complete(Outcome::Success, Instant::now().into_std());

    dns.forget();
    dns.add_pod("shop", "orders", Pod::new("10.0.0.2"));
    let added = Instant::now();
    until(&upstream, "the added pod", |set| set.len() == 2).await;
    figure("F3: added pod seen, TTL 1 s", added.elapsed());
    assert_eq!(dns.total(), 1, "{:?}", dns.questions());
    // The figure in `docs/failure-modes.md` is TTL + 1 s.
    assert!(added.elapsed() < Duration::from_secs(6), "{:?}", added.elapsed());
}

/// F3.
#[tokio::test]
async fn max_refresh_bounds_a_long_ttl() {
    let dns = FakeDns::builder().ttl(3600).start().await.unwrap();
    dns.apply(orders(&["10.0.0.1"]));
    let (min, max) = (Duration::from_millis(20), Duration::from_millis(100));
    let settings = RefreshSettings::default().with_refresh(min, max).unwrap();
    let resolver = pod_with(&dns, &[]).refresh(settings).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    dns.forget();
    dns.add_pod("shop", "orders", Pod::new("10.0.0.2"));
    until(&upstream, "the added pod", |set| set.len() == 2).await;
    assert_eq!(dns.total(), 1);
}

/// F3. Successful requests trigger no query, but they do not keep an old set alive either.
#[tokio::test]
async fn the_next_refresh_notices_a_removed_pod() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1", "10.0.0.2"]));
    let upstream = within("an answer", pod(&dns).resolve("orders:80")).await.unwrap();
    dns.remove_pod("shop", "orders", "10.0.0.1");
    until(&upstream, "the removal", |set| ips(set) == ["10.0.0.2"]).await;
    assert!(dns.questions().iter().all(|asked| !asked.dropped));
}

/// F14. A query is under way and never answered; no request waits for it.
#[tokio::test]
async fn no_request_waits_after_the_first_success() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1"]));
    let resolver = pod(&dns);
    let upstream = within("an answer", resolver.resolve("orders:80")).await.unwrap();
    dns.script(Rule::any().drop());
    within("a refresh", dns.asked(|asked| asked.dropped, 1)).await;
    assert!(upstream.pick().is_ok());
    upstream.first_answer().now_or_never().expect("at once").unwrap();
    upstream.ready().now_or_never().expect("at once").unwrap();
    resolver.resolve("orders:80").now_or_never().expect("at once").unwrap();
}

/// A source on simulated time, with a TTL of `ttl`, that records the times of its queries.
#[derive(Clone, Debug)]
struct RecordingSource {
    ttl: Duration,
    asked: Arc<Mutex<Vec<Instant>>>,
}

impl Source for RecordingSource {
    fn name(&self) -> &'static str {
        "recording"
    }

    fn open(&self, _: &Plan) -> Box<dyn Lookup> {
        Box::new(self.clone())
    }
}

impl Lookup for RecordingSource {
    fn ask<'a>(&'a mut self, _: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        self.asked.lock().unwrap().push(Instant::now());
        let endpoint = Endpoint::new(([10, 0, 0, 1], 80).into());
        let update = Update::new(State::Ready(vec![endpoint])).with_ttl(self.ttl);
        Box::pin(async move { update })
    }
}

/// The pauses between the queries of one target in ten minutes of simulated time; the first one precedes the refresh of
/// the first answer.
async fn pauses(ttl: Duration) -> Vec<Duration> {
    let source = RecordingSource { ttl, asked: Arc::default() };
    let resolver = Resolver::builder()
        .environment(Environment::empty())
        .source(Arc::new(source.clone()))
        .refresh(RefreshSettings::default())
        .build()
        .unwrap();
    let upstream = resolver.resolve("api.eu.example.com:80").await.unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    drop(upstream);
    let asked = source.asked.lock().unwrap();
    asked.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// F14. On simulated time, without a socket.
#[tokio::test(start_paused = true)]
async fn refreshes_in_the_background_before_expiry_with_jitter() {
    // Tokio's clock counts in milliseconds.
    let slack = Duration::from_millis(2);
    for seconds in [5, 30] {
        let ttl = Duration::from_secs(seconds);
        let mut pauses = pauses(ttl).await;
        let first = pauses.remove(0);
        assert!(first + slack >= ttl.mul_f64(0.1).max(Duration::from_secs(1)) && first <= ttl.mul_f64(0.9) + slack);
        let (least, most) = (*pauses.iter().min().unwrap(), *pauses.iter().max().unwrap());
        figure("F14: TTL, earliest and latest refresh, refreshes", (ttl, least, most, pauses.len()));
        assert!(least + slack >= ttl.mul_f64(0.8), "{least:?}");
        assert!(most <= ttl.mul_f64(0.9) + slack, "{most:?}");
        assert!(most > least, "jittered");
    }
}
