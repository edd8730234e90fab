//! Sends lists and watches, and reads what comes back.
//!
//! `Client::request_events` of kube reads the body of any response as events, whatever its status, and `Client::request`
//! drops the header `Retry-After`. So both are built on `Client::send`.

use std::time::Duration;

use http_body_util::BodyExt;
use kube::{
    Client,
    api::{ListParams, WatchParams},
    client::Body,
    core::{Request, WatchEvent},
};
use serde::de::DeserializeOwned;

use super::{
    events::EventBuffer,
    failure::{Failure, Refusal},
    paging::MAX_PAGE_BYTES,
};
use crate::source::kubernetes::cache::Denial;

/// A request for the objects of one resource.
pub(super) enum Ask<'a> {
    List(&'a ListParams),
    /// Changes after a resource version.
    Watch(&'a WatchParams, &'a str),
}

/// The events of a watch that has begun.
pub(super) struct EventStream {
    body: Body,
    buffer: EventBuffer,
}

/// Sends a request. Returns the body of the response if its status is a success.
pub(super) async fn send(client: &Client, path: String, ask: Ask<'_>) -> Result<Body, Failure> {
    let (request, denial) = match ask {
        Ask::List(params) => (Request::new(path).list(params), Denial::List),
        Ask::Watch(params, version) => (Request::new(path).watch(params, version), Denial::Watch),
    };
    let request = request.map_err(|error| Failure::from_local_error(&error))?;
    let response = client.send(request.map(Body::from)).await.map_err(|error| Failure::from_local_error(&error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response.into_body());
    }
    let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let body = read_start(response.into_body()).await;
    let name = status.canonical_reason().unwrap_or("");
    Err(Failure::from_refusal(denial, &Refusal::new(status.as_u16(), name, retry_after.as_deref(), &body)))
}

/// Reads the body of a page to its end.
pub(super) async fn read_page(mut body: Body) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::from_local_error(&error))?;
        let bytes = frame.into_data().unwrap_or_default();
        if page.len() + bytes.len() > MAX_PAGE_BYTES {
            let mega = MAX_PAGE_BYTES >> 20;
            return Err(Failure::from_bound(&format!("a page of the list is larger than {mega} MiB")));
        }
        page.extend_from_slice(&bytes);
    }
    Ok(page)
}

impl EventStream {
    pub(super) fn new(body: Body) -> Self {
        Self { body, buffer: EventBuffer::default() }
    }

    /// Returns the next event, or `None` at the end of the watch. Cancel-safe.
    pub(super) async fn next<W: Clone + DeserializeOwned>(&mut self) -> Result<Option<WatchEvent<W>>, Failure> {
        loop {
            if let Some(event) = self.buffer.decode()? {
                return Ok(Some(event));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.buffer.push(frame.data_ref().map_or(&[], |bytes| bytes))?,
                Some(Err(error)) => return Err(Failure::from_cut(&error)),
                None => {
                    self.buffer.end();
                    return self.buffer.decode();
                }
            }
        }
    }
}

/// Reads the first bytes of the body of a refusal. The status alone says what to do, so a body that is late or breaks is
/// no further failure.
async fn read_start(mut body: Body) -> Vec<u8> {
    let mut start = Vec::new();
    let read = async {
        while let Some(Ok(frame)) = body.frame().await
            && start.len() < REFUSAL_SIZE
        {
            start.extend(frame.into_data().iter().flatten());
        }
    };
    // Whatever has arrived by then is used.
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, read).await;
    start
}

/// A Status takes less than a kilobyte; the pages of proxies may be long.
const REFUSAL_SIZE: usize = 16 * 1024;

/// How long the body of a refusal may take, which comes together with its status.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);
