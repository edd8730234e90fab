//! Things that have gone wrong once: each test would have noticed.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use discovery_core::{
    Environment, Resolver,
    plan::{Families, Plan},
    source::{BoxFuture, Lookup, Source, State, Update},
};
use discovery_reqwest::Client;
use discovery_testing::{FakeCluster, FakeDns, FakePod, Glue, ManualSource, Pod, QType, Rule, Service};
use tests::{PATIENCE, addrs, brisk, in_cluster, in_pod, until};

const ORDERS: &str = "orders.shop.svc.cluster.local";

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// The pod has carried out the request and points to a host that refuses: nobody else may carry it out again.
#[tokio::test]
async fn a_redirected_request_is_sent_to_one_pod_only() {
    let cluster = FakeCluster::start().await.unwrap();
    let gone = FakePod::start("gone").await.unwrap();
    let location = format!("http://{}/", gone.addr());
    gone.kill().await;
    let builder = cluster.service("shop", "orders").replicas(3);
    let service = builder
        .handler(move |_| {
            http::Response::builder().status(307).header("location", &location).body(Bytes::new()).unwrap()
        })
        .start()
        .await
        .unwrap();
    let client = Client::new(in_cluster(&cluster, "shop"));
    let url = format!("http://orders:{}/", service.port());
    let error = client.post(url.as_str()).body("order").send().await.unwrap_err();
    assert!(error.is_connect() && error.endpoints_tried() == 1, "{error}");
    assert_eq!(service.requests().values().sum::<usize>(), 1, "{:?}", service.requests());
}

/// `.shop` is a top-level domain of the Internet.
#[tokio::test]
async fn a_service_that_is_scaled_to_zero_is_not_looked_for_outside_of_the_cluster() {
    let dns = FakeDns::builder().ttl(0).start().await.unwrap();
    dns.record("orders.shop", "203.0.113.66");
    dns.apply(Service::headless("shop", "orders").port("http", 80).pod(Pod::new("10.0.0.1")));
    let orders = in_pod(&dns, "billing").refresh(brisk()).build().unwrap().resolve("orders.shop:80").await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:80"]);
    dns.remove_pod("shop", "orders", "10.0.0.1");
    until(&orders, "an empty set", |set| set.is_empty()).await;
    dns.add_pod("shop", "orders", Pod::new("10.0.0.2"));
    until(&orders, "the new pod", |set| addrs(set) == ["10.0.0.2:80"]).await;
    assert_eq!(dns.count("orders.shop", QType::A), 0);
}

/// NXDOMAIN is true of every type, so that the other type's failure does not end the walk.
#[tokio::test]
async fn service_and_namespace_resolve_while_aaaa_fails() {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(Service::headless("shop", "orders").port("http", 80).pod(Pod::new("10.0.0.1")));
    dns.script(Rule::any().qtype(QType::AAAA).servfail());
    let resolver = in_pod(&dns, "billing").families(Families::Both).build().unwrap();
    let orders = within("orders.shop", resolver.resolve("orders.shop:80")).await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:80"]);
}

#[tokio::test]
async fn a_final_dot_in_a_url_is_balanced_like_any_other_name() {
    let cluster = FakeCluster::start().await.unwrap();
    let service = cluster.service("shop", "orders").replicas(2).start().await.unwrap();
    let client = Client::new(in_cluster(&cluster, "shop"));
    let url = format!("http://orders.shop.svc.cluster.local.:{}/", service.port());
    for _ in 0..8 {
        assert_eq!(client.get(url.as_str()).send().await.unwrap().status(), 200);
    }
    assert_eq!(client.resolver().active(), 1, "nobody else has resolved the host");
}

/// Says that it has news until it is asked.
#[derive(Debug)]
struct Eager;

impl Source for Eager {
    fn name(&self) -> &'static str {
        "eager"
    }

    fn open(&self, _: &Plan) -> Box<dyn Lookup> {
        Box::new(Self)
    }
}

impl Lookup for Eager {
    fn ask<'a>(&'a mut self, _: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        let endpoint = discovery_core::endpoint::Endpoint::new(([10, 0, 0, 1], 80).into());
        Box::pin(std::future::ready(Update::new(State::Ready(vec![endpoint]))))
    }

    fn changed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn a_source_that_always_has_news_leaves_the_runtime_to_others() {
    let builder = Resolver::builder().environment(Environment::empty()).source(Arc::new(Eager));
    let orders = builder.build().unwrap().resolve("orders:80").await.unwrap();
    // On a runtime of one thread: a loop that never sleeps would not let this timer fire.
    within("a timer", tokio::time::sleep(Duration::from_millis(10))).await;
    drop(orders);
}

#[tokio::test]
async fn an_answer_without_endpoints_is_an_empty_one() {
    let (source, handle) = ManualSource::new();
    handle.set_endpoints([]);
    let builder = Resolver::builder().environment(Environment::empty()).source(Arc::new(source));
    let error = within("an answer", builder.build().unwrap().resolve("orders:80")).await.unwrap_err();
    assert!(error.is_no_endpoints(), "{error}");
}

/// The target of a ClusterIP's SRV record is the Service itself, which here has the name of the pod asked for.
#[tokio::test]
async fn a_namespace_with_the_name_of_its_service_is_found() {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(Service::cluster_ip("shop", "nginx").ip("10.96.0.66").port("http", 80));
    dns.apply(Service::cluster_ip("nginx", "nginx").ip("10.96.0.7").port("http", 80));
    let nginx = in_pod(&dns, "shop").build().unwrap().resolve("nginx.nginx:http").await.unwrap();
    assert_eq!(addrs(&nginx.endpoints()), ["10.96.0.7:80"]);
}

/// Nothing is known of the cluster's domain then, least of all that there is none.
#[tokio::test]
async fn a_failed_search_for_the_cluster_domain_is_transient() {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(Service::headless("shop", "orders").port("http", 80).pod(Pod::new("10.0.0.1")));
    dns.script(Rule::any().qtype(QType::TXT).times(1).servfail());
    let environment = Environment::empty().with_env([("POD_NAMESPACE", "shop")]);
    let builder = Resolver::builder().environment(environment).nameservers([dns.addr()]).families(Families::V4);
    let orders = builder.build().unwrap().upstream("orders:80").unwrap();
    assert!(orders.first_answer().await.unwrap_err().is_transient());
    within("the next attempt", orders.ready()).await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:80"]);
}

/// Addresses that were looked up for an SRV record without them are not believed for ever.
#[tokio::test]
async fn looked_up_targets_grow_stale_like_everything_else() {
    let dns = FakeDns::builder().ttl(0).start().await.unwrap();
    dns.glue(Glue::None);
    dns.apply(Service::headless("shop", "orders").port("http", 80).pod(Pod::new("10.0.0.1").hostname("web-0")));
    let settings = brisk().with_max_stale(Duration::from_millis(200));
    let orders = in_pod(&dns, "shop").refresh(settings).build().unwrap().resolve("orders:http").await.unwrap();
    dns.script(Rule::any().name(&format!("web-0.{ORDERS}")).servfail());
    until(&orders, "the set dropped", |set| set.is_empty()).await;
}
