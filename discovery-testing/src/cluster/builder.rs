use std::{fmt, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};

use super::service::FakeService;
use crate::{
    dns::FakeDns,
    name::require_label,
    pod::{GRACE, Handler},
    zone::Service,
};

/// How a [`FakeService`] starts. From [`FakeCluster::service`](crate::FakeCluster::service).
#[must_use = "nothing starts before `start`"]
pub struct FakeServiceBuilder {
    pub(super) dns: Arc<FakeDns>,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) port_name: String,
    pub(super) stateful: bool,
    pub(super) handler: Option<Handler>,
    /// How long a pod that is taken away may finish what is in flight.
    pub(super) grace: Duration,
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
            handler: None,
            grace: GRACE,
            replicas: 1,
        }
    }

    /// How many pods to start. Default: 1.
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// How long a pod that is removed or replaced may finish what is in flight. Default: 30 s, as Kubernetes.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The name of the port. Default: `http`.
    ///
    /// # Panics
    ///
    /// If the name is not a DNS label.
    #[track_caller]
    pub fn port_name(mut self, name: &str) -> Self {
        self.port_name = require_label("port name", name);
        self
    }

    /// Gives the pods their names as host names in DNS (`orders-0.orders.shop.svc...`), as a StatefulSet does.
    pub fn stateful(mut self) -> Self {
        self.stateful = true;
        self
    }

    /// What the pods answer, in place of their name.
    pub fn handler(mut self, handler: impl Fn(Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static) -> Self {
        self.handler = Some(Arc::new(handler));
        self
    }

    /// Starts the pods and declares the Service. Its name resolves when this returns.
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

    /// The Service without pods, on the port that they are to have.
    pub(super) fn declaration(&self, port: u16) -> Service {
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
            .field("replicas", &self.replicas)
            .finish_non_exhaustive()
    }
}
