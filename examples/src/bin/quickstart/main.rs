//! A fake cluster in this process, and a client that sends a steady stream of requests to one of its Services
//! while pods come, turn slow, crash and are rolled: `cargo run -p examples --bin quickstart`.
//!
//! Everything but the cluster is real: DNS packets to `orders.shop`, HTTP connections to its pods, on loopback.
//! In a terminal it is a live table, otherwise one block of text for each scene. It ends with 1 if a request
//! failed.

mod load;
mod scenes;
mod table;

use std::{error::Error, process::ExitCode};

use discovery_core::{Environment, Resolver};
use discovery_reqwest::Client;
use discovery_testing::{FakeCluster, FakeDns};

use crate::{load::Load, scenes::Stage, table::Screen};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    // A TTL of one second, so that there is something to see; CoreDNS has 5 or 30.
    let dns = FakeDns::builder().ttl(1).start().await?;
    let cluster = FakeCluster::with_dns(dns);
    let orders = cluster.service("shop", "orders").replicas(3).start().await?;

    // What a pod of the namespace `web` would find around itself. In a real one: `Resolver::new()?`.
    let environment = Environment::empty().with_env(cluster.env("web")).with_resolv_conf(cluster.resolv_conf("web"));
    let resolver = Resolver::builder().environment(environment).build()?;
    let client = Client::new(resolver.clone());
    let url = format!("http://orders.shop:{}/", orders.port());

    let upstream = resolver.resolve(url.as_str()).await?;
    let load = Load::start(&client, &url);
    let failed = Stage::new(&cluster, &orders, &upstream, &load).play(&mut Screen::new(&url)).await?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
