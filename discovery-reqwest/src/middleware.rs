//! The client at the end of a `reqwest_middleware` chain.

use async_trait::async_trait;
use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next};

use crate::Client;

/// Sends the request to an endpoint that is picked for it. Add it last: neither later middleware nor the
/// `reqwest::Client` that the chain was built around is called.
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
///     // .with(tracing or retrying middleware)
///     .with(last)
///     .build();
/// assert_eq!(client.get(url).send().await?.status(), 200);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// An error of reqwest is returned as such, so that a retrying middleware recognizes it. If there is no endpoint, the
/// error is a middleware error that holds a [`discovery_reqwest::Error`](crate::Error).
#[async_trait]
impl Middleware for Client {
    async fn handle(&self, request: Request, _: &mut Extensions, _: Next<'_>) -> reqwest_middleware::Result<Response> {
        self.execute(request).await.map_err(|error| match error.into_reqwest() {
            Ok(error) => reqwest_middleware::Error::Reqwest(error),
            Err(error) => reqwest_middleware::Error::middleware(error),
        })
    }
}
