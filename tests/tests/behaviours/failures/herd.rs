//! F14: everybody at once.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use discovery_core::{
    Environment, Resolver,
    endpoint::Endpoint,
    plan::Plan,
    refresh::RefreshSettings,
    source::{BoxFuture, Lookup, Source, State, Update},
};
use discovery_testing::{FakeDns, QType, Rule, Transport};
use futures_util::{FutureExt as _, future::join_all};
use tokio::time::Instant;

use super::{ORDERS, dns, dual_stack_pod, figure, orders, pod, pod_with, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn f14_1000_concurrent_first_resolves_are_one_query_per_type() {
    let dns = FakeDns::builder().ttl(30).start().await.unwrap();
    dns.apply(orders(&["10.0.0.1", "fd00::1"]));
    let resolver = dual_stack_pod(&dns);
    let callers = (0..1000).map(|_| {
        let resolver = resolver.clone();
        tokio::spawn(async move { resolver.resolve("orders:80").await })
    });
    let upstreams: Vec<_> = within("a thousand answers", join_all(callers)).await;
    assert!(upstreams.iter().all(|upstream| upstream.as_ref().is_ok_and(Result::is_ok)));
    let (a, aaaa) = (dns.count(ORDERS, QType::A), dns.count(ORDERS, QType::AAAA));
    figure("F14: callers, A, AAAA", (upstreams.len(), a, aaaa));
    assert_eq!((a, aaaa, dns.total()), (1, 1, 2));
    assert_eq!(resolver.active(), 1);
}

/// Over TCP, where nothing is sent twice.
#[tokio::test]
async fn f14_a_cancelled_first_caller_does_not_fail_the_others() {
    let dns = dns().await;
    dns.set_ttl(30);
    dns.apply(orders(&["10.0.0.1"]));
    dns.script(Rule::any().delay(Duration::from_millis(300)));
    let resolver = pod_with(&dns, &[("DISCOVERY_DNS_TRANSPORT", "tcp")]).build().unwrap();
    let first = tokio::spawn({
        let resolver = resolver.clone();
        async move { resolver.resolve("orders:80").await.map(drop) }
    });
    within("its question", dns.asked(|_| true, 1)).await;
    let mut others: Vec<_> = (0..3).map(|_| Box::pin(resolver.resolve("orders:80"))).collect();
    assert!(others.iter_mut().all(|other| other.now_or_never().is_none()), "they wait for the same answer");
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    for other in others {
        assert_eq!(within("an answer", other).await.unwrap().endpoints().len(), 1);
    }
    assert_eq!(dns.total(), 1, "{:?}", dns.questions());
    assert!(dns.questions().iter().all(|asked| asked.transport == Transport::Tcp));
}

/// The question is under way and is never answered, and nobody waits for it.
#[tokio::test]
async fn f14_no_request_waits_after_the_first_success() {
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

/// A source on simulated time, with an answer that holds for `ttl`; it takes down when it was asked.
#[derive(Clone, Debug)]
struct Noted {
    ttl: Duration,
    asked: Arc<Mutex<Vec<Instant>>>,
}

impl Source for Noted {
    fn name(&self) -> &'static str {
        "noted"
    }

    fn open(&self, _: &Plan) -> Box<dyn Lookup> {
        Box::new(self.clone())
    }
}

impl Lookup for Noted {
    fn ask<'a>(&'a mut self, _: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        self.asked.lock().unwrap().push(Instant::now());
        let endpoint = Endpoint::new(([10, 0, 0, 1], 80).into());
        let update = Update::new(State::Ready(vec![endpoint])).with_ttl(self.ttl);
        Box::pin(async move { update })
    }
}

/// Pauses between the questions of one target in ten minutes of simulated time.
async fn pauses(ttl: Duration) -> Vec<Duration> {
    let source = Noted { ttl, asked: Arc::default() };
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

/// Simulated time: there is no socket in this.
#[tokio::test(start_paused = true)]
async fn f14_refreshes_come_before_expiry_in_the_background_and_jittered() {
    // Tokio's clock counts in milliseconds.
    let slack = Duration::from_millis(2);
    for seconds in [5, 30] {
        let ttl = Duration::from_secs(seconds);
        let pauses = pauses(ttl).await;
        let (least, most) = (*pauses.iter().min().unwrap(), *pauses.iter().max().unwrap());
        figure("F14: TTL, earliest and latest refresh, refreshes", (ttl, least, most, pauses.len()));
        assert!(least + slack >= ttl.mul_f64(0.8), "{least:?}");
        assert!(most <= ttl.mul_f64(0.9) + slack, "{most:?}");
        assert!(most > least, "jittered");
    }
}
