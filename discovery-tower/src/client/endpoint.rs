//! The client of one endpoint.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response, header::HOST};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, Error, ResponseFuture};
use tower::Service;

use super::{io::Dial, origin::Origin, replay::ReplayBody};

/// Sends requests to one endpoint, under the name of the Service.
#[derive(Clone)]
pub(super) struct EndpointClient {
    client: Client<Dial, ReplayBody>,
    origin: Arc<Origin>,
    preserve_host: bool,
}

impl EndpointClient {
    pub(super) fn new(client: Client<Dial, ReplayBody>, origin: Arc<Origin>, preserve_host: bool) -> Self {
        Self { client, origin, preserve_host }
    }
}

impl Service<Request<ReplayBody>> for EndpointClient {
    type Response = Response<Incoming>;
    type Error = Error;
    type Future = ResponseFuture;

    /// Always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<ReplayBody>) -> ResponseFuture {
        let uri = std::mem::take(request.uri_mut());
        *request.uri_mut() = self.origin.uri(uri);
        if !self.preserve_host {
            // hyper writes the name of the URI.
            request.headers_mut().remove(HOST);
        }
        // The version of a request that came in says nothing about the one that goes out.
        *request.version_mut() = http::Version::HTTP_11;
        self.client.request(request)
    }
}
