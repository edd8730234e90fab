//! Endpoints that cannot be connected to, and come back by a connection in the background.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use discovery_core::{
    Environment, Resolver, Upstream,
    endpoint::Endpoint,
    policy::{LoadedEndpoint, Outcome, Reachability, Tried},
};
use discovery_testing::{ManualHandle, ManualSource};
use tests::within;
use tokio::net::TcpListener;

const TIMEOUT: Duration = Duration::from_secs(1);

/// Two endpoints, of which nothing listens at the first.
async fn two() -> (Upstream, ManualHandle, SocketAddr, TcpListener) {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (source, handle) = ManualSource::new();
    handle.set_endpoints([closed, open.local_addr().unwrap()].map(Endpoint::new));
    let resolver = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).build().unwrap();
    (within("an answer", resolver.resolve("orders:80")).await.unwrap(), handle, closed, open)
}

/// Reports that a request could not connect to this endpoint.
fn fail(upstream: &Upstream, addr: SocketAddr) -> Arc<LoadedEndpoint> {
    let mut others = Tried::new();
    upstream.endpoints().iter().filter(|one| one.addr() != addr).for_each(|one| others.add(one.identity()));
    let pick = upstream.pick_untried(&others).unwrap();
    let loaded = pick.loaded_endpoint().clone();
    pick.complete(Outcome::Unreachable, Instant::now());
    loaded
}

fn picks(upstream: &Upstream, addr: SocketAddr) -> usize {
    (0..100).filter(|_| upstream.pick().unwrap().endpoint().addr() == addr).count()
}

#[tokio::test]
async fn comes_back_when_a_probe_connects_and_no_request_finds_out() {
    let (upstream, _handle, closed, _open) = two().await;
    let loaded = fail(&upstream, closed);
    upstream.probe(&loaded, 80, TIMEOUT);
    let report = upstream.explain();
    assert_eq!(report.unreachable, [loaded.identity().clone()]);
    assert!(report.to_string().contains(&format!("{closed}, unreachable")), "{report}");
    for _ in 0..20 {
        assert_eq!(picks(&upstream, closed), 0);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let _listener = TcpListener::bind(closed).await.unwrap();
    let connected = async {
        while loaded.reachability() != Reachability::Connected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("a probe that connects", connected).await;
    assert!(picks(&upstream, closed) > 0);
    assert!(upstream.explain().unreachable.is_empty());
}

#[tokio::test]
async fn an_endpoint_that_has_left_is_not_probed() {
    let (upstream, handle, closed, open) = two().await;
    let loaded = fail(&upstream, closed);
    upstream.probe(&loaded, 80, TIMEOUT);
    handle.set_endpoints([Endpoint::new(open.local_addr().unwrap())]);
    tests::until(&upstream, "the removal", |set| set.len() == 1).await;
    let listener = TcpListener::bind(closed).await.unwrap();
    let probed = tokio::time::timeout(Duration::from_millis(800), listener.accept()).await;
    assert!(probed.is_err(), "a connection to an endpoint that has left");
}

#[tokio::test]
async fn probes_use_the_default_port_where_the_endpoint_has_none() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (source, handle) = ManualSource::new();
    handle.set_endpoints([Endpoint::new(([127, 0, 0, 1], 0).into())]);
    let resolver = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).build().unwrap();
    let upstream = within("an answer", resolver.resolve("orders")).await.unwrap();
    let pick = upstream.pick().unwrap();
    let loaded = pick.loaded_endpoint().clone();
    pick.complete(Outcome::Unreachable, Instant::now());
    upstream.probe(&loaded, port, TIMEOUT);
    within("a probe", listener.accept()).await.unwrap();
}
