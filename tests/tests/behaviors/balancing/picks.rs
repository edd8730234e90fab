//! Picks of an upstream, without an HTTP client.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use discovery_core::{Environment, Resolver, refresh::RefreshSettings};
use discovery_testing::ManualSource;
use tests::{orders, until, within};

use crate::support::dns::{dns, pod};

/// F8. Pools that take the first address of each answer all go to the same pod.
#[tokio::test]
async fn the_first_pick_differs_between_processes() {
    let dns = dns().await;
    dns.fixed_order();
    dns.set_ttl(30);
    dns.apply(orders(&["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]));
    let mut first = BTreeSet::new();
    for _ in 0..40 {
        let upstream = within("an answer", pod(&dns).resolve("orders:80")).await.unwrap();
        first.insert(upstream.pick().unwrap().endpoint().addr());
    }
    // By chance all 40 pick the same of four: 1 in 10^23.
    assert!(first.len() > 1, "{first:?}");
}

/// Two sets of fifty take turns; no reader ever sees a part of one, or a mix of both.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_whole_sets_during_changes() {
    let (source, handle) = ManualSource::new();
    let moment = Duration::from_millis(1);
    let settings = RefreshSettings::default().with_refresh(moment, Duration::from_secs(30)).unwrap();
    let settings = settings.with_backoff(moment, moment).unwrap().with_removal_hold(Duration::ZERO);
    let builder = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).refresh(settings);
    let set = |net: u8| (1..=50).map(move |n| format!("10.0.{net}.{n}:80")).collect::<Vec<_>>();
    let publish = |net: u8| handle.set(set(net).iter().map(String::as_str));
    publish(0);
    let orders = within("endpoints", builder.build().unwrap().resolve("orders")).await.unwrap();

    let (done, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (orders, done, reads) = (orders.clone(), done.clone(), reads.clone());
            tokio::spawn(async move {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let endpoints = orders.endpoints();
                    let nets: BTreeSet<_> = endpoints.iter().map(|endpoint| octets(endpoint.addr())[2]).collect();
                    assert_eq!((endpoints.len(), nets.len()), (50, 1), "{nets:?}");
                    assert!(endpoints.version() >= last, "{last} then {}", endpoints.version());
                    last = endpoints.version();
                    let pick = orders.pick().unwrap();
                    assert!((1..=50).contains(&octets(pick.endpoint().addr())[3]));
                    drop((pick, endpoints));
                    reads.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for round in 1..=200_u64 {
        let net = u8::try_from(round % 2).unwrap();
        publish(net);
        until(&orders, "the other set", |set| octets(set[0].addr())[2] == net).await;
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    println!("{} reads, {} sets", reads.load(Ordering::Relaxed), orders.endpoints().version());
    assert_eq!(orders.endpoints().version(), 201);
    assert!(reads.load(Ordering::Relaxed) > 0);
}

fn octets(addr: SocketAddr) -> [u8; 4] {
    match addr {
        SocketAddr::V4(addr) => addr.ip().octets(),
        SocketAddr::V6(addr) => panic!("{addr}"),
    }
}
