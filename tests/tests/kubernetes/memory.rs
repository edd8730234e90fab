//! The memory of a thousand endpoints.
//!
//! A figure for the documentation (`source::kubernetes`): the bytes that stay allocated, as the allocator counts them,
//! for objects as the API server writes them, including the fields that the source skips.

use discovery_testing::FakeDns;
use tests::until;

use super::{
    objects::{service, slice},
    resolver,
    server::ApiServer,
    source,
};

/// A Service of 1000 endpoints in ten slices. The API server is on another thread, whose allocations are not counted.
#[test]
fn a_thousand_endpoints_cost_less_than_200_kib() {
    let (send, receive) = std::sync::mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (server, dns) = (ApiServer::start().await, FakeDns::start().await.unwrap());
            server.apply(&service("orders", "10.96.0.7", &[("http", 80)]));
            for n in 0..10 {
                let addresses: Vec<String> = (0..100).map(|m| format!("10.0.{n}.{m}")).collect();
                let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
                server.apply(&slice(&format!("orders-{n}"), "orders", ("http", 8080), &addresses));
            }
            let small = ApiServer::start().await;
            small.apply(&service("orders", "10.96.0.7", &[("http", 80)]));
            small.apply(&slice("orders-0", "orders", ("http", 8080), &["10.0.0.1"]));
            send.send([&small, &small, &server].map(|server| resolver(source(server), &dns))).unwrap();
            let _ = stopped.await;
        });
    });
    let [warm, small, large] = receive.recv().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let held = |resolver: &discovery_core::Resolver, endpoints: usize| {
        let mut kept = None;
        let counted = allocation_counter::measure(|| {
            kept = Some(runtime.block_on(async {
                let orders = resolver.resolve("http://orders").await.unwrap();
                until(&orders, "all of them", |set| set.len() == endpoints).await;
                // Buffers of the first read are free once the watches have begun.
                tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                orders
            }));
        });
        (counted.bytes_current, kept)
    };
    let ((_, _warm), (one, _one), (thousand, _thousand)) = (held(&warm, 1), held(&small, 1), held(&large, 1000));
    // The set and its policy cost the same with every source.
    let manual = {
        let (source, handle) = discovery_testing::ManualSource::new();
        let addrs: Vec<String> = (0..1000).map(|n| format!("10.0.{}.{}:80", n / 100, n % 100)).collect();
        handle.set(addrs.iter().map(String::as_str));
        let builder = discovery_core::Resolver::builder().environment(discovery_core::Environment::empty());
        let resolver = builder.source(std::sync::Arc::new(source)).build().unwrap();
        held(&resolver, 1000)
    };
    let store = thousand - one - manual.0;
    println!("a namespace: {one} bytes; 1000 endpoints: {store} in the store, {} in the set", manual.0);
    assert!(store < 200 * 1024, "{store} bytes");
    stop.send(()).unwrap();
    serving.join().unwrap();
}
