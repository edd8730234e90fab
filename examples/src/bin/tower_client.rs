//! Balance a tower service, here hyper's client, over a Service's pods: `cargo run -p examples --bin tower_client`.

use std::{collections::BTreeMap, error::Error, time::Duration};

use bytes::Bytes;
use discovery_testing::FakeCluster;
use discovery_tower::{Balance, Endpoint, Environment, Resolver};
use http::{Request, Uri, uri::Scheme};
use http_body_util::Empty;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let cluster = FakeCluster::start().await?;
    let service = cluster.service("shop", "orders").replicas(4).start().await?;
    let environment = Environment::empty().with_env(cluster.env("shop")).with_resolv_conf(cluster.resolv_conf("shop"));
    // In a pod, `Resolver::new()?` is enough.
    let resolver = Resolver::builder().environment(environment).build()?;

    let orders = resolver.resolve(format!("http://orders:{}", service.port()).as_str()).await?;
    let balance = Balance::new(orders, connect).with_endpoint_timeout(Duration::from_secs(1));
    // `Balance` is an ordinary tower service: wrap it in layers. Clones share the connections to the pods.
    let client = ServiceBuilder::new().concurrency_limit(64).service(balance);

    send("100 requests to 4 pods", client.clone(), 100).await?;
    service.kill(0).await;
    send("100 requests after orders-0 crashed", client, 100).await?;
    Ok(())
}

/// Makes one hyper client, and so one connection pool, for each pod.
fn connect(
    endpoint: &Endpoint,
) -> impl Service<
    Request<Empty<Bytes>>,
    Response = http::Response<hyper::body::Incoming>,
    Error = hyper_util::client::legacy::Error,
    Future: Send,
> + Clone
+ Send
+ Sync
+ use<> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let pod = endpoint.addr();
    service_fn(move |mut request: Request<Empty<Bytes>>| {
        // The URI gets the pod's address; the `Host` header keeps the Service's name.
        let mut parts = request.uri().clone().into_parts();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = pod.to_string().parse().ok();
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
        client.request(request)
    })
}

/// Sends requests one by one and prints how many of them each pod answered.
async fn send<S, B>(title: &str, client: S, requests: usize) -> Result<(), BoxError>
where
    S: Service<Request<Empty<Bytes>>, Response = http::Response<B>, Error: Into<BoxError>> + Clone,
{
    let mut by_pod = BTreeMap::<String, usize>::new();
    for _ in 0..requests {
        let request = Request::get("/v1/items").header("host", "orders.shop").body(Empty::new())?;
        let response = client.clone().oneshot(request).await.map_err(Into::into)?;
        let pod = response.headers().get("x-pod").and_then(|pod| pod.to_str().ok()).unwrap_or("?");
        *by_pod.entry(pod.to_owned()).or_default() += 1;
    }
    let shares: Vec<_> = by_pod.iter().map(|(pod, answered)| format!("{pod} {answered}")).collect();
    println!("{title}: {}", shares.join(", "));
    Ok(())
}
