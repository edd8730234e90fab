//! A request is in flight until the body of its response has ended.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Instant,
};

use discovery_core::policy::{Outcome, Pick};
use http::{HeaderMap, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// A request whose endpoint has answered, and whose response may still have a body to come.
///
/// The request counts in the load of its endpoint until this value is dropped. A failure is recorded as soon as it is
/// known: in the head of the response, when the body breaks, or in the trailers of a gRPC call. A success is recorded at
/// the end, also if the caller drops the body before.
pub struct InFlight {
    pick: Pick,
    /// What the head said is a failure, and recorded already; or a later failure is.
    failed: bool,
    grpc: bool,
}

impl InFlight {
    /// A request that was answered, and what the answer says about the endpoint so far.
    #[must_use]
    pub fn new(pick: Pick, outcome: Outcome) -> Self {
        pick.answered();
        let mut request = Self { pick, failed: false, grpc: false };
        request.record(outcome);
        request
    }

    /// Reads the trailers of the response too, if its `headers` say that it is a gRPC call.
    #[must_use]
    pub fn with_trailers(mut self, headers: &HeaderMap) -> Self {
        self.grpc = is_grpc(headers);
        self
    }

    /// Records a sign of life.
    pub(crate) fn answered(&self) {
        self.pick.answered();
    }

    pub(crate) fn record(&mut self, outcome: Outcome) {
        if outcome != Outcome::Success && !self.failed {
            self.pick.record(outcome, now);
            self.failed = true;
        }
    }

    fn trailers(&mut self, trailers: &HeaderMap) {
        if self.grpc {
            self.record(grpc_outcome(trailers).unwrap_or(Outcome::Success));
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.failed {
            self.pick.record(Outcome::Success, now);
        }
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight").field("endpoint", self.pick.endpoint()).finish_non_exhaustive()
    }
}

pin_project! {
    /// The body of a response, which keeps the request in flight until it has ended, failed or been dropped.
    pub struct InFlightBody<B> {
        #[pin]
        body: B,
        request: Option<InFlight>,
    }
}

impl<B: Body> InFlightBody<B> {
    /// A body that ends `request` with itself.
    #[must_use]
    pub fn new(body: B, request: InFlight) -> Self {
        Self::of(body, Some(request))
    }

    fn of(body: B, request: Option<InFlight>) -> Self {
        // Nothing to come: the request has ended, and `request` with it.
        let request = request.filter(|_| !body.is_end_stream());
        Self { body, request }
    }
}

impl<B: Body> Body for InFlightBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        if let Some(request) = this.request {
            match &frame {
                Some(Ok(frame)) => {
                    request.answered();
                    if let Some(trailers) = frame.trailers_ref() {
                        request.trailers(trailers);
                    }
                }
                Some(Err(_)) => request.record(Outcome::Failure),
                None => {}
            }
            if !matches!(frame, Some(Ok(_))) || this.body.is_end_stream() {
                *this.request = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: fmt::Debug> fmt::Debug for InFlightBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlightBody").field("body", &self.body).field("request", &self.request).finish()
    }
}

/// Until when a request is in flight: [`BodyEnd`] or [`Head`].
pub trait InFlightUntil<B>: Send + Sync + 'static {
    /// The body of the response that the call returns.
    type Body;

    /// Makes the response of the call.
    fn finish(response: Response<B>, request: InFlight) -> Response<Self::Body>;
}

/// Requests are in flight until the body of the response has ended, failed or been dropped. A request that switches
/// protocols is in flight until the connection has ended: see [`upgrade`](crate::upgrade).
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a marker without values")]
pub enum BodyEnd {}

impl<B: Body> InFlightUntil<B> for BodyEnd {
    type Body = InFlightBody<B>;

    fn finish(response: Response<B>, request: InFlight) -> Response<InFlightBody<B>> {
        let (mut parts, body) = response.into_parts();
        let request = request.with_trailers(&parts.headers).hold(&mut parts.extensions);
        Response::from_parts(parts, InFlightBody::of(body, request))
    }
}

/// Requests are in flight until the head of the response has arrived.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "a marker without values")]
pub enum Head {}

impl<B> InFlightUntil<B> for Head {
    type Body = B;

    fn finish(response: Response<B>, _: InFlight) -> Response<B> {
        response
    }
}

/// Returns what the head of a response says about its endpoint: by the HTTP status, and by the status of a gRPC call if the
/// head has one.
#[must_use]
pub fn head_outcome(status: StatusCode, headers: &HeaderMap) -> Outcome {
    match status.as_u16() {
        200 if is_grpc(headers) => grpc_outcome(headers).unwrap_or(Outcome::Success),
        status => Outcome::from_http_status(status, || headers.get(header::RETRY_AFTER)?.to_str().ok()),
    }
}

/// `application/grpc`, `application/grpc+proto` and so on, but not gRPC-Web, whose status is in the body.
fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(header::CONTENT_TYPE) else { return false };
    let rest = content_type.as_bytes().strip_prefix(b"application/grpc");
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

fn grpc_outcome(headers: &HeaderMap) -> Option<Outcome> {
    let status = headers.get("grpc-status")?.to_str().ok()?.trim().parse().ok()?;
    Some(Outcome::from_grpc_status(status, || headers.get("grpc-retry-pushback-ms")?.to_str().ok()))
}

/// Reads the clock through tokio, so that a test that pauses time drives everything.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
