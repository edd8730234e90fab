//! Send a steady stream of requests to one Service while its pods are added, slow down, crash and are rolled:
//! `cargo run -p examples --bin quickstart`.
//!
//! Only the cluster is fake. The client resolves `orders.shop` with real DNS packets and talks to the pods over real
//! HTTP connections, all on loopback. A terminal shows a live table; anywhere else, each scene prints one block of
//! text. The exit code is 1 if a request failed.

mod load;
mod scenes;
mod table;

use std::{error::Error, process::ExitCode};

use discovery_reqwest::{Client, Environment, Resolver};
use discovery_testing::{FakeCluster, FakeDns};

use crate::{load::Load, scenes::Stage, table::Screen};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    // A TTL of one second makes changes visible quickly; CoreDNS uses 5 or 30 seconds.
    let dns = FakeDns::builder().ttl(1).start().await?;
    let cluster = FakeCluster::with_dns(dns);
    let orders = cluster.service("shop", "orders").replicas(3).start().await?;

    // The environment of a pod in namespace `web`. In a real pod, `Resolver::new()?` is enough.
    let environment = Environment::empty().with_env(cluster.env("web")).with_resolv_conf(cluster.resolv_conf("web"));
    let resolver = Resolver::builder().environment(environment).build()?;
    let client = Client::new(resolver.clone());
    let url = format!("http://orders.shop:{}/", orders.port());

    let upstream = resolver.resolve(url.as_str()).await?;
    let load = Load::start(&client, &url);
    let failed = Stage::new(&cluster, &orders, &upstream, &load).play(&mut Screen::new(&url)).await?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
