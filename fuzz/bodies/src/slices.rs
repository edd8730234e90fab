//! Whatever an API server lists as EndpointSlices, a lookup does not panic, and yields only endpoints that a request
//! can be sent to.
//!
//! The input is a list of slices. It is read twice: as an API server's answer by the source of EndpointSlices, end to
//! end over loopback since its parser is private, and as objects of the API by the proxy.

use std::{cell::RefCell, sync::Arc, time::Duration};

use discovery_core::{Environment, Resolver, source::kubernetes::KubernetesSource};
use k8s_openapi::{List, api::discovery::v1::EndpointSlice};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};

use crate::{Addresses, http::Server, manifests::Objects};

/// A broken list is asked for again after a pause, for which a case does not wait.
const PATIENCE: Duration = Duration::from_millis(100);

thread_local! {
    static SETUP: RefCell<Option<(Runtime, Server)>> = const { RefCell::new(None) };
}

pub(crate) fn check(bytes: &[u8]) {
    if let Ok(list) = serde_json::from_slice::<List<EndpointSlice>>(bytes) {
        let mut objects = Objects::default();
        list.items.iter().for_each(|slice| objects.add_slice(slice));
        objects.check();
    }
    SETUP.with_borrow_mut(|setup| {
        let (runtime, server) = setup.get_or_insert_with(|| {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            let server = runtime.block_on(Server::start(&answer));
            (runtime, server)
        });
        server.set_input(bytes);
        runtime.block_on(lookups(server));
    });
}

/// Watches end with the case.
fn answer(path: &str, input: &[u8]) -> Option<Vec<u8>> {
    match path {
        _ if path.contains("watch=") => None,
        _ if path.contains("/endpointslices") => Some(input.to_vec()),
        _ => Some(SERVICES.as_bytes().to_vec()),
    }
}

async fn lookups(server: &Server) {
    let source = KubernetesSource::builder(server.url()).build().expect("a valid URL");
    let environment = Environment::empty()
        .with_env([("POD_NAMESPACE", "shop"), ("DISCOVERY_CLUSTER_DOMAIN", "cluster.local")])
        .with_env([("DISCOVERY_NAMESERVERS", "127.0.0.1:9"), ("DISCOVERY_DNS_TIMEOUT", "20ms")])
        .with_env([("DISCOVERY_DNS_ATTEMPTS", "1")]);
    let resolver = Resolver::builder().environment(environment).source(Arc::new(source));
    let resolver = resolver.build().expect("a resolver");
    for (target, addresses) in TARGETS {
        let upstream = resolver.upstream(*target).expect("a valid name");
        let in_time = timeout(PATIENCE, upstream.first_answer()).await;
        addresses.check_all(&upstream);
        assert!(!upstream.explain().to_string().is_empty());
        if in_time.is_err() {
            // The list is broken for the other targets too.
            return;
        }
    }
}

const TARGETS: &[(&str, Addresses)] = &[
    ("orders:80", Addresses::WithPort),
    ("orders:http", Addresses::WithPort),
    ("db:9000", Addresses::WithPort),
    // A headless Service without ports.
    ("db", Addresses::PortUnknown),
];

const SERVICES: &str = r#"{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[
    {"metadata":{"namespace":"shop","name":"orders","resourceVersion":"5"},"spec":{"clusterIP":"10.96.7.1",
     "ipFamilies":["IPv4","IPv6"],"ports":[{"name":"http","port":80,"protocol":"TCP","targetPort":8080}]}},
    {"metadata":{"namespace":"shop","name":"db","resourceVersion":"6"},"spec":{"clusterIP":"None"}}]}"#;

pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let list = |items: &[&str]| {
        let head =
            r#"{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"7"}"#;
        format!("{head},\"items\":[{}]}}", items.join(",")).into_bytes()
    };
    vec![list(&[V4, V6]), list(&[HEADLESS]), list(&[V4, HEADLESS, V6]), list(&[])]
}

/// As the API server of Kubernetes 1.36 writes them.
const V4: &str = r#"{"metadata":{"namespace":"shop","name":"orders-x7k2p","uid":"a","resourceVersion":"3","labels":{
    "kubernetes.io/service-name":"orders","endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io"}},
    "addressType":"IPv4","ports":[{"name":"http","port":8080,"protocol":"TCP"}],"endpoints":[
    {"addresses":["10.244.0.3"],"conditions":{"ready":true,"serving":true,"terminating":false},"nodeName":"node0",
     "targetRef":{"kind":"Pod","namespace":"shop","name":"orders-1","uid":"u1"},"zone":"zone-a",
     "hints":{"forZones":[{"name":"zone-a"}],"forNodes":[{"name":"node0"}]}},
    {"addresses":["10.244.0.4"],"conditions":{"ready":false,"serving":true,"terminating":true}},
    {"addresses":["10.244.0.5"],"conditions":{}}]}"#;

const V6: &str = r#"{"metadata":{"namespace":"shop","name":"orders-6","resourceVersion":"4","labels":{
    "kubernetes.io/service-name":"orders"}},"addressType":"IPv6","ports":[{"name":"http","port":8080}],"endpoints":[
    {"addresses":["fd00::3"],"conditions":{"ready":true},"targetRef":{"uid":"u1"}}]}"#;

const HEADLESS: &str = r#"{"metadata":{"namespace":"shop","name":"db-1","resourceVersion":"2","labels":{
    "kubernetes.io/service-name":"db","service.kubernetes.io/headless":""}},"addressType":"IPv4","ports":null,
    "endpoints":[{"addresses":["10.244.0.9"],"conditions":{"ready":true},"hostname":"db-0"}]}"#;
