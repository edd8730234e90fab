//! Follow the endpoints of a Service while pods come and go: `cargo run -p examples --bin watch`. Ends by itself.

use std::{error::Error, sync::Arc, time::Duration};

use discovery_core::{Environment, Resolver, endpoint::EndpointSet};
use discovery_testing::{FakeDns, Pod, Service};
use tokio::time::{Instant, sleep, timeout};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dns = FakeDns::builder().ttl(1).start().await?;
    let pods = ["10.0.0.2", "10.0.0.3"].map(Pod::new);
    dns.apply(pods.into_iter().fold(Service::headless("shop", "orders").port("http", 8080), Service::pod));

    let environment =
        Environment::empty().with_env([("POD_NAMESPACE", "shop")]).with_resolv_conf(dns.resolv_conf("shop"));
    let resolver = Resolver::builder().environment(environment).nameservers([dns.addr()]).build()?;
    let orders = resolver.resolve("orders:8080").await?;

    let changes = tokio::spawn(change_pods(dns));
    let start = Instant::now();
    let mut watch = orders.watch();
    let mut last = Arc::<EndpointSet>::default();
    // The watch yields complete sets; `since` computes what changed. A watch never ends, so this loop stops after four
    // seconds without a change.
    while let Ok(set) = timeout(Duration::from_secs(4), watch.next()).await {
        let changed = set.since(&last);
        println!("{:>4.1} s  version {}, endpoints: {}", start.elapsed().as_secs_f64(), set.version(), set.len());
        changed.added.iter().for_each(|endpoint| println!("        + {endpoint}"));
        changed.removed.iter().for_each(|endpoint| println!("        - {endpoint}"));
        last = set;
    }
    let dns = changes.await?;
    println!("\nThe DNS server answered {} questions.\n\n{}", dns.total(), orders.explain());
    Ok(())
}

/// Adds a pod, removes one, removes all of them, and adds one again.
async fn change_pods(dns: FakeDns) -> FakeDns {
    sleep(Duration::from_secs(1)).await;
    dns.add_pod("shop", "orders", Pod::new("10.0.0.4"));
    sleep(Duration::from_secs(2)).await;
    dns.remove_pod("shop", "orders", "10.0.0.2");
    sleep(Duration::from_secs(3)).await;
    for ip in ["10.0.0.3", "10.0.0.4"] {
        dns.remove_pod("shop", "orders", ip);
    }
    sleep(Duration::from_secs(3)).await;
    dns.add_pod("shop", "orders", Pod::new("10.0.0.9"));
    dns
}
