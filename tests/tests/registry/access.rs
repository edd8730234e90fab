//! How a registry is reached: tokens and URLs that change, and timeouts.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use discovery_eureka::{Registry as Eureka, RegistryBuilder};
use socket2::{Domain, Socket, Type};
use tests::{log, within};
use tokio::net::TcpStream;

use crate::{
    client, ms,
    script::{Registry, json, page, record, status},
    until,
};

fn builder(registry: &Registry) -> RegistryBuilder {
    Eureka::builder(&client(), registry.url())
}

async fn serves_orders(registry: &Registry) {
    registry.on("GET", "apps", json(page("UP_1_", &[("ORDERS", &[record("ORDERS", "1", 1, "UP")])]))).await;
}

async fn tokens(registry: &Registry) -> Vec<String> {
    let header =
        |request: &wiremock::Request| request.headers.get("authorization").map(|v| v.to_str().unwrap().to_owned());
    registry.requests().await.iter().map(|request| header(request).unwrap_or_default()).collect()
}

#[tokio::test]
async fn each_request_carries_the_token_of_that_moment() {
    let registry = Registry::start().await;
    serves_orders(&registry).await;
    let token = Arc::new(Mutex::new("first\n".to_owned()));
    let current = token.clone();
    // The token replaces the credentials of the URL.
    let url = registry.url().replace("http://", "http://user:password@");
    let builder = builder(&registry).urls(url).bearer_token(move || {
        let token = current.lock().unwrap().clone();
        async move { Ok::<_, std::io::Error>(token) }
    });
    let eureka = builder.build().unwrap();
    eureka.applications().await.unwrap();
    *token.lock().unwrap() = "second".to_owned();
    eureka.applications().await.unwrap();
    assert_eq!(tokens(&registry).await, ["Bearer first", "Bearer second"]);
}

/// Also one of several URLs, and a list that changes; user and password remain the practice.
#[tokio::test]
async fn a_token_for_an_exposed_registry_is_refused() {
    let registry = Registry::start().await;
    serves_orders(&registry).await;
    let token = || async { Ok::<_, std::io::Error>("s3cret".to_owned()) };
    for urls in ["http://eureka:8761/eureka".to_owned(), format!("{},http://10.0.0.1:8761/eureka", registry.url())] {
        let error = builder(&registry).urls(&urls).bearer_token(token).build().unwrap_err();
        assert!(error.is_config() && error.to_string().contains("plain text to registry `http://"), "{error}");
        assert!(error.to_string().contains("write `https://`"), "{error}");
        assert!(builder(&registry).urls(&urls).build().is_ok(), "without a token: {urls}");
    }
    assert!(builder(&registry).urls("http://user:password@eureka/eureka").build().is_ok());
    assert!(builder(&registry).urls("https://eureka/eureka").bearer_token(token).build().is_ok());
    // The list changes to an exposed URL, which is not used.
    let list = Arc::new(Mutex::new(registry.url()));
    let current = list.clone();
    let eureka = builder(&registry).urls_from(move || current.lock().unwrap().clone()).bearer_token(token);
    let eureka = eureka.build().unwrap();
    *list.lock().unwrap() = "http://eureka.example.com/eureka".to_owned();
    eureka.applications().await.unwrap();
    assert_eq!(tokens(&registry).await, ["Bearer s3cret"]);
}

/// The registry no longer accepts the first token, and the provider has another one by now.
#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let registry = Registry::start().await;
    serves_orders(&registry).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let rotating = builder(&registry).bearer_token(move || {
        let nth = counted.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, std::io::Error>(format!("token-{nth}")) }
    });
    registry.next(1, "GET", "apps", status(401)).await;
    rotating.build().unwrap().applications().await.unwrap();
    assert_eq!(tokens(&registry).await, ["Bearer token-0", "Bearer token-1"]);

    registry.forget().await;
    registry.on("GET", "apps", status(401)).await;
    let fixed = builder(&registry).bearer_token(|| async { Ok::<_, std::io::Error>("s3cret".to_owned()) });
    let error = fixed.build().unwrap().applications().await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert_eq!(tokens(&registry).await, ["Bearer s3cret"], "the same token is not sent again");
    assert!(!error.to_string().contains("s3cret"));
}

#[tokio::test]
async fn without_a_token_no_request_is_sent() {
    let (one, two) = (Registry::start().await, Registry::start().await);
    let urls = format!("{},{}", one.url(), two.url());
    let with = |token: fn() -> Result<String, std::io::Error>| {
        builder(&one).urls(&urls).bearer_token(move || async move { token() }).build().unwrap()
    };
    for (token, wanted) in [
        (with(|| Err(std::io::Error::other("token file is missing"))), "token file is missing"),
        (with(|| Ok(" \n".to_owned())), "invalid token"),
        (with(|| Ok("Bearer s3cret".to_owned())), "invalid token"),
        (with(|| Ok("s3c\u{e9}ret".to_owned())), "invalid token"),
        (with(|| panic!("a bug in the provider")), "panicked"),
    ] {
        let error = token.applications().await.unwrap_err();
        assert!(error.is_token() && error.to_string().contains(wanted), "{error}");
        assert!(!error.to_string().contains("s3c"), "{error}");
    }
    assert!(one.asked().await.is_empty() && two.asked().await.is_empty());
}

