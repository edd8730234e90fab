//! The listener of a pod, its connections, and the handling of one request.

use std::{convert::Infallible, future::pending, pin::pin, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header::HOST};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{Application, Behavior, Counters};

/// The header with the name of the pod.
const X_POD: HeaderName = HeaderName::from_static("x-pod");
/// The header with the `Host` header of the request, or its `:authority`.
const X_HOST: HeaderName = HeaderName::from_static("x-host");

/// The pause after a failed accept (no file descriptors left).
const PAUSE: Duration = Duration::from_millis(20);

/// A listener and its connections, running or ended. Dropping it closes everything at once.
#[derive(Debug)]
pub(super) struct Listening {
    task: AbortHandle,
    /// A change asks the connections opened before it to finish.
    drain: watch::Sender<u8>,
    /// Its sender is dropped when the listener is closed.
    ended: watch::Receiver<()>,
}

impl Listening {
    pub(super) fn new(listener: TcpListener, application: Application) -> Self {
        let drain = watch::Sender::new(0);
        let (alive, ended) = watch::channel(());
        let listening = listen(listener, application, drain.clone(), drain.subscribe());
        let task = tokio::spawn(async move {
            // Dropped after the listener, even if the task is aborted.
            let _alive = alive;
            listening.await;
        });
        Self { task: task.abort_handle(), drain, ended }
    }

    /// Closes everything, even during a stop. Resolves when the listener is closed.
    pub(super) async fn kill(&self) {
        self.task.abort();
        self.ended().await;
    }

    /// Finishes the requests in flight, then closes. Requests left after `grace` are cut.
    pub(super) async fn stop(&self, grace: Duration) {
        self.drain.send_modify(|stage| *stage += 1);
        if timeout(grace, self.ended()).await.is_err() {
            self.kill().await;
        }
    }

    async fn ended(&self) {
        // No value is ever sent: the error is the end of the task.
        let _ = self.ended.clone().changed().await;
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(
    listener: TcpListener,
    application: Application,
    drain: watch::Sender<u8>,
    mut draining: watch::Receiver<u8>,
) {
    let mut connections = JoinSet::new();
    tokio::select! {
        () = accept(&listener, &application, &drain, &mut connections) => {}
        _ = draining.changed() => {}
    }
    // Old connections finish while new ones are still accepted, because a Service may route connections here for a
    // while.
    let mut late = JoinSet::new();
    tokio::select! {
        () = accept(&listener, &application, &drain, &mut late) => {}
        () = finish(&mut connections) => {}
    }
    drop(listener);
    drain.send_modify(|stage| *stage += 1);
    finish(&mut late).await;
}

/// Accepts connections forever.
async fn accept(
    listener: &TcpListener,
    application: &Application,
    drain: &watch::Sender<u8>,
    connections: &mut JoinSet<()>,
) {
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let draining = drain.subscribe();
                connections.spawn(connection(stream, application.clone(), draining));
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

async fn finish(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

/// HTTP/1.1, or HTTP/2 if the client starts with its preface.
async fn connection(stream: TcpStream, application: Application, mut draining: watch::Receiver<u8>) {
    let _open = OpenConnection::new(application.counters.clone());
    // Without this option, small responses are only slower.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| application.clone().respond(request));
    let server = auto::Builder::new(TokioExecutor::new());
    let mut serving = pin!(server.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // An error means that the client is gone.
        _ = serving.as_mut() => return,
        _ = draining.changed() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}

impl Application {
    async fn respond(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let in_flight = InFlight::new(self.counters.clone());
        let host = host(&request);
        let (parts, body) = request.into_parts();
        // If the body breaks off, the client is gone and does not read the response.
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
        self.add_headers(response.headers_mut(), host);
        in_flight.answered();
        Ok(response.map(Full::new))
    }

    fn handle(&self, request: Request<Bytes>) -> Response<Bytes> {
        match &self.handler {
            Some(handler) => handler(request),
            None => plain(StatusCode::OK, Bytes::copy_from_slice(self.name.as_bytes())),
        }
    }

    /// Adds the name of the pod and the host of the request, unless they are not valid in a header.
    fn add_headers(&self, headers: &mut HeaderMap, host: Option<HeaderValue>) {
        if let Ok(name) = HeaderValue::from_str(&self.name) {
            headers.insert(X_POD, name);
        }
        if let Some(host) = host {
            headers.insert(X_HOST, host);
        }
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

/// Counts a connection while it is open.
struct OpenConnection(watch::Sender<Counters>);

impl OpenConnection {
    fn new(counters: watch::Sender<Counters>) -> Self {
        counters.send_modify(|c| {
            c.connections += 1;
            c.open += 1;
        });
        Self(counters)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.send_modify(|c| c.open -= 1);
    }
}

/// Counts a request until it has a response or is canceled.
struct InFlight(watch::Sender<Counters>);

impl InFlight {
    fn new(counters: watch::Sender<Counters>) -> Self {
        counters.send_modify(|c| {
            c.requests += 1;
            c.in_flight += 1;
        });
        Self(counters)
    }

    fn answered(self) {
        self.0.send_modify(|c| c.served += 1);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.send_modify(|c| c.in_flight -= 1);
    }
}
