//! reqwest, each request to a pod of its own: `cargo run -p examples --bin reqwest_client`.

use std::{collections::BTreeMap, error::Error, time::Duration};

use discovery_core::{Environment, Resolver};
use discovery_reqwest::{Client, ResponseExt};
use discovery_testing::FakeCluster;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cluster = FakeCluster::start().await?;
    let service = cluster.service("shop", "orders").replicas(4).start().await?;
    let environment = Environment::empty().with_env(cluster.env("web")).with_resolv_conf(cluster.resolv_conf("web"));
    // In a pod: `Resolver::new()?`.
    let resolver = Resolver::builder().environment(environment).build()?;

    // What reqwest can be told, for the client of every pod; here HTTP/2, where a plain client keeps to one pod.
    let client = Client::builder(resolver)
        .configure(|builder| builder.http2_prior_knowledge().timeout(Duration::from_secs(5)))
        .endpoint_timeout(Duration::from_secs(1))
        .build()?;

    let url = format!("http://orders.shop:{}/v1/items", service.port());
    send("4 pods, HTTP/2", &client, &url).await?;
    service.kill(0).await;
    send("one of them has crashed", &client, &url).await?;
    send("the port by its name", &client, "http://_http._tcp.orders.shop/v1/items").await?;

    // An error names what was asked and what was answered.
    let error = client.get("http://ordres.shop:80/").send().await.expect_err("no such Service");
    println!("http://ordres.shop:80/: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        println!("  because: {error}");
        cause = error.source();
    }
    Ok(())
}

async fn send(what: &str, client: &Client, url: &str) -> Result<(), Box<dyn Error>> {
    let mut by_pod = BTreeMap::<String, usize>::new();
    let (mut host, mut again) = (String::new(), 0);
    for _ in 0..200 {
        let response = client.get(url).send().await?.error_for_status()?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("?");
        *by_pod.entry(header("x-pod").to_owned()).or_default() += 1;
        host = header("x-host").to_owned();
        again += usize::from(response.endpoints_tried() > 1);
    }
    println!("{what}: {by_pod:?}, Host {host}, {again} sent again");
    Ok(())
}
