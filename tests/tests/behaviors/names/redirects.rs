//! What a pod that redirects can do to its client: the names it makes the client hold, the `Host` and the port of the
//! next request, and the credentials that go along.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use discovery_core::Resolver;
use discovery_reqwest::Client;
use discovery_testing::{FakeDns, FakePod, ManualSource};
use http::{Request, Response, header};
use tests::{brisk, error_texts, in_pod};

use crate::support::client::{header as header_of, over_http, within};

/// `path host authorization` of each request that a pod has received.
type Received = Arc<Mutex<Vec<String>>>;

/// Records a request as `path host authorization`. The host is `:authority` over HTTP/2.
fn record(received: &Received, request: &Request<Bytes>) {
    let text = |name| request.headers().get(name).map_or("-", |value| value.to_str().unwrap());
    let host = request.uri().authority().map_or(text(header::HOST), |authority| authority.as_str());
    let line = format!("{} {host} {}", request.uri().path(), text(header::AUTHORIZATION));
    received.lock().unwrap().push(line);
}

fn redirect(to: &str) -> Response<Bytes> {
    Response::builder().status(307).header(header::LOCATION, to).body(Bytes::new()).unwrap()
}

/// A pod that answers `/` with a redirect, and everything else with 200.
async fn redirecting(name: &str, to: String) -> (FakePod, Received) {
    let received = Received::default();
    let seen = received.clone();
    let handler = move |request: Request<Bytes>| {
        record(&seen, &request);
        if request.uri().path() == "/" { redirect(&to) } else { Response::new(Bytes::new()) }
    };
    (FakePod::with_handler(name, handler).await.unwrap(), received)
}

fn taken(received: &Received) -> Vec<String> {
    std::mem::take(&mut *received.lock().unwrap())
}

/// A resolver in whose source `orders.shop` has the endpoint `pod`, whatever port a URL names.
fn with_orders_at(dns: &FakeDns, pod: &FakePod) -> Resolver {
    let (source, orders) = ManualSource::for_name("orders.shop");
    orders.set([pod.addr().to_string().as_str()]);
    in_pod(dns, "shop").source(Arc::new(source)).build().unwrap()
}

/// Ten redirects for each request, each to a name that was never used before.
#[tokio::test]
async fn hosts_of_redirects_are_not_kept() {
    const REQUESTS: usize = 60;
    const NAMES: usize = 10;
    let dns = FakeDns::builder().ttl(0).start().await.unwrap();
    let attacker = FakePod::with_handler("attacker", |request| {
        let at: usize = request.uri().path().trim_start_matches('/').parse().unwrap();
        let port = request.headers()["host"].to_str().unwrap().rsplit_once(':').unwrap().1;
        match (at + 1) % (NAMES + 1) {
            0 => Response::new(Bytes::new()),
            _ => redirect(&format!("http://r{at}.attacker.example:{port}/{}", at + 1)),
        }
    });
    let attacker = attacker.await.unwrap();
    for at in 0..REQUESTS * (NAMES + 1) {
        dns.record(&format!("r{at}.attacker.example"), attacker.ip());
    }
    let (source, orders) = ManualSource::for_name("orders.shop");
    orders.set([attacker.addr().to_string().as_str()]);
    let resolver = in_pod(&dns, "shop").refresh(brisk()).source(Arc::new(source)).build().unwrap();
    let client = Client::builder(resolver.clone()).no_proxy().build().unwrap();
    for request in 0..REQUESTS {
        let url = format!("http://orders.shop:{}/{}", attacker.addr().port(), request * (NAMES + 1));
        assert_eq!(within("an answer", client.get(url).send()).await.unwrap().status(), 200);
    }
    assert_eq!(attacker.requests(), REQUESTS * (NAMES + 1), "each redirect was followed");
    let asked = dns.questions().iter().filter(|asked| asked.name.contains("attacker.example")).count();
    assert!(asked >= REQUESTS * NAMES, "each name was resolved: {asked}");
    // Lookups that a response has left behind end at their next poll.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(resolver.active() < 10, "{} names are held", resolver.active());
    dns.forget();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle: Vec<_> = dns.questions().into_iter().filter(|asked| asked.name.contains("attacker")).collect();
    println!("{asked} questions in {REQUESTS} requests, {} afterwards", idle.len());
    assert!(idle.is_empty(), "{} questions: {:?}", idle.len(), &idle[..idle.len().min(5)]);
}

/// The source knows another port than the URL names, as EndpointSlices do with a `targetPort`.
#[tokio::test]
async fn a_redirect_to_another_host_carries_that_host_and_no_credentials() {
    let dns = FakeDns::start().await.unwrap();
    let (other, seen_by_other) = redirecting("other", String::new()).await;
    dns.record("other.example.com", other.ip());
    let at_other = format!("other.example.com:{}", other.addr().port());
    let (pod, _) = redirecting("orders-0", format!("http://{at_other}/next")).await;
    for http2 in [false, true] {
        for url in ["http://orders.shop:8080/", "http://orders.shop/", "http://_http._tcp.orders.shop/"] {
            let resolver = with_orders_at(&dns, &pod);
            let client = Client::builder(resolver).configure(over_http(http2)).no_proxy().build().unwrap();
            let response = within("an answer", client.get(url).bearer_auth("secret").send()).await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(taken(&seen_by_other), [format!("/next {at_other} -")], "{url} over HTTP/2 {http2}");
        }
    }
}

