//! Balance reqwest's requests over the pods of a Service: `cargo run -p examples --bin reqwest_client`.

use std::{collections::BTreeMap, error::Error, time::Duration};

use discovery_reqwest::{Client, Environment, Resolver, ResponseExt};
use discovery_testing::FakeCluster;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = FakeCluster::start().await?;
    let service = cluster.service("shop", "orders").replicas(4).start().await?;
    let environment = Environment::empty().with_env(cluster.env("web")).with_resolv_conf(cluster.resolv_conf("web"));
    // In a pod, `Resolver::new()?` is enough.
    let resolver = Resolver::builder().environment(environment).build()?;

    // `configure` takes reqwest's own settings and applies them to the client of every pod. With HTTP/2 a plain client
    // would send everything over its one connection, to one pod.
    let client = Client::builder(resolver)
        .configure(|builder| builder.http2_prior_knowledge().timeout(Duration::from_secs(5)))
        .endpoint_timeout(Duration::from_secs(1))
        .build()?;

    let url = format!("http://orders.shop:{}/v1/items", service.port());
    send("4 pods, HTTP/2", &client, &url).await?;
    service.kill(0).await;
    send("orders-0 has crashed", &client, &url).await?;
    send("port by name", &client, "http://_http._tcp.orders.shop/v1/items").await?;

    // An error names the target and every answer that led to it.
    let error = client.get("http://ordres.shop:80/").send().await.expect_err("there is no such Service");
    println!("GET http://ordres.shop:80/\n  error: {error}");
    Ok(())
}

/// Sends 200 requests and prints how many of them each pod answered.
async fn send(title: &str, client: &Client, url: &str) -> Result<(), Box<dyn Error>> {
    let mut by_pod = BTreeMap::<String, usize>::new();
    let (mut host, mut retried) = (String::new(), 0);
    for _ in 0..200 {
        let response = client.get(url).send().await?.error_for_status()?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("?");
        *by_pod.entry(header("x-pod").to_owned()).or_default() += 1;
        host = header("x-host").to_owned();
        retried += usize::from(response.endpoints_tried() > 1);
    }
    let shares: Vec<_> = by_pod.iter().map(|(pod, answered)| format!("{pod} {answered}")).collect();
    println!("{title}: {} (Host {host}, {retried} retried)", shares.join(", "));
    Ok(())
}
