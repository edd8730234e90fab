//! DNS servers of clusters with any domain, resolvers that read their environment, and files to read it from.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use discovery_core::{Environment, Resolver, ResolverBuilder, Upstream, plan::Families};
use discovery_testing::{FakeDns, Pod, QType, ReceivedQuery, Service};
use tests::{brisk, within};

pub(crate) const SEARCH_SHOP: &str = "search shop.svc.cluster.local svc.cluster.local cluster.local";

/// `orders` in `shop` and `billing`, in a cluster with this domain.
pub(crate) async fn cluster_dns(domain: &str) -> FakeDns {
    let dns = FakeDns::builder().ttl(0).cluster_domain(domain).start().await.unwrap();
    for (namespace, ip) in [("shop", "10.0.0.1"), ("billing", "10.0.0.2")] {
        dns.apply(Service::headless(namespace, "orders").port("http", 8080).pod(Pod::new(ip)));
    }
    dns
}

/// A resolver in this environment, for IPv4, with refreshes in quick succession.
pub(crate) fn resolver_in(environment: Environment) -> ResolverBuilder {
    Resolver::builder().environment(environment).families(Families::V4).refresh(brisk())
}

/// Resolves a target that must have endpoints.
pub(crate) async fn resolved(resolver: &Resolver, target: &str) -> Upstream {
    within(target, resolver.resolve(target)).await.unwrap_or_else(|error| panic!("{target}: {error}"))
}

pub(crate) fn is_txt(asked: &ReceivedQuery) -> bool {
    asked.qtype == QType::TXT
}

pub(crate) fn txt_queries(dns: &FakeDns) -> usize {
    dns.questions().iter().filter(|asked| is_txt(asked)).count()
}

/// A file of one test, removed at its end.
pub(crate) struct TempFile(PathBuf);

impl TempFile {
    pub(crate) fn new(text: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("discovery-context-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let file = Self(std::env::temp_dir().join(name));
        file.write(text);
        file
    }

    /// Replaces the file in one step, so that a reader never sees half of it.
    pub(crate) fn write(&self, text: &str) {
        let beside = self.0.with_extension("new");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, &self.0).unwrap();
    }

    pub(crate) fn remove(&self) {
        fs::remove_file(&self.0).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