#[tokio::test]
async fn a_redirect_within_the_origin_keeps_endpoint_host_and_credentials() {
    let dns = FakeDns::start().await.unwrap();
    for http2 in [false, true] {
        for (url, to, host) in [
            ("http://orders.shop:8080/", "/next", "orders.shop:8080"),
            ("http://orders.shop:8080/", "http://orders.shop:8080/next", "orders.shop:8080"),
            ("http://orders.shop/", "http://orders.shop/next", "orders.shop"),
            ("http://orders.shop/", "//orders.shop:80/next", "orders.shop"),
            ("http://_http._tcp.orders.shop/", "http://orders.shop/next", "orders.shop"),
            ("http://orders.shop.svc.cluster.local.:8080/", "next", "orders.shop.svc.cluster.local.:8080"),
        ] {
            let (pod, seen) = redirecting("orders-0", to.to_owned()).await;
            let resolver = with_orders_at(&dns, &pod);
            let client = Client::builder(resolver).configure(over_http(http2)).no_proxy().build().unwrap();
            let response = within("an answer", client.get(url).bearer_auth("secret").send()).await.unwrap();
            assert_eq!(response.status(), 200, "{url} to {to}");
            let host = host.strip_suffix(":80").unwrap_or(host);
            let expected = [format!("/ {host} Bearer secret"), format!("/next {host} Bearer secret")];
            // HTTP/2 sends a default port that the redirect spells out.
            let seen: Vec<_> =
                taken(&seen).iter().map(|line| line.replace("orders.shop:80 ", "orders.shop ")).collect();
            assert_eq!(seen, expected, "{url} to {to} over HTTP/2 {http2}");
            assert_eq!(pod.connections(), 1, "{url} to {to}: the same connection");
        }
    }
}

/// The port of the endpoint stands for the port of the URL, and for no other one.
#[tokio::test]
async fn a_redirect_to_another_port_goes_to_that_port() {
    let dns = FakeDns::start().await.unwrap();
    let (other, seen_by_other) = redirecting("other", String::new()).await;
    // Both pods are at one address.
    let to = format!("http://orders.shop:{}/next", other.addr().port());
    let (pod, seen) = redirecting("orders-0", to).await;
    if pod.ip() != other.ip() {
        return;
    }
    let client = Client::builder(with_orders_at(&dns, &pod)).no_proxy().build().unwrap();
    let request = client.get("http://orders.shop:8080/").bearer_auth("secret");
    assert_eq!(within("an answer", request.send()).await.unwrap().status(), 200);
    assert_eq!(taken(&seen), ["/ orders.shop:8080 Bearer secret"]);
    assert_eq!(taken(&seen_by_other), [format!("/next orders.shop:{} -", other.addr().port())]);
}

#[tokio::test]
async fn responses_and_errors_have_the_url_of_the_caller() {
    let dns = FakeDns::start().await.unwrap();
    let (pod, _) = redirecting("orders-0", String::new()).await;
    let client = Client::builder(with_orders_at(&dns, &pod)).no_proxy().build().unwrap();
    let url = "http://orders.shop:8080/v1";
    let response = within("an answer", client.get(url).send()).await.unwrap();
    assert_eq!(response.url().as_str(), url);
    assert_eq!(header_of(&response, "location"), "");
    pod.kill().await;
    let error = within("an error", client.get(url).send()).await.unwrap_err();
    assert!(error.is_connect() && error.to_string().contains("http://orders.shop:8080 "), "{error}");
}

#[tokio::test]
async fn errors_hide_credentials_that_a_redirect_brings() {
    const SECRET: &str = "hunter2";
    let dns = FakeDns::start().await.unwrap();
    let gone = FakePod::start("gone").await.unwrap();
    let refused = gone.addr();
    gone.kill().await;
    for to in [
        format!("http://me:{SECRET}@{refused}/"),
        format!("http://{SECRET}@{refused}/"),
        format!("http://me:{SECRET}@nobody.shop.svc/"),
        format!("ftp://me:{SECRET}@{refused}/"),
    ] {
        let (pod, _) = redirecting("orders-0", to.clone()).await;
        for https_only in [false, true] {
            let builder = Client::builder(with_orders_at(&dns, &pod)).no_proxy();
            let policy = move |attempt: reqwest::redirect::Attempt<'_>| {
                if https_only { attempt.error("not allowed") } else { attempt.follow() }
            };
            let configure =
                move |builder: reqwest::ClientBuilder| builder.redirect(reqwest::redirect::Policy::custom(policy));
            let client = builder.configure(configure).build().unwrap();
            let error = within("an error", client.get("http://orders.shop:8080/").send()).await.unwrap_err();
            assert!(!error_texts(&error).contains(SECRET), "{to}: {}", error_texts(&error));
            assert!(!format!("{error:?}").contains(SECRET), "{to}: {error:?}");
        }
    }
    // A body that breaks is an error of reqwest, which names the URL of the response.
    let (pod, _) = redirecting("orders-0", String::new()).await;
    let at = format!("http://me:{SECRET}@{}/broken", pod.addr());
    let (first, _) = redirecting("orders-1", at).await;
    let client = Client::builder(with_orders_at(&dns, &first)).no_proxy().build().unwrap();
    let response = within("an answer", client.get("http://orders.shop:8080/").send()).await.unwrap();
    assert!(!format!("{response:?}").contains(SECRET), "{response:?}");
}
