//! Our resolver in a pod, on the real CoreDNS behind its virtual address. The F numbers are failure modes of the
//! contract of Kubernetes DNS.

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

/// A resolver as an application in the pod has it, but for the variables of Services: DNS is to answer.
fn in_pod(mut env: BTreeMap<String, String>) -> ResolverBuilder {
    env.insert("DISCOVERY_SERVICE_ENV".to_owned(), "off".to_owned());
    Resolver::builder().environment(manifests::environment(env))
}

/// CoreDNS is asked all the time, whatever its TTL; everything else is as by default.
fn steady() -> RefreshSettings {
    let tenth = Duration::from_millis(100);
    RefreshSettings::default().with_refresh(tenth, tenth * 2).unwrap()
}

/// A headless Service without a selector, whose endpoints the test writes.
fn headless(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"clusterIP": "None", "ports": [{"name": "http", "port": 8080, "targetPort": 8080}]},
    })
}

/// The slice of a Service with these addresses.
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

/// So many addresses that nobody has.
fn ips(count: u32) -> impl Iterator<Item = Ipv4Addr> {
    (1..=count).map(|at| Ipv4Addr::from_bits(u32::from_be_bytes([10, 250, 0, 0]) + at))
}

/// The texts of these addresses with the port of [`slice`], as `tests::addrs` has them.
fn expected(count: u32) -> Vec<String> {
    ips(count).map(|ip| format!("{ip}:8080")).collect()
}

/// A cluster's `shop/client`.
async fn client(cluster: &Cluster) {
    cluster.apply(&manifests::client("shop")).await;
    cluster.pods_ready("shop", "client", 1).await;
}

/// What a caller in the pod has seen: it picks every few milliseconds, and watches.
#[derive(Debug, Default)]
struct Seen {
    picks: usize,
    /// Why picks failed.
    errors: Vec<String>,
    /// Each set, and when it came.
    sets: Vec<(Instant, Vec<String>)>,
    /// When it became stale, and when fresh again.
    stale: Vec<(Instant, bool)>,
}

/// A caller in `shop/client`, from its first endpoint on.
struct Caller {
    upstream: Upstream,
    seen: Arc<Mutex<Seen>>,
    stop: oneshot::Sender<()>,
    pod: JoinHandle<()>,
}

impl Caller {
    async fn start(cluster: &Arc<Cluster>, target: &'static str, settings: RefreshSettings) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (tell, mut told) = mpsc::channel(1);
        let seen = Arc::<Mutex<Seen>>::default();
        let (own, to) = (cluster.clone(), seen.clone());
        let pod = tokio::spawn(async move {
            own.in_pod("shop/client", move |env| async move {
                let resolver = in_pod(env).refresh(settings).build().unwrap();
                let upstream = resolver.upstream(target).unwrap();
                upstream.ready().await.unwrap();
                tell.send(upstream.clone()).await.unwrap();
                tokio::select! {
                    () = watch(&upstream, &to) => {}
                    () = pick(&upstream, &to) => {}
                    _ = stopped => {}
                }
            })
            .await;
        });
        let upstream = tokio::time::timeout(PATIENCE, told.recv()).await.expect("an answer").expect("an upstream");
        Self { upstream, seen, stop, pod }
    }

    /// Waits for what the upstream says.
    async fn until(&self, what: &str, is: impl Fn(&Upstream) -> bool) {
        let reached = async {
            while !is(&self.upstream) {
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

    /// Ends the caller; nobody may have seen an error.
    async fn end(self) -> Seen {
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

async fn watch(upstream: &Upstream, seen: &Mutex<Seen>) {
    let mut watch = upstream.watch();
    loop {
        let set = watch.next().await;
        seen.lock().unwrap().sets.push((Instant::now(), tests::addrs(&set)));
    }
}

impl Seen {
    /// What came of one pick.
    fn note(&mut self, error: Option<String>, stale: bool) {
        self.picks += 1;
        self.errors.extend(error);
        if self.stale.last().map_or(stale, |(_, last)| *last != stale) {
            self.stale.push((Instant::now(), stale));
        }
    }
}

async fn pick(upstream: &Upstream, seen: &Mutex<Seen>) {
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    loop {
        pace.tick().await;
        let (picked, stale) = (upstream.pick(), upstream.endpoints().is_stale());
        seen.lock().unwrap().note(picked.err().map(|error| error.to_string()), stale);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
