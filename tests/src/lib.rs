//! What the test programs share: resolvers on the test doubles, and waiting without sleeping.

mod balancer;
pub mod said;

use std::{net::SocketAddr, time::Duration};

pub use balancer::Balancer;

use discovery_core::{
    Environment, Resolver, ResolverBuilder, Upstream, context::Families, endpoint::EndpointSet,
    refresh::RefreshSettings,
};
use discovery_testing::{FakeCluster, FakeDns};

/// How long a test waits for what has to happen. It bounds a hang; nothing is timed by it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A builder as a pod of `namespace` would have it, on `dns`, for IPv4 only.
pub fn in_pod(dns: &FakeDns, namespace: &str) -> ResolverBuilder {
    let environment =
        Environment::empty().with_env([("POD_NAMESPACE", namespace)]).with_resolv_conf(dns.resolv_conf(namespace));
    Resolver::builder().environment(environment).nameservers([dns.addr()]).families(Families::V4)
}

/// A resolver as a pod of `namespace` of the cluster would have it, for IPv4 only.
///
/// # Panics
/// When the cluster hands out a configuration that is not valid.
#[must_use]
pub fn in_cluster(cluster: &FakeCluster, namespace: &str) -> Resolver {
    let environment =
        Environment::empty().with_env(cluster.env(namespace)).with_resolv_conf(cluster.resolv_conf(namespace));
    let built = Resolver::builder().environment(environment).families(Families::V4).build();
    built.unwrap_or_else(|error| panic!("{error}"))
}

/// Settings that refresh as fast as the bounds allow, for tests that wait for a refresh.
///
/// # Panics
/// Never: the settings do not contradict each other.
#[must_use]
pub fn brisk() -> RefreshSettings {
    let settings = RefreshSettings::default().with_refresh(Duration::from_millis(20), Duration::from_secs(30));
    let settings = settings.unwrap_or_else(|error| panic!("{error}"));
    settings.with_removal_hold(Duration::from_millis(40)).with_confirm_after(Duration::from_millis(40))
}

/// The addresses of the set, sorted, as texts.
#[must_use]
pub fn addrs(set: &EndpointSet) -> Vec<String> {
    let mut addrs: Vec<SocketAddr> = set.iter().flat_map(discovery_core::endpoint::Endpoint::addrs).collect();
    addrs.sort();
    addrs.iter().map(ToString::to_string).collect()
}

/// Waits until the endpoints are as `wanted` says.
///
/// # Panics
/// When that does not come about within [`PATIENCE`].
pub async fn until(upstream: &Upstream, what: &str, wanted: impl Fn(&EndpointSet) -> bool) {
    let reached = async {
        let mut watch = upstream.watch();
        while !wanted(&*watch.next().await) {}
    };
    if tokio::time::timeout(PATIENCE, reached).await.is_err() {
        panic!("{what}: not within {PATIENCE:?}; {}", upstream.explain());
    }
}
