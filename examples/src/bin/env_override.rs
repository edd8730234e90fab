//! A laptop, no cluster: two variables lead `http://orders/` to a server on this machine, and nothing in the
//! program knows. `cargo run -p examples --bin env_override`
//!
//! In a shell it is `ORDERS_SERVICE_HOST=127.0.0.1 ORDERS_SERVICE_PORT=8080 POD_NAMESPACE=shop my-program`. They
//! are the variables that the kubelet sets for a Service of a pod's namespace, so that the namespace has to be told.

use std::error::Error;

use discovery_core::{Environment, Resolver};
use discovery_reqwest::Client;
use discovery_testing::FakePod;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // The `orders` that somebody works on: any server, on any port.
    let on_this_machine = FakePod::start("my orders").await?;
    let addr = on_this_machine.addr();

    let vars = [
        ("POD_NAMESPACE", "shop".to_owned()),
        ("ORDERS_SERVICE_HOST", addr.ip().to_string()),
        ("ORDERS_SERVICE_PORT", addr.port().to_string()),
    ];
    for (name, value) in &vars {
        println!("{name}={value}");
    }
    // With the variables in the shell this is `Resolver::new()?`.
    let resolver = Resolver::builder().environment(Environment::empty().with_env(vars)).build()?;
    let client = Client::new(resolver.clone());

    let response = client.get("http://orders/v1/items").send().await?;
    println!("\nGET http://orders/v1/items");
    println!("  status  {}", response.status());
    println!("  Host    {:?}", response.headers().get("x-host"));
    println!("  from    {:?}", response.text().await?);

    println!("\nwhy:\n{}", resolver.resolve("http://orders").await?.explain());

    // A typo is told, not passed over.
    let typo = Environment::empty().with_env([("POD_NAMESPACE", "shop"), ("ORDERS_SERVICE_HOST", "localhost:80")]);
    let error = Resolver::builder().environment(typo).build()?.resolve("http://orders").await.expect_err("a typo");
    println!("with ORDERS_SERVICE_HOST=localhost:80:\n  {error}");
    Ok(())
}
