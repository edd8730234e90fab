//! Sending one request.

use std::{borrow::Borrow, pin::pin};

use discovery_core::policy::retry::{Attempts, is_idempotent_method};
use http::{HeaderValue, header};
use reqwest::{Request, Response, Url};

use super::{
    Client,
    attempt::{Attempt, RequestCopy, Waited},
    builder::Settings,
    endpoints::Pool,
    route::{Destination, Route},
};
use crate::Error;

/// Sends one request.
///
/// Few futures, and boxes for what few requests need: each future that a request or a response is moved through costs
/// about as much as choosing the endpoint.
pub(crate) async fn send(
    client: impl Borrow<Client>,
    request: impl FnOnce() -> Result<Request, reqwest::Error>,
) -> Result<Response, Error> {
    let client: &Client = client.borrow();
    let mut request = match request() {
        Ok(request) => request,
        Err(error) => return Err(Error::request(error, 0)),
    };
    client.hide_credentials(&mut request);
    let settings = client.settings();
    let route = client.route(request.url())?;
    let pool = match &*route {
        Route::Endpoints(pool) => pool,
        route => match Box::pin(route.choose(settings.endpoint_timeout())).await {
            Destination::Endpoints(pool) => pool,
            Destination::Proxy(proxied) => return Box::pin(proxied.send(request)).await,
        },
    };
    send_to(pool, settings, request).await
}

/// Sends one request to the endpoints of its target.
async fn send_to(pool: &Pool, settings: &Settings, mut request: Request) -> Result<Response, Error> {
    pool.count_request();
    let mut attempts = Attempts::new(is_idempotent_method(request.method().as_str()));
    let mut last: Option<Error> = None;
    loop {
        let (pick, client) = match pool.pick(&attempts) {
            Some(picked) => picked,
            None => match Box::pin(pool.wait(&mut attempts, settings.endpoint_timeout())).await {
                Ok(picked) => picked,
                Err(error) => return Err(last.unwrap_or(error)),
            },
        };
        attempts.begin();
        let may_leave = attempts.may_time_out();
        let copy = copy_and_aim(&mut request, pick.endpoint().port(), may_leave);
        let picked = (may_leave && copy.is_whole()).then(|| pick.loaded_endpoint().clone());
        let silent = || pool.removed_and_silent(picked.as_deref(), settings.removed_silence());
        let mut attempt = Attempt::new(pick, copy, settings.attempt_timeout().filter(|_| picked.is_some()));
        let (mut execution, mut silence) = (pin!(client.execute(request)), pin!(silent()));
        request = loop {
            match attempt.wait(execution.as_mut(), silence.as_mut()).await {
                Waited::Response(Ok(response)) => {
                    return Ok(attempt.answered(response, &mut attempts, settings.head_only()));
                }
                Waited::Response(Err(error)) => {
                    let (request, error) = attempt.failed(error, &mut attempts, pool)?;
                    last = Some(error);
                    break request;
                }
                Waited::NoAnswer(failure) => match attempt.given_up(failure, &mut attempts, pool) {
                    Some(request) => break request,
                    None => silence.set(silent()),
                },
            }
        };
    }
}

/// Copies the request as far as a retry needs it, then points it at the endpoint's port. `with_url`: the copy holds the
/// URL even if the request is sent to it as it stands.
fn copy_and_aim(request: &mut Request, port: u16, with_url: bool) -> RequestCopy {
    if !needs_aim(request.url(), port) {
        return RequestCopy::new(request, with_url);
    }
    let copy = RequestCopy::new(request, true);
    aim(request, port);
    copy
}

fn needs_aim(url: &Url, port: u16) -> bool {
    url.host_str().is_some_and(|host| host.starts_with('_')) || has_other_port(url, port)
}

/// Returns whether the URL names a port that is not the endpoint's. 0: the endpoint has no port of its own.
fn has_other_port(url: &Url, port: u16) -> bool {
    url.port().is_some_and(|written| port != 0 && written != port)
}

/// Points the request at a port of the endpoint, while `Host` stays that of the URL.
///
/// The labels of an SRV name say how the port was looked up and are not part of the host. A port in the URL overrides the
/// endpoint's in reqwest, so it is removed where the two differ; over HTTP/2, `:authority` then lacks it.
fn aim(request: &mut Request, port: u16) {
    if let Some(host) = request.url().host_str().and_then(without_srv_labels).map(str::to_owned) {
        // The rest of a valid host is a valid host.
        let _ = request.url_mut().set_host(Some(&host));
    }
    if has_other_port(request.url(), port) {
        if let Ok(logical) = HeaderValue::try_from(authority(request.url())) {
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
