//! `EndpointMap`: what an application keeps for each endpoint, while it is being made.

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
use tests::{PATIENCE, brisk, until};

const OLD: &str = "10.0.0.1:80";
const STAYS: &str = "10.0.0.2:80";
const NEW: &str = "10.0.0.3:80";

async fn orders(addrs: &[&str]) -> (Upstream, ManualHandle) {
    let (source, handle) = ManualSource::new();
    handle.set(addrs.iter().copied());
    let builder = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).refresh(brisk());
    (builder.build().unwrap().resolve("orders:80").await.unwrap(), handle)
}

/// Making `NEW` takes until it is released; tells when it has begun.
struct Slow {
    attached: EndpointMap<String>,
    begun: mpsc::Receiver<()>,
    release: mpsc::Sender<()>,
}

fn slow(upstream: &Upstream) -> Slow {
    let ((tell, begun), (release, released)) = (mpsc::channel(), mpsc::channel());
    let (tell, released) = (Mutex::new(tell), Mutex::new(released));
    let attached = EndpointMap::new(upstream.clone(), move |endpoint| {
        let name = endpoint.to_string();
        if name == NEW {
            let _ = tell.lock().unwrap().send(());
            released.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        }
        name
    });
    Slow { attached, begun, release }
}

fn picks(attached: &EndpointMap<String>) -> BTreeSet<String> {
    (0..200).map(|_| attached.pick(&Tried::new()).unwrap().1).collect()
}

async fn made(attached: &EndpointMap<String>, what: &[&str]) {
    let all = async {
        while picks(attached) != what.iter().map(ToString::to_string).collect() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("all endpoints in use");
}

/// A pool with a TLS configuration of its own takes milliseconds, and there may be a hundred of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn requests_do_not_wait_for_what_is_being_made() {
    let (upstream, handle) = orders(&[OLD, STAYS]).await;
    let Slow { attached, begun, release } = slow(&upstream);
    made(&attached, &[OLD, STAYS]).await;

    handle.set([STAYS, NEW]);
    let begun = tokio::task::spawn_blocking(move || begun.recv_timeout(PATIENCE));
    begun.await.unwrap().expect("it is made in the background");
    until(&upstream, "the removal", |set| !set.iter().any(|endpoint| endpoint.to_string() == OLD)).await;
    assert_eq!(picks(&attached), [STAYS.to_owned()].into(), "neither the new one yet nor the removed one");
    let (_, name) = attached.pick_timeout(&Tried::new(), PATIENCE).await.unwrap();
    assert_eq!(name, STAYS);

    release.send(()).unwrap();
    made(&attached, &[STAYS, NEW]).await;
}

/// There is nothing else: the request waits for it, or makes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_only_endpoint_is_waited_for() {
    let (upstream, _handle) = orders(&[NEW]).await;
    let Slow { attached, release, .. } = slow(&upstream);
    let picked = tokio::task::spawn_blocking(move || attached.pick(&Tried::new()).unwrap().1);
    release.send(()).unwrap();
    assert_eq!(picked.await.unwrap(), NEW);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn each_is_made_once_however_many_ask() {
    let addrs: Vec<String> = (1..=20).map(|n| format!("10.0.0.{n}:80")).collect();
    let (upstream, _handle) = orders(&addrs.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let attached = EndpointMap::new(upstream.clone(), move |endpoint| {
        counted.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_micros(200));
        endpoint.to_string()
    });
    let askers = (0..4).map(|_| {
        let attached = attached.clone();
        tokio::task::spawn_blocking(move || picks(&attached).len())
    });
    for asked in askers.collect::<Vec<_>>() {
        assert!(asked.await.unwrap() > 0);
    }
    made(&attached, &addrs.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(count.load(Ordering::Relaxed), 20);
}

/// Endpoints that change their weight only, and those that stay, keep what they have.
#[tokio::test]
async fn what_stays_is_not_made_again() {
    let (upstream, handle) = orders(&[OLD, STAYS]).await;
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let attached = EndpointMap::new(upstream.clone(), move |endpoint| {
        counted.fetch_add(1, Ordering::Relaxed);
        endpoint.to_string()
    });
    made(&attached, &[OLD, STAYS]).await;
    handle.set([STAYS, NEW]);
    until(&upstream, "the new one", |set| set.iter().any(|endpoint| endpoint.to_string() == NEW)).await;
    made(&attached, &[STAYS, NEW]).await;
    assert_eq!(count.load(Ordering::Relaxed), 3);
}

/// An application without tokio on its own threads, or whose runtime has gone.
#[test]
fn without_a_runtime_the_first_request_makes_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (upstream, _handle) = runtime.block_on(orders(&[OLD, STAYS, NEW]));
    let attached = EndpointMap::new(upstream, ToString::to_string);
    assert_eq!(picks(&attached).len(), 3);
}
