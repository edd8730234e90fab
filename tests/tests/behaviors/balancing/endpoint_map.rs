//! `EndpointMap`: the values that an application keeps, one for each endpoint, and requests during their construction.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use discovery_core::{EndpointMap, Environment, Resolver, Upstream, policy::Tried};
use discovery_testing::{ManualHandle, ManualSource};
use tests::{PATIENCE, brisk, until, within};

const OLD: &str = "10.0.0.1:80";
const STAYS: &str = "10.0.0.2:80";
const NEW: &str = "10.0.0.3:80";

async fn orders(addrs: &[&str]) -> (Upstream, ManualHandle) {
    let (source, handle) = ManualSource::new();
    handle.set(addrs.iter().copied());
    let builder = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).refresh(brisk());
    (builder.build().unwrap().resolve("orders:80").await.unwrap(), handle)
}

/// A map whose value for `NEW` stays under construction until `release`. `begun` receives a message when construction
/// begins.
struct SlowMap {
    map: EndpointMap<String>,
    begun: mpsc::Receiver<()>,
    release: mpsc::Sender<()>,
}

fn slow_map(upstream: &Upstream) -> SlowMap {
    let ((begin, begun), (release, released)) = (mpsc::channel(), mpsc::channel());
    let (begin, released) = (Mutex::new(begin), Mutex::new(released));
    let map = EndpointMap::new(upstream.clone(), move |endpoint| {
        let name = endpoint.to_string();
        if name == NEW {
            let _ = begin.lock().unwrap().send(());
            released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
        name
    });
    SlowMap { map, begun, release }
}

fn picks(map: &EndpointMap<String>) -> BTreeSet<String> {
    (0..200).map(|_| map.pick(&Tried::new()).unwrap().1).collect()
}

async fn until_picked(map: &EndpointMap<String>, what: &[&str]) {
    let all = async {
        while picks(map) != what.iter().map(ToString::to_string).collect() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    within("all endpoints in use", all).await;
}

/// A pool with a TLS configuration of its own takes milliseconds to build, and there may be a hundred of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn requests_do_not_wait_for_a_value_under_construction() {
    let (upstream, handle) = orders(&[OLD, STAYS]).await;
    let SlowMap { map, begun, release } = slow_map(&upstream);
    until_picked(&map, &[OLD, STAYS]).await;

    handle.set([STAYS, NEW]);
    let begun = tokio::task::spawn_blocking(move || begun.recv_timeout(PATIENCE));
    begun.await.unwrap().expect("construction in the background");
    until(&upstream, "the removal", |set| !set.iter().any(|endpoint| endpoint.to_string() == OLD)).await;
    assert_eq!(picks(&map), [STAYS.to_owned()].into(), "neither the new endpoint yet nor the removed one");
    let (_, name) = map.pick_timeout(&Tried::new(), PATIENCE).await.unwrap();
    assert_eq!(name, STAYS);

    release.send(()).unwrap();
    until_picked(&map, &[STAYS, NEW]).await;
}

/// The request waits for the value, or creates it.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn waits_for_the_value_of_the_only_endpoint() {
    let (upstream, _handle) = orders(&[NEW]).await;
    let SlowMap { map, release, .. } = slow_map(&upstream);
    let picked = tokio::task::spawn_blocking(move || map.pick(&Tried::new()).unwrap().1);
    release.send(()).unwrap();
    assert_eq!(picked.await.unwrap(), NEW);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn creates_each_value_once_for_concurrent_callers() {
    let addrs: Vec<String> = (1..=20).map(|n| format!("10.0.0.{n}:80")).collect();
    let (upstream, _handle) = orders(&addrs.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let map = EndpointMap::new(upstream.clone(), move |endpoint| {
        counted.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_micros(200));
        endpoint.to_string()
    });
    let callers = (0..4).map(|_| {
        let map = map.clone();
        tokio::task::spawn_blocking(move || picks(&map).len())
    });
    for called in callers.collect::<Vec<_>>() {
        assert!(called.await.unwrap() > 0);
    }
    until_picked(&map, &addrs.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(count.load(Ordering::Relaxed), 20);
}

#[tokio::test]
async fn keeps_the_value_of_an_endpoint_that_stays() {
    let (upstream, handle) = orders(&[OLD, STAYS]).await;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let map = EndpointMap::new(upstream.clone(), move |endpoint| {
        counted.fetch_add(1, Ordering::Relaxed);
        endpoint.to_string()
    });
    until_picked(&map, &[OLD, STAYS]).await;
    handle.set([STAYS, NEW]);
    until(&upstream, "the new endpoint", |set| set.iter().any(|endpoint| endpoint.to_string() == NEW)).await;
    until_picked(&map, &[STAYS, NEW]).await;
    assert_eq!(count.load(Ordering::Relaxed), 3);
}

/// As on the threads of an application without tokio, or after its runtime has ended.
#[test]
fn without_a_runtime_the_first_request_creates_the_value() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (upstream, _handle) = runtime.block_on(orders(&[OLD, STAYS, NEW]));
    let map = EndpointMap::new(upstream, ToString::to_string);
    assert_eq!(picks(&map).len(), 3);
}
