//! The client as the last link of a chain of reqwest-middleware.

use async_trait::async_trait;
use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};

use crate::Client;

/// Sends what the chain before it lets through, to an endpoint that is picked for it. Nothing after it is asked, nor
/// is the `reqwest::Client` that the chain was built around: put it last.
///
/// ```
/// # use discovery_testing::FakePod;
/// # use discovery_core::{Resolver, Environment};
/// use discovery_reqwest::Client;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let pod = FakePod::start("orders-0").await?;
/// # let resolver = Resolver::builder().environment(Environment::empty()).build()?;
/// # let url = format!("http://{}/", pod.addr());
/// let last = Client::builder(resolver).no_proxy().build()?;
/// let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
///     // .with(a tracing or retrying middleware)
///     .with(last)
///     .build();
/// assert_eq!(client.get(url).send().await?.status(), 200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// An error of reqwest's is told as one, so that a retrying middleware knows it; that there is no endpoint is told as an
/// error of a middleware, which is a [`discovery_reqwest::Error`](crate::Error).
#[async_trait]
impl Middleware for Client {
    async fn handle(&self, request: Request, _: &mut Extensions, _: Next<'_>) -> reqwest_middleware::Result<Response> {
        self.execute(request).await.map_err(|error| match error.into_reqwest() {
            Ok(error) => reqwest_middleware::Error::Reqwest(error),
            Err(error) => reqwest_middleware::Error::middleware(error),
        })
    }
}
