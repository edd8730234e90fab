//! F19: connections that work outlive the answer that named their address.

use std::time::Duration;

use discovery_core::{Resolver, Upstream, refresh::RefreshSettings};
use discovery_reqwest::Client;
use discovery_testing::{FakeCluster, FakeDns, FakePod, FakeService, Service};
use tests::{brisk, eventually, figure, in_pod, ips, until};

use crate::support::{
    client::{send, within},
    dns::asked_again,
};

/// A host that answers with 8 of its 240 addresses, others each time.
struct Site {
    cluster: FakeCluster,
    service: FakeService,
    at: usize,
}

const SITE: &str = "site.example.com";
const ADDRESSES: usize = 240;
const IN_ANSWER: usize = 8;

impl Site {
    async fn new() -> Self {
        let cluster = FakeCluster::with_dns(FakeDns::builder().ttl(0).start().await.unwrap());
        let service = cluster.service("elsewhere", "site").replicas(ADDRESSES).start().await.unwrap();
        let mut site = Self { cluster, service, at: 0 };
        site.rotate();
        site
    }

    /// Answers with the next eight addresses from now on.
    fn rotate(&mut self) {
        let pods = self.service.pods();
        let addresses: Vec<_> = (0..IN_ANSWER).map(|nth| pods[(self.at + nth) % ADDRESSES].ip()).collect();
        self.at += IN_ANSWER;
        self.show(SITE, &addresses);
    }

    fn show(&self, name: &str, addresses: &[std::net::IpAddr]) {
        self.dns().remove_record(name);
        addresses.iter().for_each(|ip| self.dns().record(name, *ip));
        self.dns().record_ttl(name, 0);
    }

    fn dns(&self) -> &FakeDns {
        self.cluster.dns()
    }

    fn resolver(&self) -> Resolver {
        self.resolver_with(brisk())
    }

    fn resolver_with(&self, settings: RefreshSettings) -> Resolver {
        in_pod(self.dns(), "shop").refresh(settings).build().unwrap()
    }

    fn connections(&self) -> usize {
        self.service.pods().iter().map(FakePod::connections).sum()
    }

    /// Sends requests through 25 different answers; returns the number of connections that they opened.
    async fn visit(&mut self, resolver: &Resolver, url: &str, at_a_time: usize) -> usize {
        let client = Client::builder(resolver.clone()).no_proxy().build().unwrap();
        for _ in 0..25 {
            let (errors, _) = send(&client, url, 4 * at_a_time.max(2), at_a_time).await;
            assert!(errors.is_empty(), "{errors:?}");
            self.rotate();
            asked_again(self.dns(), 3).await;
        }
        self.connections()
    }
}

/// F19. Every answer names other addresses, and the client sends one request at a time.
#[tokio::test]
async fn a_host_with_rotating_addresses_keeps_its_connections() {
    let mut site = Site::new().await;
    let (resolver, url) = (site.resolver(), format!("http://{SITE}:{}/", site.service.port()));
    let opened = site.visit(&resolver, &url, 1).await;
    figure("F19: connections through 25 answers of 8 addresses, one request at a time", opened);
    assert!(opened <= 2 * IN_ANSWER, "{opened} connections");
}

/// Without retention, every answer costs connections.
#[tokio::test]
async fn without_retention_each_answer_costs_new_connections() {
    let mut site = Site::new().await;
    let off = brisk().with_retention(0, Duration::ZERO, Duration::ZERO);
    let (resolver, url) = (site.resolver_with(off), format!("http://{SITE}:{}/", site.service.port()));
    let opened = site.visit(&resolver, &url, 1).await;
    figure("F19: the same without retention", opened);
    assert!(opened > 4 * IN_ANSWER, "{opened} connections");
}

/// With concurrent requests, the number of connections follows the concurrency.
#[tokio::test]
async fn a_host_with_rotating_addresses_gets_the_connections_that_concurrency_needs() {
    let mut site = Site::new().await;
    let (resolver, url) = (site.resolver(), format!("http://{SITE}:{}/", site.service.port()));
    let opened = site.visit(&resolver, &url, 8).await;
    figure("F19: connections through 25 answers of 8 addresses, 8 requests at a time", opened);
    assert!(opened <= 8 * IN_ANSWER, "{opened} connections");
}

