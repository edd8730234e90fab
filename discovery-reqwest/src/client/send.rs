//! Sending one request.

#[cfg(feature = "http2")]
use std::error::Error as StdError;
use std::{borrow::Borrow, pin::pin};

use discovery_core::policy::{Outcome, Pick, Tried};
use http::{HeaderValue, Method, header};
use reqwest::{Request, Response, Url};

use super::{
    Client,
    endpoints::Built,
    now,
    route::{Route, Way},
    sent::Sent,
    spare::Spare,
    tried::EndpointsTried,
};
use crate::{Error, error::Note};

/// How many endpoints one request tries at most.
const MOST: usize = 3;

/// Sends one request.
///
/// One future does it all, and what few requests need is in boxes: each future that a request or a response is moved
/// through costs as much as choosing the endpoint.
pub(crate) async fn send(
    client: impl Borrow<Client>,
    request: impl FnOnce() -> Result<Request, reqwest::Error>,
) -> Result<Response, Error> {
    let client: &Client = client.borrow();
    let mut request = match request() {
        Ok(request) => request,
        Err(error) => return Err(Error::request(error, 0)),
    };
    let settings = &client.0.settings;
    let route = client.route(&mut request)?;
    let pool = match &*route {
        Route::Endpoints(pool) => pool,
        route => match Box::pin(route.choose(settings.patience)).await {
            Way::Endpoints(pool) => pool,
            Way::Proxy(proxied) => return Box::pin(proxied.send(request)).await,
        },
    };
    pool.budget.request();
    let idempotent = is_idempotent(request.method());
    let mut tried = Tried::new();
    let (mut nth, mut last): (usize, Option<Error>) = (0, None);
    'endpoints: loop {
        let picked = match pool.clients.pick(&tried) {
            Err(_) => Box::pin(pool.clients.pick_within(&tried, settings.patience)).await,
            picked => picked,
        };
        let (pick, client) = match (made(picked), last.take()) {
            (Ok(picked), _) => picked,
            (Err(_), Some(error)) | (Err(error), None) => return Err(error),
        };
        let soon = settings.attempt_timeout.filter(|_| idempotent && nth + 1 < MOST);
        let port = pick.endpoint().port();
        let aims = needs_aim(request.url(), port);
        let mut spare = Spare::of(&request, aims || soon.is_some());
        if aims {
            aim(&mut request, port);
        }
        nth += 1;
        let soon = soon.filter(|_| !matches!(spare, Spare::Stream));
        let response = pin!(client.execute(request));
        let mut sent = Sent::new(response, soon);
        let result = loop {
            if let Some(result) = (&mut sent).await {
                break result;
            }
            tried.add(pick.endpoint().identity());
            if pool.has_untried(&tried)
                && pool.budget.retry(now())
                && let Some(next) = spare.request(None)
            {
                pick.complete(Outcome::Failure, now);
                request = next;
                continue 'endpoints;
            }
            // Nobody else may be asked: this one has all the time that the request has.
        };
        // Whoever redirects has answered: what goes wrong afterwards is not its fault.
        let redirected = sent.redirected;
        let outcome = if redirected { Outcome::Success } else { outcome(&result) };
        let error = match result {
            Ok(mut response) => {
                pick.complete(outcome, now);
                if nth > 1 {
                    response.extensions_mut().insert(EndpointsTried(nth));
                }
                return Ok(response);
            }
            Err(error) => error,
        };
        tried.add(pick.endpoint().identity());
        pick.complete(outcome, now);
        let refused = is_refused(&error);
        let again = !redirected && nth < MOST && (refused || may_go_elsewhere(&error, idempotent));
        let next = spare.request(error.url());
        let error = Error::request(error, nth);
        if refused && !pool.has_untried(&tried) {
            // It may take the request over another connection.
            tried.clear();
        }
        request = match next {
            _ if !again => return Err(error),
            None => return Err(error.with_note(Note::Stream)),
            Some(_) if !pool.has_untried(&tried) => return Err(error),
            Some(_) if !pool.budget.retry(now()) => return Err(error.with_note(Note::Budget)),
            Some(next) => next,
        };
        last = Some(error);
    }
}

/// An endpoint whose client could be made.
fn made(
    picked: Result<(Pick, Result<reqwest::Client, Built>), discovery_core::Error>,
) -> Result<(Pick, reqwest::Client), Error> {
    match picked? {
        (pick, Ok(client)) => Ok((pick, client)),
        (pick, Err(error)) => {
            Err(discovery_core::Error::config(format!("no client for {}: {error}", pick.endpoint())).into())
        }
    }
}

fn needs_aim(url: &Url, port: u16) -> bool {
    url.host_str().is_some_and(|host| host.starts_with('_'))
        || url.port().is_some_and(|written| port != 0 && written != port)
}

/// Points the request at a port of the endpoint without letting it show: `Host` stays that of the URL.
///
/// The labels of an SRV name are how a port was asked for, not part of the host. A port in the URL overrides
/// the endpoint's in reqwest, so that it goes where the two differ; over HTTP/2 `:authority` then lacks it.
fn aim(request: &mut Request, port: u16) {
    if let Some(host) = request.url().host_str().and_then(without_srv_labels).map(str::to_owned) {
        // The rest of a valid host is a valid host.
        let _ = request.url_mut().set_host(Some(&host));
    }
    let url = request.url();
    if url.port().is_some_and(|written| port != 0 && written != port) {
        if let Ok(logical) = HeaderValue::try_from(authority(url)) {
            request.headers_mut().entry(header::HOST).or_insert(logical);
        }
        let _ = request.url_mut().set_port(None);
    }
}

fn without_srv_labels(host: &str) -> Option<&str> {
    host.strip_prefix('_')?.splitn(3, '.').nth(2)
}

fn authority(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}

/// When no connection came about, the endpoint has not seen the request. When the connection broke before a
/// response, it may have: the request goes to another endpoint only if doing it twice does no harm. A request
/// that took too long would take too long again.
fn may_go_elsewhere(error: &reqwest::Error, idempotent: bool) -> bool {
    error.is_connect() || idempotent && error.is_request() && !error.is_timeout()
}

/// An HTTP/2 server that ends a connection in good order, or has too much to do, says which requests it has not begun
/// (RFC 9113, 6.8 and 8.7): those may be sent again, whatever they are.
fn is_refused(error: &reqwest::Error) -> bool {
    #[cfg(feature = "http2")]
    {
        let mut cause = error.source();
        while let Some(error) = cause {
            if let Some(said) = error.downcast_ref::<h2::Error>() {
                let reason = said.reason();
                let ended = said.is_go_away() && reason == Some(h2::Reason::NO_ERROR);
                return said.is_remote() && (ended || said.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM));
            }
            cause = error.source();
        }
    }
    let _ = error;
    false
}

/// RFC 9110, 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    method.is_safe() || matches!(*method, Method::PUT | Method::DELETE)
}

fn outcome(result: &Result<Response, reqwest::Error>) -> Outcome {
    match result {
        Err(error) if error.is_connect() => Outcome::Unreachable,
        Err(error) if error.is_builder() => Outcome::Success,
        Err(_) => Outcome::Failure,
        // Most are, and need no search for a header.
        Ok(response) if response.status().as_u16() < 429 => Outcome::Success,
        Ok(response) => {
            let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
            Outcome::of_http_status(response.status().as_u16(), retry_after)
        }
    }
}
