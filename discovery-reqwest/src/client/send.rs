//! Sending one request.

#[cfg(feature = "http2")]
use std::error::Error as StdError;
use std::{borrow::Borrow, pin::pin, time::Duration};

use discovery_core::{
    endpoint::Identity,
    policy::{Outcome, Pick, Tried},
};
use http::{HeaderValue, Method, header};
use reqwest::{Request, Response, Url};

use super::{
    Client,
    endpoints::Pool,
    now,
    route::{Route, Way},
    sent::Sent,
    spare::Spare,
    tried::EndpointsTried,
};
use crate::{Error, error::Note};

/// How often one request is sent at most.
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
        route => match Box::pin(route.choose(settings.endpoint_timeout)).await {
            Way::Endpoints(pool) => pool,
            Way::Proxy(proxied) => return Box::pin(proxied.send(request)).await,
        },
    };
    pool.budget.request();
    let mut exchange = Exchange::new(pool, request.method());
    let mut last: Option<Error> = None;
    'endpoints: loop {
        let (pick, client) = match pool.clients.pick(&exchange.tried) {
            Ok((pick, Ok(client))) => (pick, client),
            _ => match Box::pin(exchange.wait(settings.endpoint_timeout)).await {
                Ok(picked) => picked,
                Err(error) => return Err(last.unwrap_or(error)),
            },
        };
        let soon = settings.attempt_timeout.filter(|_| exchange.may_be_left());
        let port = pick.endpoint().port();
        let aims = needs_aim(request.url(), port);
        let mut spare = Spare::of(&request, aims || soon.is_some());
        if aims {
            aim(&mut request, port);
        }
        exchange.sent += 1;
        let response = pin!(client.execute(request));
        let mut sent = Sent::new(response, soon.filter(|_| !matches!(spare, Spare::Stream)));
        let error = loop {
            match (&mut sent).await {
                Some(Ok(mut response)) => {
                    // Whoever redirects has answered: what comes afterwards is not its fault.
                    let outcome = if sent.redirected { Outcome::Success } else { response_outcome(&response) };
                    if exchange.sent > 1 {
                        exchange.tried.add(pick.endpoint().identity());
                        response.extensions_mut().insert(EndpointsTried(exchange.tried.len()));
                    }
                    pick.complete(outcome, now);
                    return Ok(response);
                }
                Some(Err(error)) => break error,
                None => {
                    if !sent.redirected
                        && let Some(next) = exchange.left(&pick, &mut spare)
                    {
                        pick.complete(Outcome::Failure, now);
                        request = next;
                        continue 'endpoints;
                    }
                    // Nobody else may be asked: this one has all the time that the request has.
                }
            }
        };
        let identity = pick.endpoint().identity().clone();
        exchange.tried.add(&identity);
        pick.complete(if sent.redirected { Outcome::Success } else { error_outcome(&error) }, now);
        let failed;
        (request, failed) = exchange.failed(&identity, error, sent.redirected, &mut spare)?;
        last = Some(failed);
    }
}

/// What is known of a request that has been sent, and the rules for sending it again.
struct Exchange<'a> {
    pool: &'a Pool,
    idempotent: bool,
    tried: Tried,
    /// Who has refused it last, and may be asked again when there is nobody else.
    refused: Option<Identity>,
    sent: usize,
}

impl<'a> Exchange<'a> {
    fn new(pool: &'a Pool, method: &Method) -> Self {
        Self { pool, idempotent: is_idempotent(method), tried: Tried::new(), refused: None, sent: 0 }
    }

    /// An endpoint, as soon as there is one.
    async fn wait(&mut self, endpoint_timeout: Duration) -> Result<(Pick, reqwest::Client), Error> {
        let clients = &self.pool.clients;
        let mut picked = clients.pick_timeout(&self.tried, endpoint_timeout).await;
        if picked.as_ref().is_err_and(discovery_core::Error::is_all_tried)
            && let Some(refused) = self.refused.take()
        {
            self.tried.remove(&refused);
            picked = clients.pick(&self.tried);
        }
        match picked? {
            (pick, Ok(client)) => Ok((pick, client)),
            (pick, Err(error)) => {
                Err(discovery_core::Error::config(format!("no client for {}: {error}", pick.endpoint())).into())
            }
        }
    }

    /// Whether the next endpoint may be left for another one while it has not answered.
    fn may_be_left(&self) -> bool {
        self.idempotent && self.sent + 1 < MOST
    }

    /// What to send to another endpoint while this one has not answered.
    fn left(&mut self, pick: &Pick, spare: &mut Spare) -> Option<Request> {
        self.tried.add(pick.endpoint().identity());
        let may = self.pool.has_untried(&self.tried) && self.pool.budget.retry(now());
        if may { spare.request(None) } else { None }
    }

    /// What to send to another endpoint, and the error for the case that there is none.
    fn failed(
        &mut self,
        identity: &Identity,
        error: reqwest::Error,
        redirected: bool,
        spare: &mut Spare,
    ) -> Result<(Request, Error), Error> {
        let refused = is_refused(&error);
        // After a redirect there is the first request to be sent again, which somebody has answered.
        let again = if redirected { refused && self.idempotent } else { refused || self.may_go_elsewhere(&error) };
        let next = spare.request(error.url());
        let error = Error::request(error, self.tried.len());
        if !again || self.sent >= MOST {
            return Err(error);
        }
        let Some(next) = next else { return Err(error.with_note(Note::Stream)) };
        if refused {
            self.refused = Some(identity.clone());
        } else if self.refused.is_none() && !self.pool.has_untried(&self.tried) {
            return Err(error);
        }
        let is_free = refused && self.sent == 1;
        if !is_free && !self.pool.budget.retry(now()) {
            return Err(error.with_note(Note::Budget));
        }
        Ok((next, error))
    }

    /// When no connection came about, the endpoint has not seen the request. When the connection broke before a
    /// response, it may have: the request goes to another endpoint only if doing it twice does no harm. A request
    /// that took too long would take too long again.
    fn may_go_elsewhere(&self, error: &reqwest::Error) -> bool {
        error.is_connect() || self.idempotent && error.is_request() && !error.is_timeout()
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

fn response_outcome(response: &Response) -> Outcome {
    let status = response.status().as_u16();
    // Most are, and need no search for a header.
    if status < 429 {
        return Outcome::Success;
    }
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    Outcome::from_http_status(status, retry_after)
}

fn error_outcome(error: &reqwest::Error) -> Outcome {
    match error {
        error if error.is_connect() => Outcome::Unreachable,
        error if error.is_builder() => Outcome::Success,
        _ => Outcome::Failure,
    }
}