/// As when the token comes from a server that is down for a moment.
#[tokio::test]
async fn a_registration_continues_once_the_token_is_back() {
    let registry = Registry::start().await;
    registry.accepts_all(8080).await;
    let works = Arc::new(AtomicUsize::new(0));
    let provider = works.clone();
    let eureka = builder(&registry).bearer_token(move || {
        let works = provider.load(Ordering::Relaxed) > 0;
        async move { if works { Ok("token".to_owned()) } else { Err("identity provider is down") } }
    });
    let builder = eureka.build().unwrap().registration("rates").port(8080).ip([127, 0, 0, 1].into());
    let registration =
        builder.lease(ms(50), Duration::from_secs(90)).env([("POD_NAME", "rates-0")]).register().await.unwrap();
    let error = registration.state().error.unwrap();
    assert!(error.is_token() && error.to_string().contains("identity provider is down"), "{error}");
    works.store(1, Ordering::Relaxed);
    within("settled", registration.settled()).await.unwrap();
}

#[tokio::test]
async fn follows_a_list_of_urls_that_changes() {
    let (one, two) = (Registry::start().await, Registry::start().await);
    one.accepts_all(8080).await;
    two.accepts_all(8080).await;
    let (sender, urls) = tokio::sync::watch::channel(one.url());
    let eureka = Eureka::builder(&client(), "").urls_from(move || urls.borrow().clone()).build().unwrap();
    let builder = eureka.registration("rates").port(8080).ip([127, 0, 0, 1].into());
    let builder = builder.lease(ms(50), Duration::from_secs(90)).env([("POD_NAME", "rates-0")]);
    let registration = builder.register().await.unwrap();
    until("heartbeats to the first", || async { one.count("PUT").await >= 2 }).await;
    assert!(two.asked().await.is_empty());

    sender.send_replace(two.url());
    until("heartbeats to the second", || async { two.count("PUT").await >= 2 }).await;
    let before = one.asked().await.len();

    // An invalid list, and one that is empty for a moment, change nothing.
    let log = log::capture(tracing::Level::TRACE);
    for bad in ["", "ftp://user:swordfish@eureka/"] {
        sender.send_replace(bad.to_owned());
        let heartbeats = two.count("PUT").await;
        until("more heartbeats", || async { two.count("PUT").await >= heartbeats + 3 }).await;
    }
    assert_eq!(one.asked().await.len(), before, "the first registry is no longer asked");
    assert!(registration.state().error.is_none());
    let warnings = log.containing("invalid list of registry URLs");
    assert_eq!(warnings.len(), 2, "one for each list: {warnings:?}");
    assert!(log.containing("swordfish").is_empty());
}

#[tokio::test]
async fn urls_that_cannot_be_used_are_an_error_at_the_start() {
    let urls: [fn() -> String; 3] = [String::new, || "eureka:8761".to_owned(), || panic!("a bug in the list")];
    for urls in urls {
        assert!(Eureka::builder(&client(), "").urls_from(urls).build().unwrap_err().is_config());
    }
    assert!(Eureka::builder(&client(), "").build().unwrap_err().is_config());
}

#[tokio::test]
async fn the_request_timeout_bounds_each_attempt() {
    let registry = Registry::start().await;
    registry.on("GET", "apps", status(200).set_delay(Duration::from_secs(3600))).await;
    let eureka = builder(&registry).request_timeout(ms(200)).build().unwrap();
    let error = within("an error", eureka.applications()).await.unwrap_err();
    assert!(error.is_unreachable() && error.to_string().contains("timed out after 200ms"), "{error}");
    assert_eq!(registry.asked().await.len(), 2, "one URL is tried twice");
}

#[tokio::test]
async fn the_deregistration_has_a_timeout_of_its_own() {
    let registry = Registry::start().await;
    registry.accepts_all(8080).await;
    registry.on("DELETE", "apps/.+", status(200).set_delay(Duration::from_secs(3600))).await;
    let eureka = builder(&registry).deregister_timeout(ms(200)).build().unwrap();
    let builder = eureka.registration("rates").port(8080).ip([127, 0, 0, 1].into()).env([("POD_NAME", "rates-0")]);
    let registration = builder.register().await.unwrap();
    let error = within("an error", registration.shutdown(Duration::ZERO)).await.unwrap_err();
    assert!(error.to_string().contains("timed out after 200ms"), "{error}");
}

#[tokio::test]
async fn timeouts_of_zero_are_refused() {
    let registry = Registry::start().await;
    let zero = Duration::ZERO;
    for builder in [
        builder(&registry).request_timeout(zero),
        builder(&registry).deregister_timeout(zero),
        builder(&registry).connect_timeout(zero),
    ] {
        assert!(builder.build().unwrap_err().is_config());
    }
}

/// A host that drops packets: the queue of a listener that accepts nothing is full, so Linux ignores further SYNs.
#[tokio::test]
async fn the_connect_timeout_is_shorter_than_the_request_timeout() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(ms(500), TcpStream::connect(addr)).await {
        queued.push(stream);
    }
    let urls = format!("http://{addr}/eureka");
    let eureka = Eureka::builder(&client(), urls).connect_timeout(ms(200)).request_timeout(Duration::from_secs(3600));
    let error = within("an error", eureka.build().unwrap().applications()).await.unwrap_err();
    assert!(error.is_unreachable() && !error.to_string().contains("timed out after 3600s"), "{error}");
}
