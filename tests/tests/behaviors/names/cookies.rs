//! Cookies stay with the Service that set them: the names of a cluster are public suffixes (RFC 6265, 5.3).

use std::sync::Arc;

use bytes::Bytes;
use discovery_reqwest::Client;
use discovery_testing::{FakeDns, FakePod, ManualSource};
use http::{Request, Response, header};
use tests::in_pod;

use crate::support::client::within;

/// A pod that sets the cookie of the query and answers with the cookies that it received.
async fn echo() -> FakePod {
    let handler = |request: Request<Bytes>| {
        let received = request.headers().get(header::COOKIE).cloned();
        let body = received.map(|cookies| Bytes::copy_from_slice(cookies.as_bytes())).unwrap_or_default();
        let response = Response::builder();
        let response = match request.headers().get("x-set") {
            Some(cookie) => response.header(header::SET_COOKIE, cookie),
            None => response,
        };
        response.body(body).unwrap()
    };
    FakePod::with_handler("echo", handler).await.unwrap()
}

/// Every name leads to `pod`.
fn client(dns: &FakeDns, pod: &FakePod, own_store: bool) -> Client {
    let (source, all) = ManualSource::new();
    all.set([pod.addr().to_string().as_str()]);
    let builder = Client::builder(in_pod(dns, "shop").source(Arc::new(source)).build().unwrap()).no_proxy();
    let builder = match own_store {
        true => builder.cookie_provider(Arc::new(reqwest::cookie::Jar::default())),
        false => builder.cookie_store(),
    };
    builder.build().unwrap()
}

async fn set(client: &Client, host: &str, cookie: &str) {
    let request = client.get(format!("http://{host}/")).header("x-set", cookie);
    within("an answer", request.send()).await.unwrap();
}

async fn received(client: &Client, host: &str) -> String {
    within("an answer", client.get(format!("http://{host}/")).send()).await.unwrap().text().await.unwrap()
}

#[tokio::test]
async fn no_cookie_goes_from_one_service_to_another() {
    let (dns, pod) = (FakeDns::start().await.unwrap(), echo().await);
    for (from, domain, to) in [
        ("a.shop.svc.cluster.local", "svc.cluster.local", "pay.bank.svc.cluster.local"),
        ("a.shop.svc.cluster.local", "cluster.local", "pay.bank.svc.cluster.local"),
        ("a.shop.svc.cluster.local", ".shop.svc.cluster.local", "b.shop.svc.cluster.local"),
        ("a.shop.svc.cluster.local", "LOCAL", "pay.bank.svc.cluster.local"),
        ("a.shop.svc.corp.example", "corp.example", "pay.bank.svc.corp.example"),
        ("a.shop.svc", "shop.svc", "b.shop.svc"),
        ("a.shop.svc", "svc", "pay.bank.svc"),
        ("a.shop", "shop", "b.shop"),
        ("web-0.a.shop", "shop", "b.shop"),
        ("web-0.a.shop.svc", "shop.svc", "b.shop.svc"),
        ("web-0.a.shop.svc.cluster.local", "shop.svc.cluster.local", "b.shop.svc.cluster.local"),
    ] {
        for own_store in [false, true] {
            let client = client(&dns, &pod, own_store);
            set(&client, from, &format!("evil=1; Domain={domain}; Path=/")).await;
            assert_eq!(received(&client, to).await, "", "{from} sets {domain}, own store {own_store}");
            // A cookie with a domain of its own is host-only, and the others are not affected.
            set(&client, from, &format!("mine=1; Domain={from}")).await;
            set(&client, from, "plain=1").await;
            let own = received(&client, from).await;
            assert!(own.contains("mine=1") && own.contains("plain=1"), "{from}: {own}");
            assert_eq!(received(&client, to).await, "", "{from} to {to}");
        }
    }
}

#[tokio::test]
async fn a_host_cannot_set_a_cookie_for_a_service() {
    let (dns, pod) = (FakeDns::start().await.unwrap(), echo().await);
    for (from, domain, to) in [
        ("x.y.pay.bank", "pay.bank", "pay.bank"),
        ("www.cluster.local", "cluster.local", "pay.bank.svc.cluster.local"),
        ("www.corp.example", "corp.example", "pay.bank.svc.corp.example"),
    ] {
        let client = client(&dns, &pod, false);
        set(&client, from, &format!("evil=1; Domain={domain}; Path=/")).await;
        assert_eq!(received(&client, to).await, "", "{from} sets {domain}");
    }
}

#[tokio::test]
async fn hosts_share_cookies_as_before() {
    let (dns, pod) = (FakeDns::start().await.unwrap(), echo().await);
    for (from, domain, to) in [
        ("api.example.com", "example.com", "www.example.com"),
        ("example.com", "example.com", "www.example.com"),
        ("a.b.example.com", "example.com", "c.example.com"),
    ] {
        for own_store in [false, true] {
            let client = client(&dns, &pod, own_store);
            set(&client, from, &format!("session=1; Domain={domain}; Path=/")).await;
            assert_eq!(received(&client, to).await, "session=1", "{from} sets {domain}");
            assert_eq!(received(&client, "www.example.org").await, "");
        }
    }
}
