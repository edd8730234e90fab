//! TCP connections: to an endpoint that can be reached, counted while they are open, and through a bridge.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use discovery_core::{
    Environment, Resolver, Upstream,
    endpoint::Endpoint,
    tcp::{Bridge, TcpConnector},
};
use discovery_testing::{ManualHandle, ManualSource};
use tests::{FullBacklog, eventually, within};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

fn upstream(endpoints: impl IntoIterator<Item = Endpoint>) -> (Upstream, ManualHandle) {
    let (source, handle) = ManualSource::new();
    handle.set_endpoints(endpoints);
    let resolver = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).build().unwrap();
    (resolver.upstream("db:5432").unwrap(), handle)
}

/// A server that sends its name to each client, and then what the client sends.
async fn server(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                client.write_all(name.as_bytes()).await.unwrap();
                let (mut read, mut write) = client.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
                let _ = write.shutdown().await;
            });
        }
    });
    addr
}

/// An address without a listener.
async fn closed() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

async fn name(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut name = [0; 1];
    stream.read_exact(&mut name).await.unwrap();
    String::from_utf8(name.to_vec()).unwrap()
}

#[tokio::test]
async fn connections_count_as_load_until_they_are_dropped() {
    let (a, b) = (server("a").await, server("b").await);
    let (upstream, _handle) = upstream([Endpoint::new(a), Endpoint::new(b)]);
    let mut open = Vec::new();
    let mut counts = BTreeMap::<String, usize>::new();
    for _ in 0..40 {
        let mut connection = within("a connection", upstream.connect()).await.unwrap();
        assert_eq!(connection.get_ref().peer_addr().unwrap(), connection.endpoint().addr());
        assert!(connection.get_ref().nodelay().unwrap());
        *counts.entry(name(&mut connection).await).or_default() += 1;
        open.push(connection);
    }
    // Two random endpoints of two are both: the one with fewer open connections gets the next.
    assert_eq!(counts, [("a".to_owned(), 20), ("b".to_owned(), 20)].into());
    open.retain(|connection| connection.endpoint().addr() == a);
    for _ in 0..20 {
        let mut connection = within("a connection", upstream.connect()).await.unwrap();
        assert_eq!(name(&mut connection).await, "b", "whose connections were closed");
        open.push(connection);
    }
}

#[tokio::test]
async fn an_endpoint_that_refuses_or_is_silent_is_passed_over() {
    let (good, refusing, silent) = (server("g").await, closed().await, FullBacklog::start().await.unwrap());
    let (upstream, _handle) = upstream([good, refusing, silent.addr().unwrap()].map(Endpoint::new));
    let connector = TcpConnector::new(upstream).with_attempt_timeout(Duration::from_millis(200));
    for _ in 0..30 {
        let mut connection = within("a connection", connector.connect()).await.unwrap();
        assert_eq!(name(&mut connection).await, "g");
    }
}

#[tokio::test]
async fn an_endpoint_that_can_be_reached_again_is_used_again() {
    let (good, silent) = (server("g").await, FullBacklog::start().await.unwrap());
    let away = silent.addr().unwrap();
    let (upstream, _handle) = upstream([good, away].map(Endpoint::new));
    let connector = TcpConnector::new(upstream.clone()).with_attempt_timeout(Duration::from_millis(100));
    let is_unreachable = |upstream: &Upstream| !upstream.explain().unreachable.is_empty();
    while !is_unreachable(&upstream) {
        within("a connection", connector.connect()).await.unwrap();
    }
    for _ in 0..20 {
        let connection = within("a connection", connector.connect()).await.unwrap();
        assert_eq!(connection.endpoint().addr(), good, "no connection finds out");
    }
    let listener = silent.open().await.unwrap();
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    eventually(&upstream, "a probe that connects", |upstream| !is_unreachable(upstream)).await;
    let mut open = Vec::new();
    loop {
        let connection = within("a connection", connector.connect()).await.unwrap();
        if connection.endpoint().addr() == away {
            break;
        }
        open.push(connection);
        assert!(open.len() < 100, "the endpoint is not used again");
    }
}

#[tokio::test]
async fn an_address_that_is_silent_does_not_hold_up_the_other_address_of_the_endpoint() {
    let (good, silent) = (server("g").await, FullBacklog::start().await.unwrap());
    let (upstream, _handle) = upstream([Endpoint::new(silent.addr().unwrap()).with_addr(good)]);
    // Far less than the attempt's timeout, so that the race must have been won.
    let connector = TcpConnector::new(upstream).with_attempt_timeout(Duration::from_secs(3600));
    let mut connection = within("a connection", connector.connect()).await.unwrap();
    assert_eq!(name(&mut connection).await, "g");
}

