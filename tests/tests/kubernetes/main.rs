//! EndpointSlices as a source, against a scripted API server on loopback.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod answers;
mod failures;
mod in_cluster;
mod memory;
mod objects;
mod refusals;
mod restarts;
mod server;
mod watches;

use std::{sync::Arc, time::Duration};

use discovery_core::{
    Resolver,
    source::kubernetes::{KubernetesSource, KubernetesSourceBuilder},
};
use discovery_testing::FakeDns;
use server::ApiServer;

/// A source whose waits are short enough for a test.
fn source(server: &ApiServer) -> KubernetesSourceBuilder {
    let ms = Duration::from_millis;
    KubernetesSource::builder(server.url()).backoff(ms(20), ms(100)).forbidden_retry_interval(ms(100))
}

/// The resolver of a pod in `shop`: it asks the API server first, then `dns`.
fn resolver(builder: KubernetesSourceBuilder, dns: &FakeDns) -> Resolver {
    tests::in_pod(dns, "shop").source(Arc::new(builder.build().unwrap())).build().unwrap()
}
