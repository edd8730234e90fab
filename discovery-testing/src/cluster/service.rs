use std::{
    collections::BTreeMap,
    io,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{address::start_pod, builder::FakeServiceBuilder};
use crate::{pod::FakePod, zone::Pod};

/// A headless Service of a [`FakeCluster`](crate::FakeCluster) with its pods.
///
/// Dropping it takes the Service out of DNS; each pod closes with its last handle.
#[derive(Debug)]
pub struct FakeService {
    settings: FakeServiceBuilder,
    port: u16,
    next: AtomicUsize,
    pods: Mutex<Vec<FakePod>>,
}

impl FakeService {
    /// Chooses the port. A pod that is not listed holds it for a moment, so that it is known to be free.
    pub(super) async fn reserve(settings: FakeServiceBuilder) -> io::Result<Self> {
        let scout = start_pod("scout", 0, None).await?;
        let port = scout.addr().port();
        scout.kill().await;
        settings.dns.apply(settings.declaration(port));
        Ok(Self { settings, port, next: AtomicUsize::new(0), pods: Mutex::new(Vec::new()) })
    }

    /// The pods, oldest first. The handles stay valid when a pod is removed.
    #[must_use]
    pub fn pods(&self) -> Vec<FakePod> {
        self.lock().clone()
    }

    /// The port that every pod listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The name below the cluster domain: `orders.shop.svc`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}.svc", self.settings.name, self.settings.namespace)
    }

    /// Requests received, by pod name.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<String, usize> {
        let pods = self.lock();
        pods.iter().map(|pod| (pod.name().to_owned(), pod.requests())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<FakePod>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes. Each takes effect in DNS before it returns.
impl FakeService {
    /// Starts one more pod and lists it in DNS.
    ///
    /// # Errors
    ///
    /// If the port is taken on every address that was tried.
    pub async fn add_pod(&self) -> io::Result<FakePod> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.start_pod(&format!("{}-{number}", self.settings.name)).await
    }

    /// Takes a pod out of DNS, lets it finish what is in flight, and stops it; false if there is no such pod.
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

    /// Crashes the pod at `index`: it refuses connections and is still listed in DNS,
    /// as until the kubelet notices. [`set_ready`](Self::set_ready) takes it out.
    ///
    /// # Panics
    ///
    /// If there is no such pod.
    pub async fn kill(&self, index: usize) {
        self.at(index).kill().await;
    }

    /// Lists the pod at `index` in DNS or not. It goes on serving.
    ///
    /// # Panics
    ///
    /// If there is no such pod.
    #[track_caller]
    pub fn set_ready(&self, index: usize, ready: bool) {
        let ip = self.at(index).ip();
        let FakeServiceBuilder { dns, namespace, name, .. } = &self.settings;
        dns.set_ready(namespace, name, ip, ready);
    }

    /// Replaces every pod, one at a time: a new one starts and is listed, the old one leaves DNS, finishes what is
    /// in flight, and stops. A new pod has a new address, and a new name unless the Service is stateful.
    ///
    /// # Errors
    ///
    /// If a new pod cannot start; the pods that were not replaced by then stay.
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
            None => panic!("no pod {index}: {} has {}", self.name(), pods.len()),
        }
    }

    async fn start_pod(&self, name: &str) -> io::Result<FakePod> {
        let FakeServiceBuilder { dns, namespace, name: service, handler, stateful, .. } = &self.settings;
        let pod = start_pod(name, self.port, handler.as_ref()).await?;
        let listed = Pod::new(pod.ip());
        let listed = if *stateful { listed.hostname(name) } else { listed };
        dns.add_pod(namespace, service, listed);
        self.lock().push(pod.clone());
        Ok(pod)
    }

    async fn retire(&self, pod: &FakePod) {
        let FakeServiceBuilder { dns, namespace, name, grace, .. } = &self.settings;
        dns.remove_pod(namespace, name, pod.ip());
        pod.stop_within(*grace).await;
        self.lock().retain(|held| held.addr() != pod.addr());
    }
}

impl Drop for FakeService {
    fn drop(&mut self) {
        let FakeServiceBuilder { dns, namespace, name, .. } = &self.settings;
        dns.remove(namespace, name);
    }
}