#[tokio::test]
async fn the_error_names_the_target_the_attempts_and_the_last_address() {
    let (one, silent) = (closed().await, FullBacklog::start().await.unwrap());
    let (refusing, _handle) = upstream([Endpoint::new(one)]);
    let error = within("an error", refusing.connect()).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&format!("could not connect to `db:5432`: 1 endpoint was tried, the last of them {one}")),
        "{text}"
    );
    assert!(error.is_transient() && std::error::Error::source(&error).unwrap().is::<std::io::Error>(), "{text}");

    let (both, _handle) = upstream([Endpoint::new(silent.addr().unwrap()), Endpoint::new(one)]);
    let connector = TcpConnector::new(both).with_attempt_timeout(Duration::from_millis(50));
    let text = within("an error", connector.connect()).await.unwrap_err().to_string();
    assert!(text.contains("2 endpoints were tried"), "{text}");

    let (silent, _handle) = upstream([Endpoint::new(silent.addr().unwrap())]);
    let connector = TcpConnector::new(silent).with_attempt_timeout(Duration::from_millis(50));
    let error = within("an error", connector.connect()).await.unwrap_err();
    assert!(error.is_timeout() && error.to_string().contains("no answer within 50ms"), "{error}");
}

#[tokio::test]
async fn no_more_endpoints_are_tried_than_allowed() {
    let (upstream, _handle) = upstream([closed().await, closed().await, closed().await].map(Endpoint::new));
    let connector = TcpConnector::new(upstream).with_max_endpoints(2);
    let text = within("an error", connector.connect()).await.unwrap_err().to_string();
    assert!(text.contains("2 endpoints were tried"), "{text}");
}

#[tokio::test]
async fn a_target_that_cannot_be_connected_to_is_an_error_of_the_configuration() {
    let (source, handle) = ManualSource::new();
    handle.set_endpoints([Endpoint::new(([127, 0, 0, 1], 0).into())]);
    let resolver = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).build().unwrap();
    for (target, wanted) in [("db", "write `db:<port>`"), ("_dns._udp.db", "names a udp port")] {
        let error = within("an error", resolver.upstream(target).unwrap().connect()).await.unwrap_err();
        assert!(error.is_config() && error.to_string().contains(wanted), "{error}");
    }
}

#[tokio::test]
async fn a_connection_waits_for_an_endpoint() {
    let (upstream, handle) = upstream([]);
    let connecting =
        tokio::spawn(async move { upstream.connect().await.map(|connection| connection.endpoint().addr()) });
    let addr = server("a").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    handle.set_endpoints([Endpoint::new(addr)]);
    assert_eq!(within("a connection", connecting).await.unwrap().unwrap(), addr);
}

#[tokio::test]
async fn addresses_come_in_the_order_of_the_policy_without_those_that_fail() {
    let (a, b) = (server("a").await, server("b").await);
    let (upstream, _handle) = upstream([Endpoint::new(a), Endpoint::new(b)]);
    let mut connection = within("a connection", upstream.connect()).await.unwrap();
    let _ = name(&mut connection).await;
    let busy = connection.endpoint().addr();
    let idle = if busy == a { b } else { a };
    assert_eq!(upstream.addrs(), [idle, busy]);
}

#[tokio::test]
async fn a_bridge_balances_the_connections_of_a_driver() {
    let (a, b) = (server("a").await, server("b").await);
    let (upstream, handle) = upstream([Endpoint::new(a), Endpoint::new(b)]);
    let bridge = Bridge::bind(upstream).await.unwrap();
    let mut open = Vec::new();
    let mut counts = BTreeMap::<String, usize>::new();
    for _ in 0..10 {
        let mut driver = TcpStream::connect(bridge.local_addr()).await.unwrap();
        *counts.entry(within("a name", name(&mut driver)).await).or_default() += 1;
        open.push(driver);
    }
    assert_eq!(counts, [("a".to_owned(), 5), ("b".to_owned(), 5)].into());

    // A half-closed connection still carries the other direction.
    let mut driver = open.remove(0);
    driver.write_all(b"select 1").await.unwrap();
    driver.shutdown().await.unwrap();
    let mut answer = String::new();
    within("the answer", driver.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer, "select 1");

    // The primary moves: the next connection follows.
    let moved = server("m").await;
    handle.set_endpoints([Endpoint::new(moved)]);
    let start = Instant::now();
    loop {
        let mut driver = TcpStream::connect(bridge.local_addr()).await.unwrap();
        if within("a name", name(&mut driver)).await == "m" {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "connections still go to endpoints that have left");
    }

    let addr = bridge.local_addr();
    drop(bridge);
    let mut left = open.remove(0);
    assert!(matches!(within("the end", left.read(&mut [0; 8])).await, Ok(0) | Err(_)));
    let refused = async {
        while TcpStream::connect(addr).await.is_ok() {
            tokio::task::yield_now().await
        }
    };
    within("a closed listener", refused).await;
}

#[tokio::test]
async fn a_bridge_resets_a_connection_that_leads_nowhere_and_listens_on_loopback_only() {
    let (upstream, _handle) = upstream([Endpoint::new(closed().await)]);
    let bridge = Bridge::bind(upstream.clone()).await.unwrap();
    let mut driver = TcpStream::connect(bridge.local_addr()).await.unwrap();
    let error = within("a reset", driver.read(&mut [0; 8])).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "an end would look like an empty answer");

    for addr in ["0.0.0.0:0", "[::]:0"] {
        let error = Bridge::bind_to(addr.parse().unwrap(), upstream.clone()).await.unwrap_err();
        assert!(error.is_config() && error.to_string().contains("use 127.0.0.1 or [::1]"), "{error}");
    }
    let taken = Bridge::bind_to(bridge.local_addr(), upstream).await.unwrap_err();
    assert!(taken.is_transient() && taken.to_string().contains(&bridge.local_addr().to_string()), "{taken}");
}
