//! What a response says about its endpoints.

use discovery_tower::InFlight;
pub use discovery_tower::InFlightIo;
use reqwest::{Response, Upgraded};

/// What a [`Client`](crate::Client) knows about a response beyond HTTP.
///
/// ```
/// # use discovery_testing::FakePod;
/// # use discovery_core::{Resolver, Environment};
/// use discovery_reqwest::{Client, ResponseExt};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let pod = FakePod::start("orders-0").await?;
/// # let resolver = Resolver::builder().environment(Environment::empty()).build()?;
/// # let client = Client::builder(resolver).no_proxy().build()?;
/// # let url = format!("http://{}/", pod.addr());
/// let response = client.get(url).send().await?;
/// assert_eq!(response.endpoints_tried(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait ResponseExt: sealed::Sealed {
    /// The number of endpoints that the request was sent to, including the one that answered: 1 when the first endpoint
    /// answered. Always 1 for a response that a [`Client`](crate::Client) did not return.
    fn endpoints_tried(&self) -> usize;

    /// Waits for the connection of a response that switched protocols (101), as for WebSocket.
    ///
    /// The connection keeps the request in flight until it has ended or been dropped. With reqwest's own
    /// `Response::upgrade`, whose type cannot be extended, the request ends when that function is awaited. A response that a
    /// [`Client`](crate::Client) did not return works as well, and counts nowhere.
    ///
    /// # Errors
    /// Those of `Response::upgrade`: the response switched no protocol, or the connection broke before it was handed over.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection.
    fn upgrade_in_flight(self) -> impl Future<Output = reqwest::Result<InFlightIo<Upgraded>>> + Send;
}

impl ResponseExt for Response {
    fn endpoints_tried(&self) -> usize {
        // Only a response of a retried request has the extension, because inserting one allocates.
        self.extensions().get().map_or(1, |EndpointsTried(tried)| *tried)
    }

    fn upgrade_in_flight(mut self) -> impl Future<Output = reqwest::Result<InFlightIo<Upgraded>>> + Send {
        let request = InFlight::take(self.extensions_mut());
        InFlightIo::when(self.upgrade(), request)
    }
}

/// The number of endpoints, as an extension of the response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndpointsTried(pub(crate) usize);

mod sealed {
    #[expect(unnameable_types, reason = "this is what seals `ResponseExt`")]
    pub trait Sealed {}

    impl Sealed for reqwest::Response {}
}
