//! The registry of one test, with a Service in front of it, and its pods.

use std::{
    future::Future,
    net::Ipv4Addr,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use discovery_core::{Resolver, Upstream};
use discovery_eureka::{EurekaSource, EurekaSourceBuilder, Registration, RegistrationBuilder};
use discovery_reqwest::Client;
use discovery_testing::{FakeDns, FakePod, Service};
use tests::{Balancer, in_pod};

use super::{Server, programs};

/// Turns a hang into a failure; no assertion depends on it. Java takes half a minute to start on a busy machine, and an
/// eviction takes several rounds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The URL that applications use for the registry, the same in every cluster.
const URL: &str = "http://rates-eureka.platform-team-a.svc:8080/eureka";

/// A registry of one or two servers behind the Service of [`URL`], and a DNS server that knows that Service.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) programs: PathBuf,
    pub(crate) servers: Vec<Server>,
    /// Kept alive, because dropping it ends the Service.
    _service: Balancer,
    dns: FakeDns,
    /// The network 127.x.y.0, which no other test uses.
    net: [u8; 3],
}

/// One of our pods: an HTTP server that answers with its name, and its registration.
#[derive(Debug)]
pub(crate) struct Pod {
    pub(crate) server: FakePod,
    pub(crate) registration: Registration,
}

/// Runs a test with `servers` servers, or prints why it cannot. Runs one test at a time, since each needs one or two
/// Java virtual machines.
pub(crate) fn on_eureka<F: Future<Output = ()>>(servers: usize, test: impl FnOnce(World) -> F) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let programs = match programs::find() {
        Ok(programs) => programs.clone(),
        Err(reason) => return programs::skip(reason),
    };
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { test(World::new(programs, servers).await).await });
}

impl World {
    async fn new(programs: PathBuf, count: usize) -> Self {
        let net = own_net();
        let ip = |host: usize| Ipv4Addr::new(net[0], net[1], net[2], u8::try_from(host).unwrap());
        let mut servers = Vec::new();
        for nth in 1..=count {
            let peer = (count == 2).then(|| ip(3 - nth));
            servers.push(Server::start(&programs, ip(nth), peer).await);
        }
        for server in &mut servers {
            server.ready().await;
        }
        let dns = FakeDns::start().await.unwrap();
        let virtual_ip = ip(100);
        let service = Service::cluster_ip("platform-team-a", "rates-eureka");
        dns.apply(service.ip(&*virtual_ip.to_string()).port("http", 8080));
        let service =
            Balancer::start((virtual_ip, 8080).into(), servers.iter().map(|server| server.addr)).await.unwrap();
        Self { programs, servers, _service: service, dns, net }
    }

    /// An address in this test's network.
    pub(crate) fn ip(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.net[0], self.net[1], self.net[2], host)
    }

    /// The client of an application that finds Services by DNS only.
    pub(crate) fn client(&self) -> Client {
        Client::new(in_pod(&self.dns, "shop").build().unwrap())
    }

    /// The registry as a source, fetched once a second.
    pub(crate) fn source(&self) -> EurekaSourceBuilder {
        EurekaSource::builder(&self.client(), URL).fetch_interval(Duration::from_secs(1))
    }

    /// The resolver of an application that asks the registry first, then DNS.
    pub(crate) fn resolver(&self, source: &EurekaSource) -> Resolver {
        in_pod(&self.dns, "shop").source(Arc::new(source.clone())).build().unwrap()
    }

    /// Starts and registers a pod of `app` that renews its lease every 1 s; the lease expires after 3 s.
    pub(crate) async fn pod(&self, app: &str, name: &str) -> Pod {
        self.pod_with(app, name, |builder| builder).await
    }

    /// As [`pod`](Self::pod), with a registration that `configure` changes.
    pub(crate) async fn pod_with(
        &self,
        app: &str,
        name: &str,
        configure: impl FnOnce(RegistrationBuilder) -> RegistrationBuilder,
    ) -> Pod {
        let server = FakePod::start(name).await.unwrap();
        let builder = Registration::builder(&self.client(), URL, app)
            .ip(server.ip())
            .port(server.addr().port())
            .lease(Duration::from_secs(1), Duration::from_secs(3))
            .env([("POD_NAME", name), ("POD_NAMESPACE", "shop"), ("POD_UID", &format!("uid-of-{name}"))]);
        let registration = configure(builder).register().await.unwrap();
        within("registered and read back", registration.settled()).await.unwrap();
        Pod { server, registration }
    }
}

/// Waits for a future, no longer than [`PATIENCE`].
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Waits until `condition` returns true.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let reached = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(what, reached).await;
}

/// Waits until the upstream has `count` endpoints.
pub(crate) async fn until_endpoints(upstream: &Upstream, count: usize) {
    let what = format!("{} with {count} endpoints", upstream.target());
    let mut watch = upstream.watch();
    let reached = async { while watch.next().await.len() != count {} };
    if tokio::time::timeout(PATIENCE, reached).await.is_err() {
        panic!("{what}: not within {PATIENCE:?}; {}", upstream.explain());
    }
}

/// A network in 127.0.0.0/8 that no other test uses, in this process or in another one.
fn own_net() -> [u8; 3] {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let pid = std::process::id();
    let [_, _, high, low] = pid.to_be_bytes();
    [127, 32 + (high ^ NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(37)) % 200, low]
}
