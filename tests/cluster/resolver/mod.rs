//! The resolver in a pod, with the real CoreDNS behind its virtual address. `docs/failure-modes.md` lists the F numbers
//! in the tests' descriptions.

mod forms;
mod large;
mod outages;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use discovery_core::{Resolver, ResolverBuilder, Upstream, refresh::RefreshSettings};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    harness::{Cluster, PATIENCE},
    manifests,
};

/// The resolver of an application in the pod, with the Services' variables disabled, so that DNS answers.
fn in_pod(mut env: BTreeMap<String, String>) -> ResolverBuilder {
    env.insert("DISCOVERY_SERVICE_ENV".to_owned(), "off".to_owned());
    Resolver::builder().environment(manifests::environment(env))
}

/// Default settings, except that the resolver queries CoreDNS continuously, whatever the TTL.
fn steady() -> RefreshSettings {
    let tenth = Duration::from_millis(100);
    RefreshSettings::default().with_refresh(tenth, tenth * 2).unwrap()
}

/// A headless Service without a selector; the test writes its endpoints.
fn headless(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"clusterIP": "None", "ports": [{"name": "http", "port": 8080, "targetPort": 8080}]},
    })
}

/// An EndpointSlice of a Service with these addresses.
fn slice(namespace: &str, service: &str, ips: impl IntoIterator<Item = Ipv4Addr>) -> Value {
    let endpoints: Vec<Value> =
        ips.into_iter().map(|ip| json!({"addresses": [ip], "conditions": {"ready": true}})).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "namespace": namespace, "name": format!("{service}-1"),
            "labels": {
                "kubernetes.io/service-name": service,
                "endpointslice.kubernetes.io/managed-by": "tests",
            },
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": endpoints,
    })
}

/// `count` addresses that are not in use.
fn ips(count: u32) -> impl Iterator<Item = Ipv4Addr> {
    (1..=count).map(|at| Ipv4Addr::from_bits(u32::from_be_bytes([10, 250, 0, 0]) + at))
}

/// The addresses of [`ips`] with the port of [`slice`], in the form of `tests::addrs`.
fn expected(count: u32) -> Vec<String> {
    ips(count).map(|ip| format!("{ip}:8080")).collect()
}

/// Starts the pod `shop/client`.
async fn client(cluster: &Cluster) {
    cluster.apply(&manifests::client("shop")).await;
    cluster.pods_ready("shop", "client", 1).await;
}

/// The results of a caller in the pod, which picks every few milliseconds and watches the endpoints.
#[derive(Debug, Default)]
struct Observations {
    picks: usize,
    /// The errors of the picks that failed.
    errors: Vec<String>,
    /// Each endpoint set, and when it was published.
    sets: Vec<(Instant, Vec<String>)>,
    /// When the set became stale (true) and fresh again (false).
    stale: Vec<(Instant, bool)>,
}

/// A caller in `shop/client` that has found its first endpoint.
struct Caller {
    upstream: Upstream,
    seen: Arc<Mutex<Observations>>,
    stop: oneshot::Sender<()>,
    pod: JoinHandle<()>,
}

impl Caller {
    async fn start(cluster: &Arc<Cluster>, target: &'static str, settings: RefreshSettings) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (send, mut started) = mpsc::channel(1);
        let seen = Arc::<Mutex<Observations>>::default();
        let (own, to) = (cluster.clone(), seen.clone());
        let pod = tokio::spawn(async move {
            own.in_pod("shop/client", move |env| async move {
                let resolver = in_pod(env).refresh(settings).build().unwrap();
                let upstream = resolver.upstream(target).unwrap();
                upstream.ready().await.unwrap();
                send.send(upstream.clone()).await.unwrap();
                tokio::select! {
                    () = watch(&upstream, &to) => {}
                    () = pick(&upstream, &to) => {}
                    _ = stopped => {}
                }
            })
            .await;
        });
        let upstream = tokio::time::timeout(PATIENCE, started.recv()).await.expect("an answer").expect("an upstream");
        Self { upstream, seen, stop, pod }
    }

    /// Waits until `condition` holds for the upstream.
    async fn until(&self, what: &str, condition: impl Fn(&Upstream) -> bool) {
        let reached = async {
            while !condition(&self.upstream) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, reached).await.is_err() {
            panic!("{what}: not within {PATIENCE:?}; {}", self.upstream.explain());
        }
    }

    async fn until_set(&self, wanted: &[String]) {
        self.until(&format!("{} endpoints", wanted.len()), |upstream| {
            let now = upstream.endpoints();
            now.len() == wanted.len() && tests::addrs(&now) == wanted
        })
        .await;
    }

    /// Stops the caller and returns what it saw, after asserting that no pick failed.
    async fn end(self) -> Observations {
        drop(self.stop);
        self.pod.await.unwrap();
        drop(self.upstream);
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        let errors: BTreeSet<&String> = seen.errors.iter().collect();
        assert!(errors.is_empty(), "{} of {} picks failed: {errors:?}", seen.errors.len(), seen.picks);
        assert!(seen.picks > 0);
        seen
    }
}

async fn watch(upstream: &Upstream, seen: &Mutex<Observations>) {
    let mut watch = upstream.watch();
    loop {
        let set = watch.next().await;
        seen.lock().unwrap().sets.push((Instant::now(), tests::addrs(&set)));
    }
}

impl Observations {
    /// Records the result of one pick.
    fn record(&mut self, error: Option<String>, stale: bool) {
        self.picks += 1;
        self.errors.extend(error);
        if self.stale.last().map_or(stale, |(_, last)| *last != stale) {
            self.stale.push((Instant::now(), stale));
        }
    }
}

async fn pick(upstream: &Upstream, seen: &Mutex<Observations>) {
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    loop {
        pace.tick().await;
        let (picked, stale) = (upstream.pick(), upstream.endpoints().is_stale());
        seen.lock().unwrap().record(picked.err().map(|error| error.to_string()), stale);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
