//! One request of a pod.

use std::{convert::Infallible, fmt, future::pending, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header::HOST};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use tokio::{sync::watch, time::sleep};

use super::{
    behavior::Behavior,
    counters::{Counters, InFlight},
};

/// Name of the pod that answered.
const X_POD: HeaderName = HeaderName::from_static("x-pod");
/// The `Host` header of the request, or its `:authority`.
const X_HOST: HeaderName = HeaderName::from_static("x-host");

pub(crate) type Handler = Arc<dyn Fn(Request<Bytes>) -> Response<Bytes> + Send + Sync>;

/// What all connections of a pod share.
#[derive(Clone)]
pub(super) struct Application {
    pub(super) name: Arc<str>,
    pub(super) behavior: watch::Sender<Behavior>,
    pub(super) counters: watch::Sender<Counters>,
    pub(super) handler: Option<Handler>,
}

impl Application {
    pub(super) fn new(name: &str, handler: Option<Handler>) -> Self {
        Self {
            name: name.into(),
            behavior: watch::Sender::new(Behavior::default()),
            counters: watch::Sender::new(Counters::default()),
            handler,
        }
    }

    pub(super) async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let in_flight = InFlight::new(self.counters.clone());
        let host = host(&request);
        let (parts, body) = request.into_parts();
        // A body that breaks off belongs to a client that is gone: nobody reads the answer.
        let body = body.collect().await.map(|b| b.to_bytes());
        let request = Request::from_parts(parts, body.unwrap_or_default());
        let behavior = *self.behavior.borrow();
        let mut response = match behavior {
            Behavior::Healthy => self.handle(request),
            Behavior::Slow(delay) => {
                sleep(delay).await;
                self.handle(request)
            }
            Behavior::Failing(status) => plain(status, Bytes::new()),
            Behavior::Hanging => pending().await,
        };
        self.sign(response.headers_mut(), host);
        in_flight.answered();
        Ok(response.map(Full::new))
    }

    fn handle(&self, request: Request<Bytes>) -> Response<Bytes> {
        match &self.handler {
            Some(handler) => handler(request),
            None => plain(StatusCode::OK, Bytes::copy_from_slice(self.name.as_bytes())),
        }
    }

    /// Who answered, and as whom it was addressed. Names that do not fit a header are left out.
    fn sign(&self, headers: &mut HeaderMap, host: Option<HeaderValue>) {
        if let Ok(name) = HeaderValue::from_str(&self.name) {
            headers.insert(X_POD, name);
        }
        if let Some(host) = host {
            headers.insert(X_HOST, host);
        }
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Application")
            .field("name", &self.name)
            .field("behaviour", &*self.behavior.borrow())
            .field("counters", &*self.counters.borrow())
            .finish_non_exhaustive()
    }
}

fn host(request: &Request<Incoming>) -> Option<HeaderValue> {
    request.headers().get(HOST).cloned().or_else(|| {
        let authority = request.uri().authority()?;
        HeaderValue::from_str(authority.as_str()).ok()
    })
}

fn plain(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}
