//! EndpointSlices as a source, against a scripted API server on loopback.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod failures;
mod first;
mod history;
mod in_cluster;
mod memory;
mod objects;
mod server;
mod watches;

use std::{sync::Arc, time::Duration};

use discovery_core::{
    Resolver,
    source::kubernetes::{KubernetesSource, KubernetesSourceBuilder},
};
use discovery_testing::FakeDns;
use server::ApiServer;

/// Waits short enough for a test.
fn source(server: &ApiServer) -> KubernetesSourceBuilder {
    let ms = Duration::from_millis;
    KubernetesSource::builder(server.url()).backoff(ms(20), ms(100)).forbidden_retry_interval(ms(100))
}

/// A resolver of a pod in `shop`, which asks `dns` after the API server.
fn resolver(builder: KubernetesSourceBuilder, dns: &FakeDns) -> Resolver {
    tests::in_pod(dns, "shop").source(Arc::new(builder.build().unwrap())).build().unwrap()
}
