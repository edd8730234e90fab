//! Sending one request.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::pin,
    time::Duration,
};

use discovery_core::policy::{Outcome, Pick, Tried};
use http::{HeaderValue, Method, header};
use reqwest::{Request, Response, Url, redirect};

use super::{endpoints::Pool, now};
use crate::{Error, error::Note};

/// How many endpoints one request tries at most.
const MOST: usize = 3;

/// How many endpoints a request was sent to, the one that answered included: an extension of each response.
///
/// ```
/// # use discovery_testing::FakePod;
/// # use discovery_core::{Resolver, Surroundings};
/// use discovery_reqwest::{Client, EndpointsTried};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let pod = FakePod::start("orders-0").await?;
/// # let resolver = Resolver::builder().surroundings(Surroundings::none()).build()?;
/// # let client = Client::builder(resolver).no_proxy().build()?;
/// # let url = format!("http://{}/", pod.addr());
/// let response = client.get(url).send().await?;
/// assert_eq!(response.extensions().get::<EndpointsTried>().map(|tried| tried.get()), Some(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointsTried(usize);

impl EndpointsTried {
    pub(super) const ONE: Self = Self(1);

    /// The number; 1 when the first endpoint answered.
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }
}

/// `attempt` is how long one endpoint has to begin its answer, where another one may be asked instead.
pub(super) async fn send(
    pool: &Pool,
    mut request: Request,
    patience: Duration,
    attempt: Option<Duration>,
) -> Result<Response, Error> {
    let mut tried = Tried::new();
    let mut nth = 0;
    let mut last: Option<Error> = None;
    let idempotent = is_idempotent(request.method());
    pool.budget.request();
    loop {
        let (pick, client) = match (pick(pool, &tried, patience).await, last.take()) {
            (Ok(picked), _) => picked,
            (Err(_), Some(error)) => return Err(error),
            (Err(error), None) => return Err(error),
        };
        nth += 1;
        let mut copy = copy(&request);
        aim(&mut request, pick.endpoint().port());
        let mut sent = pin!(watch(client.execute(request)));
        let in_time = match attempt {
            Some(soon) if idempotent && nth < MOST && copy.is_some() => {
                tokio::time::timeout(soon, &mut sent).await.ok()
            }
            _ => Some(sent.as_mut().await),
        };
        let (result, redirected) = match in_time {
            Some(done) => done,
            None => {
                tried.add(pick.endpoint().identity());
                if let Some(copy) = copy.take_if(|_| pool.has_untried(&tried) && pool.budget.retry(now())) {
                    pick.complete(Outcome::Failure, now);
                    request = copy;
                    continue;
                }
                // Nobody else may be asked: this one has all the time that the request has.
                sent.await
            }
        };
        // Whoever redirects has answered: what goes wrong afterwards is not its fault.
        let outcome = if redirected { Outcome::Success } else { outcome(&result) };
        let error = match result {
            Ok(mut response) => {
                pick.complete(outcome, now);
                response.extensions_mut().insert(EndpointsTried(nth));
                return Ok(response);
            }
            Err(error) => error,
        };
        tried.add(pick.endpoint().identity());
        pick.complete(outcome, now);
        let elsewhere = !redirected && may_go_elsewhere(&error, idempotent) && tried.len() < MOST;
        let error = Error::request(error, tried.len());
        request = match copy {
            _ if !elsewhere => return Err(error),
            None => return Err(error.with_note(Note::Stream)),
            Some(_) if !pool.has_untried(&tried) => return Err(error),
            Some(_) if !pool.budget.retry(now()) => return Err(error.with_note(Note::Budget)),
            Some(copy) => copy,
        };
        last = Some(error);
    }
}

/// What to send to another endpoint; `None` when the body is a stream.
///
/// Most requests have no body and no timeout of their own. What reqwest sends is complete without its `try_clone` then,
/// which would make room for a timeout that is not there: four allocations instead of one.
fn copy(request: &Request) -> Option<Request> {
    if request.body().is_some() || request.timeout().is_some() {
        return request.try_clone();
    }
    let mut copy = Request::new(request.method().clone(), request.url().clone());
    copy.headers_mut().clone_from(request.headers());
    *copy.version_mut() = request.version();
    Some(copy)
}

thread_local! {
    /// Whether the request that is being polled has been redirected.
    static REDIRECTED: Cell<bool> = const { Cell::new(false) };
}

/// Makes redirects seen; what they do is up to reqwest's own policy.
pub(super) fn watch_redirects(builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
    let policy = redirect::Policy::default();
    builder.redirect(redirect::Policy::custom(move |attempt| {
        REDIRECTED.set(true);
        policy.redirect(attempt)
    }))
}

/// Waits for the response, and tells whether the request was redirected: then the endpoint has seen it, whatever the
/// error says. reqwest asks its policy while it is polled.
async fn watch<T>(sent: impl Future<Output = T>) -> (T, bool) {
    let (mut sent, mut redirected) = (pin!(sent), false);
    let result = poll_fn(|context| {
        let outer = REDIRECTED.replace(false);
        let polled = sent.as_mut().poll(context);
        redirected |= REDIRECTED.replace(outer);
        polled
    });
    (result.await, redirected)
}

async fn pick(pool: &Pool, tried: &Tried, patience: Duration) -> Result<(Pick, reqwest::Client), Error> {
    let (pick, client) = pool.clients.pick_within(tried, patience).await?;
    match client {
        Ok(client) => Ok((pick, client)),
        Err(error) => Err(discovery_core::Error::config(format!("no client for {}: {error}", pick.endpoint())).into()),
    }
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
