//! Work on a laptop without a cluster: two variables send `http://orders/` to a server on this machine, and the code
//! that sends the request stays the same. `cargo run -p examples --bin env_override`
//!
//! In a shell: `ORDERS_SERVICE_HOST=127.0.0.1 ORDERS_SERVICE_PORT=8080 POD_NAMESPACE=shop my-program`. The kubelet sets
//! the same variables for every Service of a pod's own namespace, so the resolver has to know that namespace.

use std::error::Error;

use discovery_reqwest::{Client, Environment, Resolver};
use discovery_testing::FakePod;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The `orders` that you are working on: any server, on any port.
    let local = FakePod::start("my orders").await?;
    let addr = local.addr();

    let vars = [
        ("POD_NAMESPACE", "shop".to_owned()),
        ("ORDERS_SERVICE_HOST", addr.ip().to_string()),
        ("ORDERS_SERVICE_PORT", addr.port().to_string()),
    ];
    for (name, value) in &vars {
        println!("{name}={value}");
    }
    // With the variables set in the shell, `Resolver::new()?` is enough.
    let resolver = Resolver::builder().environment(Environment::empty().with_env(vars)).build()?;
    let client = Client::new(resolver.clone());

    let response = client.get("http://orders/v1/items").send().await?;
    println!("\nGET http://orders/v1/items");
    println!("  status     {}", response.status());
    let host = response.headers().get("x-host").and_then(|host| host.to_str().ok()).unwrap_or("?");
    println!("  Host       {host}");
    println!("  served by  {}", response.text().await?);

    println!("\nWhy this server:\n{}", resolver.resolve("http://orders").await?.explain());

    // A typo is an error, not a silent fallback to DNS.
    let typo = Environment::empty().with_env([("POD_NAMESPACE", "shop"), ("ORDERS_SERVICE_HOST", "localhost:80")]);
    let error = Resolver::builder().environment(typo).build()?.resolve("http://orders").await.expect_err("a typo");
    println!("With ORDERS_SERVICE_HOST=localhost:80:\n  {error}");
    Ok(())
}