/// A Service that is an alias of such a host.
#[tokio::test]
async fn an_external_name_keeps_the_connections_of_its_host() {
    let mut site = Site::new().await;
    site.dns().apply(Service::external_name("shop", "site", SITE));
    let (resolver, url) = (site.resolver(), format!("http://site.shop:{}/", site.service.port()));
    let opened = site.visit(&resolver, &url, 1).await;
    assert!(opened <= 2 * IN_ANSWER, "{opened} connections");
}

/// The answer decides where new connections go, and an address that it still names comes before one that it lacks.
#[tokio::test]
async fn a_host_that_drops_one_address_sends_its_requests_to_the_others() {
    let site = Site::new().await;
    let pods = site.service.pods();
    site.show(SITE, &[pods[0].ip(), pods[1].ip(), pods[2].ip()]);
    let client = Client::builder(site.resolver()).no_proxy().build().unwrap();
    let url = format!("http://{SITE}:{}/", site.service.port());
    send(&client, &url, 60, 1).await;
    assert!(pods[..3].iter().all(|pod| pod.requests() > 0), "balanced while the answer stays the same");
    site.show(SITE, &[pods[0].ip(), pods[1].ip()]);
    let upstream = client.resolver().upstream(&*url).unwrap();
    retained(&upstream).await;
    let before = pods[2].requests();
    let (errors, _) = send(&client, &url, 60, 1).await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(pods[2].requests(), before);
    assert!(pods[0].requests() > 20 && pods[1].requests() > 20, "{} {}", pods[0].requests(), pods[1].requests());
}

/// A retained address that refuses a connection leaves, and the request goes to the newest answer.
#[tokio::test]
async fn a_retained_address_of_a_host_leaves_at_its_first_connect_error() {
    let site = Site::new().await;
    let pods = site.service.pods();
    site.show(SITE, &[pods[0].ip()]);
    let client = Client::builder(site.resolver()).no_proxy().build().unwrap();
    let url = format!("http://{SITE}:{}/", site.service.port());
    send(&client, &url, 5, 1).await;
    let upstream = client.resolver().upstream(&*url).unwrap();
    site.show(SITE, &[pods[1].ip()]);
    retained(&upstream).await;
    send(&client, &url, 5, 1).await;
    assert_eq!((pods[0].requests(), pods[1].requests()), (10, 0), "the connection that works is used");
    pods[0].kill().await;
    let (errors, _) = send(&client, &url, 5, 1).await;
    assert!(errors.is_empty(), "{errors:?}");
    until(&upstream, "the newest answer alone", |set| ips(set) == [pods[1].ip().to_string()]).await;
    assert_eq!(pods[1].requests(), 5);
}

/// A Service `orders` in `shop` with the virtual address of `pod`.
fn virtual_service(pod: &FakePod) -> Service {
    Service::cluster_ip("shop", "orders").ip(pod.ip()).port("http", pod.addr().port())
}

/// A Service with a virtual address, and a client that has sent requests to it.
struct Virtual {
    cluster: FakeCluster,
    pods: Vec<FakePod>,
    client: Client,
    upstream: Upstream,
    url: String,
    /// Holds the port of the pods.
    _service: FakeService,
}

impl Virtual {
    async fn new(settings: RefreshSettings) -> Self {
        let cluster = FakeCluster::with_dns(FakeDns::builder().ttl(0).start().await.unwrap());
        let service = cluster.service("elsewhere", "backends").replicas(2).start().await.unwrap();
        let pods = service.pods();
        cluster.dns().apply(virtual_service(&pods[0]));
        let resolver = in_pod(cluster.dns(), "shop").refresh(settings).build().unwrap();
        let client = Client::builder(resolver).no_proxy().endpoint_timeout(Duration::from_millis(200)).build().unwrap();
        let url = format!("http://orders.shop:{}/", service.port());
        let upstream = client.resolver().upstream(&*url).unwrap();
        let world = Self { cluster, pods, client, upstream, url, _service: service };
        world.send(5).await;
        world
    }

