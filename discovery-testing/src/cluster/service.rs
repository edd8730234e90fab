//! A headless Service with its pods, and its builder.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};

use super::address::{start_pod, start_pod_beside};
use crate::{
    dns::FakeDns,
    name::require_label,
    pod::{FakePod, GRACE, Handler},
    zone::{Pod, Service},
};

/// Configures a [`FakeService`]. Created by [`FakeCluster::service`](crate::FakeCluster::service).
#[must_use = "nothing starts before `start`"]
pub struct FakeServiceBuilder {
    dns: Arc<FakeDns>,
    namespace: String,
    name: String,
    port_name: String,
    stateful: bool,
    port_per_pod: bool,
    handler: Option<Handler>,
    /// How long a stopping pod may finish its requests in flight.
    grace: Duration,
    replicas: usize,
}

impl FakeServiceBuilder {
    #[track_caller]
    pub(super) fn new(dns: Arc<FakeDns>, namespace: &str, name: &str) -> Self {
        Self {
            dns,
            namespace: require_label("namespace", namespace),
            name: require_label("Service name", name),
            port_name: "http".to_owned(),
            stateful: false,
            port_per_pod: false,
            handler: None,
            grace: GRACE,
            replicas: 1,
        }
    }

    /// Sets how many pods to start. Default: 1.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Sets how long a pod that is removed or replaced may finish its requests in flight. Default: 30 s, as in
    /// Kubernetes.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets the name of the port. Default: `http`.
    ///
    /// # Panics
    ///
    /// If the name is not a DNS label.
    #[track_caller]
    pub fn port_name(mut self, name: &str) -> Self {
        self.port_name = require_label("port name", name);
        self
    }

    /// Publishes the pods' names as host names in DNS (`orders-0.orders.shop.svc...`), as a StatefulSet does.
    pub fn stateful(mut self) -> Self {
        self.stateful = true;
        self
    }

    /// Gives each pod a port of its own, as a Service with a named `targetPort` may. Clients find the port with the name
    /// of the port (`orders.shop:http`), in SRV records.
    ///
    /// ```
    /// use discovery_testing::FakeCluster;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let cluster = FakeCluster::start().await?;
    /// let orders = cluster.service("shop", "orders").replicas(2).port_per_pod().start().await?;
    /// let pods = orders.pods();
    /// assert_ne!(pods[0].addr().port(), pods[1].addr().port());
    /// # Ok(())
    /// # }
    /// ```
    pub fn port_per_pod(mut self) -> Self {
        self.port_per_pod = true;
        self
    }

    /// Sets the handler of the pods, which otherwise respond with their name.
    pub fn handler(mut self, handler: impl Fn(Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        self.handler = Some(Arc::new(handler));
        self
    }

    /// Starts the pods and declares the Service. Its name resolves when this method returns.
    ///
    /// # Errors
    ///
    /// If the pods cannot be bound.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn start(self) -> io::Result<FakeService> {
        let replicas = self.replicas;
        let service = FakeService::reserve(self).await?;
        for _ in 0..replicas {
            service.add_pod().await?;
        }
        Ok(service)
    }

    /// Returns the Service without pods, with the port of all pods.
    fn declaration(&self, port: u16) -> Service {
        Service::headless(&self.namespace, &self.name).port(&self.port_name, port)
    }
}

impl fmt::Debug for FakeServiceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeServiceBuilder")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .field("port_name", &self.port_name)
            .field("stateful", &self.stateful)
            .field("port_per_pod", &self.port_per_pod)
            .field("replicas", &self.replicas)
            .finish_non_exhaustive()
    }
}

/// A headless Service of a [`FakeCluster`](crate::FakeCluster) with its pods.
///
/// Dropping it removes the Service from DNS. Each pod closes with its last handle.
#[derive(Debug)]
pub struct FakeService {
    settings: FakeServiceBuilder,
    port: u16,
    next: AtomicUsize,
    pods: Mutex<Vec<FakePod>>,
}

impl FakeService {
    /// Chooses the port: a pod outside DNS binds it for a moment, which shows that it is free.
    async fn reserve(settings: FakeServiceBuilder) -> io::Result<Self> {
        let scout = start_pod("scout", 0, None).await?;
        let port = scout.addr().port();
        scout.kill().await;
        settings.dns.apply(settings.declaration(port));
        Ok(Self { settings, port, next: AtomicUsize::new(0), pods: Mutex::new(Vec::new()) })
    }

