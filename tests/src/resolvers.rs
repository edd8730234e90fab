//! Resolvers on the test doubles.

use std::time::Duration;

use discovery_core::{Environment, Resolver, ResolverBuilder, context::Families, refresh::RefreshSettings};
use discovery_testing::{FakeCluster, FakeDns};

/// The resolver of a pod in `namespace`: it queries `dns`, for IPv4 only.
pub fn in_pod(dns: &FakeDns, namespace: &str) -> ResolverBuilder {
    in_pod_with(dns, namespace, [])
}

/// The resolver of a pod in `namespace` whose environment holds these variables as well.
pub fn in_pod_with<'a>(
    dns: &FakeDns,
    namespace: &'a str,
    vars: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> ResolverBuilder {
    let environment = Environment::empty()
        .with_env([("POD_NAMESPACE", namespace)])
        .with_env(vars)
        .with_resolv_conf(dns.resolv_conf(namespace));
    Resolver::builder().environment(environment).nameservers([dns.addr()]).families(Families::V4)
}

/// The resolver of a pod in `namespace` of a fake cluster, for IPv4 only.
///
/// # Panics
/// When the cluster hands out an invalid configuration.
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
/// Never: the settings are valid.
#[must_use]
pub fn brisk() -> RefreshSettings {
    let settings = RefreshSettings::default().with_refresh(Duration::from_millis(20), Duration::from_secs(30));
    let settings = settings.unwrap_or_else(|error| panic!("{error}"));
    settings.with_removal_hold(Duration::from_millis(40)).with_confirm_after(Duration::from_millis(40))
}