    /// Sends requests one after the other, none of which may fail or be retried.
    async fn send(&self, requests: usize) {
        let (errors, retried) = send(&self.client, &self.url, requests, 1).await;
        assert!(errors.is_empty() && retried == 0, "{retried} retried, {errors:?}; {}", self.upstream.explain());
    }

    fn delete(&self) {
        assert!(self.cluster.dns().remove("shop", "orders"));
    }
}

async fn retained(upstream: &Upstream) {
    eventually(upstream, "a retained endpoint", |upstream| upstream.explain().to_string().contains("(retained)")).await;
}

/// A Service that is deleted and created again: no request fails, and none waits.
#[tokio::test]
async fn a_virtual_address_stays_in_use_through_a_short_nxdomain() {
    let world = Virtual::new(brisk()).await;
    world.delete();
    retained(&world.upstream).await;
    assert!(world.upstream.explain().to_string().contains("not found"), "{}", world.upstream.explain());
    world.upstream.ready().await.unwrap();
    for _ in 0..10 {
        world.send(5).await;
        asked_again(world.cluster.dns(), 1).await;
    }
    world.cluster.dns().apply(virtual_service(&world.pods[0]));
    eventually(&world.upstream, "the Service", |upstream| upstream.explain().freshness == "fresh").await;
    world.send(5).await;
    assert_eq!(world.pods[0].connections(), 1);
}

/// A Service that is gone for good: the error says so, and DNS is asked.
#[tokio::test]
async fn a_virtual_address_that_refuses_connections_leaves_after_nxdomain() {
    let world = Virtual::new(brisk()).await;
    world.delete();
    retained(&world.upstream).await;
    world.pods[0].kill().await;
    let (errors, _) = send(&world.client, &world.url, 1, 1).await;
    assert_eq!(errors.len(), 1);
    let asked = world.cluster.dns().total();
    until(&world.upstream, "the end", |set| set.is_empty()).await;
    let error = world.upstream.pick().unwrap_err();
    assert!(error.is_not_found() && error.to_string().contains("NXDOMAIN"), "{error}");
    let (errors, _) = send(&world.client, &world.url, 1, 1).await;
    assert!(errors[0].as_discovery().is_some_and(discovery_core::Error::is_not_found), "{errors:?}");
    within("another query", world.cluster.dns().asked(|_| true, asked + 1)).await;
}

/// A Service that is created again with another address: the traffic moves at once.
#[tokio::test]
async fn traffic_moves_to_the_new_virtual_address() {
    let world = Virtual::new(brisk()).await;
    world.delete();
    retained(&world.upstream).await;
    world.send(5).await;
    let before = world.pods[0].requests();
    world.cluster.dns().apply(virtual_service(&world.pods[1]));
    until(&world.upstream, "the new address", |set| ips(set) == [world.pods[1].ip().to_string()]).await;
    world.send(5).await;
    assert_eq!((world.pods[0].requests(), world.pods[1].requests()), (before, 5));
}

/// Without requests, a deleted Service leaves as it did before.
#[tokio::test]
async fn an_unused_virtual_address_leaves_with_its_name() {
    let world = Virtual::new(brisk()).await;
    asked_again(world.cluster.dns(), 3).await;
    let idle = brisk().with_retention(16, Duration::from_secs(300), Duration::from_millis(1));
    let other = in_pod(world.cluster.dns(), "shop").refresh(idle).build().unwrap();
    let upstream = within("an answer", other.resolve("orders:http")).await.unwrap();
    world.delete();
    until(&upstream, "an empty set", |set| set.is_empty()).await;
}

/// The pods of a headless Service leave at once, whether they answer or not.
#[tokio::test]
async fn a_removed_pod_of_a_headless_service_leaves_although_it_answers() {
    let world = crate::support::client::ClientWorld::new(3).await;
    let client = world.client();
    send(&client, &world.url(), 60, 1).await;
    let pod = world.pod(0);
    world.cluster.dns().remove_pod("shop", "orders", pod.ip());
    let upstream = client.resolver().upstream(&*world.url()).unwrap();
    until(&upstream, "the removal", |set| set.len() == 2).await;
    let before = pod.requests();
    let (errors, _) = send(&client, &world.url(), 30, 1).await;
    assert!(errors.is_empty() && pod.requests() == before, "{errors:?}");
}
