//! Sending one request.

use std::{borrow::Borrow, pin::pin};

use discovery_core::policy::retry::{Attempts, is_idempotent_method};
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
        route => match Box::pin(route.choose(settings.endpoint_timeout())).await? {
            Destination::Endpoints(pool) => pool,
            Destination::Proxy(proxied) => return Box::pin(proxied.send(request)).await,
        },
    };
    send_to(pool, settings, request).await
}

/// Sends one request to the endpoints of its target.
async fn send_to(pool: &Pool, settings: &Settings, mut request: Request) -> Result<Response, Error> {
    pool.count_request();
    remove_srv_labels(request.url_mut());
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
        let copy = RequestCopy::new(&request, !attempts.is_last());
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

/// Removes the labels of an SRV name from the host of a URL: they say how the port was looked up.
fn remove_srv_labels(url: &mut Url) {
    if let Some(host) = url.host_str().and_then(without_srv_labels).map(str::to_owned) {
        // The rest of a valid host is a valid host.
        let _ = url.set_host(Some(&host));
    }
}

fn without_srv_labels(host: &str) -> Option<&str> {
    host.strip_prefix('_')?.splitn(3, '.').nth(2)
}
