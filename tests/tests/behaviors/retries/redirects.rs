//! A pod that redirects has answered: later errors do not count against it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use discovery_reqwest::Client;
use discovery_testing::{Behavior, FakeCluster, FakePod};
use http::{Response, header};
use reqwest::StatusCode;
use tests::in_cluster;

use crate::support::client::{self, ClientWorld, send, within};

/// The pod has processed the request and redirects to a host that refuses: no other pod may process it again.
#[tokio::test]
async fn a_redirected_request_reaches_one_pod_only() {
    let cluster = FakeCluster::start().await.unwrap();
    let gone = FakePod::start("gone").await.unwrap();
    let location = format!("http://{}/", gone.addr());
    gone.kill().await;
    let builder = cluster.service("shop", "orders").replicas(3);
    let service = builder
        .handler(move |_| Response::builder().status(307).header("location", &location).body(Bytes::new()).unwrap())
        .start()
        .await
        .unwrap();
    let client = Client::new(in_cluster(&cluster, "shop"));
    let url = format!("http://orders:{}/", service.port());
    let error = client.post(url.as_str()).body("order").send().await.unwrap_err();
    assert!(error.is_connect() && error.endpoints_tried() == 1, "{error}");
    assert_eq!(service.requests().values().sum::<usize>(), 1, "{:?}", service.requests());
}

/// The reqwest client of an endpoint follows a redirect by itself.
#[tokio::test]
async fn a_redirect_within_the_service_stays_with_the_endpoint() {
    let world = ClientWorld::new(0).await;
    let pods = world.cluster.service("shop", "till").replicas(3).handler(|request| {
        let response = Response::builder();
        let response = match request.uri().path() {
            "/" => response.status(StatusCode::SEE_OTHER).header(header::LOCATION, "/next"),
            _ => response,
        };
        response.body(Bytes::new()).unwrap()
    });
    let till = pods.start().await.unwrap();
    let url = format!("http://till.shop:{}/", till.port());
    let (errors, _) = send(&world.client(), &url, 60, 1).await;
    assert!(errors.is_empty(), "{errors:?}");
    let requests = till.requests();
    assert_eq!(requests.values().sum::<usize>(), 120);
    assert!(requests.values().all(|of_pod| of_pod % 2 == 0), "both requests to one pod: {requests:?}");
}

#[tokio::test]
async fn an_error_after_a_redirect_does_not_penalize_the_redirecting_service() {
    let world = ClientWorld::new(0).await;
    let broken = world
        .cluster
        .service("shop", "broken")
        .replicas(1)
        .handler(|_| Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR).body(Bytes::new()).unwrap());
    let broken = broken.start().await.unwrap();
    let location = format!("http://broken.shop:{}/", broken.port());
    let till = world.cluster.service("shop", "till").replicas(1).handler(move |_| {
        let response = Response::builder().status(StatusCode::FOUND).header(header::LOCATION, &location);
        response.body(Bytes::new()).unwrap()
    });
    let till = till.start().await.unwrap();
    let client = world.client();
    for (service, penalty) in [(&till, 0), (&broken, 1)] {
        let url = format!("http://{}:{}/", service.name(), service.port());
        let response = within("an answer", client.get(&url).send()).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let upstream = client.resolver().resolve(url.as_str()).await.unwrap();
        assert_eq!(upstream.pick().unwrap().loaded_endpoint().load().penalty(Instant::now()), penalty, "{url}");
    }
}

#[tokio::test]
async fn an_attempt_that_redirects_in_time_is_not_retried() {
    let world = ClientWorld::new(0).await;
    let slow = FakePod::start("slow").await.unwrap();
    slow.set_behavior(Behavior::Hanging);
    let location = format!("http://{}/", slow.addr());
    let till = world.cluster.service("shop", "till").replicas(2).handler(move |_| {
        let response = Response::builder().status(StatusCode::FOUND).header(header::LOCATION, &location);
        response.body(Bytes::new()).unwrap()
    });
    let till = till.start().await.unwrap();
    let client = world.builder().attempt_timeout(Duration::from_millis(100)).build().unwrap();
    let request = client.get(format!("http://till.shop:{}/", till.port())).timeout(Duration::from_millis(500));
    let error = within("an error", request.send()).await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!((till.requests().values().sum::<usize>(), slow.requests()), (1, 1));
}

#[tokio::test]
async fn resolves_a_redirect_to_another_service() {
    let world = ClientWorld::new(0).await;
    let billing = world.cluster.service("money", "billing").replicas(2).start().await.unwrap();
    let to = format!("http://billing.money:{}/paid", billing.port());
    let location = to.clone();
    let till = world.cluster.service("shop", "till").handler(move |_| {
        let response = Response::builder().status(StatusCode::TEMPORARY_REDIRECT).header("location", &location);
        response.body(Bytes::new()).unwrap()
    });
    let till = till.start().await.unwrap();
    let client = world.client();
    let url = format!("http://till:{}/", till.port());
    let response = within("an answer", client.get(url).send()).await.unwrap();
    assert_eq!((response.status(), response.url().as_str()), (StatusCode::OK, to.as_str()));
    assert_eq!(client::header(&response, "x-host"), format!("billing.money:{}", billing.port()));
    assert!(client::header(&response, "x-pod").starts_with("billing-"));
}
