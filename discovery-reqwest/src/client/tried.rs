//! How many endpoints a request took.

use reqwest::Response;

/// How many endpoints a request was sent to, the one that answered included.
///
/// ```
/// # use discovery_testing::FakePod;
/// # use discovery_core::{Resolver, Surroundings};
/// use discovery_reqwest::{Client, EndpointsTried};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let pod = FakePod::start("orders-0").await?;
/// # let resolver = Resolver::builder().surroundings(Surroundings::none()).build()?;
/// # let client = Client::builder(resolver).no_proxy().build()?;
/// # let url = format!("http://{}/", pod.addr());
/// let response = client.get(url).send().await?;
/// assert_eq!(EndpointsTried::of(&response).get(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointsTried(pub(super) usize);

impl EndpointsTried {
    /// How many `response` took: known of the responses of a [`Client`](crate::Client); 1 for any other.
    #[must_use]
    pub fn of(response: &Response) -> Self {
        // Only what took more has the extension, which allocates.
        response.extensions().get().copied().unwrap_or(Self(1))
    }

    /// The number; 1 when the first endpoint answered.
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }
}