    /// Returns the pods, oldest first. A handle stays valid when its pod is removed.
    #[must_use]
    pub fn pods(&self) -> Vec<FakePod> {
        self.lock().clone()
    }

    /// Returns the port of every pod. With [`port_per_pod`](FakeServiceBuilder::port_per_pod) it is the port of the
    /// Service, on which no pod listens: ask each pod for its [`addr`](FakePod::addr).
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the name without the cluster domain: `orders.shop.svc`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}.svc", self.settings.name, self.settings.namespace)
    }

    /// Returns the number of requests received, by pod name.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<String, usize> {
        let pods = self.lock();
        pods.iter().map(|pod| (pod.name().to_owned(), pod.requests())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<FakePod>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes, each of which takes effect in DNS before its method returns.
impl FakeService {
    /// Starts one more pod and lists it in DNS.
    ///
    /// # Errors
    ///
    /// If the port is in use on every address that was tried.
    pub async fn add_pod(&self) -> io::Result<FakePod> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.start_pod(&format!("{}-{number}", self.settings.name)).await
    }

    /// Removes a pod from DNS, lets it finish its requests in flight, and stops it; returns false if it does not exist.
    pub async fn remove_pod(&self, name: &str) -> bool {
        let found = self.pods().into_iter().find(|pod| pod.name() == name);
        match found {
            Some(pod) => {
                self.retire(&pod).await;
                true
            }
            None => false,
        }
    }

    /// Crashes the pod at `index`. It refuses connections but stays listed in DNS, as in a cluster until the kubelet
    /// notices. [`set_ready`](Self::set_ready) removes it from DNS.
    ///
    /// # Panics
    ///
    /// If `index` is out of range.
    pub async fn kill(&self, index: usize) {
        self.at(index).kill().await;
    }

    /// Adds the pod at `index` to DNS, or removes it. It keeps serving.
    ///
    /// # Panics
    ///
    /// If `index` is out of range.
    #[track_caller]
    pub fn set_ready(&self, index: usize, ready: bool) {
        let ip = self.at(index).ip();
        let FakeServiceBuilder { dns, namespace, name, .. } = &self.settings;
        dns.set_ready(namespace, name, ip, ready);
    }

    /// Replaces every pod, one at a time. A new pod starts and is added to DNS; then the old pod is removed from DNS,
    /// finishes its requests in flight, and stops. A new pod has a new address, and a new name unless the Service is
    /// stateful.
    ///
    /// # Errors
    ///
    /// If a new pod cannot start. Pods that were not replaced until then stay.
    pub async fn rolling_restart(&self) -> io::Result<()> {
        for old in self.pods() {
            if self.settings.stateful {
                self.start_pod(old.name()).await?;
            } else {
                self.add_pod().await?;
            }
            self.retire(&old).await;
        }
        Ok(())
    }

    #[track_caller]
    fn at(&self, index: usize) -> FakePod {
        let pods = self.lock();
        match pods.get(index) {
            Some(pod) => pod.clone(),
            None => panic!("{} has no pod at index {index}: it has {} pods", self.name(), pods.len()),
        }
    }

    async fn start_pod(&self, name: &str) -> io::Result<FakePod> {
        let FakeServiceBuilder { dns, namespace, name: service, handler, port_name, .. } = &self.settings;
        let pod = if self.settings.port_per_pod {
            start_pod_beside(self.port, name, handler.as_ref()).await?
        } else {
            start_pod(name, self.port, handler.as_ref()).await?
        };
        let listed = Pod::new(pod.ip()).port(port_name, pod.addr().port());
        let listed = if self.settings.stateful { listed.hostname(name) } else { listed };
        dns.add_pod(namespace, service, listed);
        self.lock().push(pod.clone());
        Ok(pod)
    }

    async fn retire(&self, pod: &FakePod) {
        let FakeServiceBuilder { dns, namespace, name, grace, .. } = &self.settings;
        dns.remove_pod(namespace, name, pod.ip());
        pod.stop_within(*grace).await;
        self.lock().retain(|other| other.addr() != pod.addr());
    }
}

impl Drop for FakeService {
    fn drop(&mut self) {
        let FakeServiceBuilder { dns, namespace, name, .. } = &self.settings;
        dns.remove(namespace, name);
    }
}
