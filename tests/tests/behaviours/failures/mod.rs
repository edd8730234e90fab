//! The failure modes F1 to F17 of DNS in Kubernetes, each shown at a DNS server that behaves accordingly.
//! A test is named after the mode that it is for.
//!
//! Two that need a client above the resolver are shown elsewhere: the idle connections of a removed endpoint
//! (F9) and the logical host of an alias (F16).

mod external_names;
mod families;
mod flapping;
mod herd;
mod large_answers;
mod lost_packets;
mod negative;
mod outage;
mod refreshes;
mod search_lists;
mod srv_data;
mod stale_addresses;
mod ttl;

use std::{
    future::Future,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use discovery_core::{
    Environment, Error, Resolver, ResolverBuilder, Upstream, context::Families, endpoint::EndpointSet,
};
use discovery_testing::{Asked, FakeDns, Pod, QType, Rule, Service};
use tests::{PATIENCE, brisk};

/// The Service that most tests ask for, as it is asked for.
const ORDERS: &str = "orders.shop.svc.cluster.local";

/// What is done to the answers that a rule is for.
type Fails = fn(Rule) -> Rule;

const PODS: [&str; 3] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];

/// A question that is lost costs 50 ms.
const QUICK: [(&str, &str); 2] = [("DISCOVERY_DNS_TIMEOUT", "50ms"), ("DISCOVERY_DNS_ATTEMPTS", "1")];

/// A DNS server whose answers are asked for again as soon as the floor allows.
async fn dns() -> FakeDns {
    FakeDns::builder().ttl(0).start().await.unwrap()
}

/// As a pod of `shop` would have it, for IPv4, with refreshes in quick succession.
fn pod(dns: &FakeDns) -> Resolver {
    pod_with(dns, &[]).build().unwrap()
}

fn dual_stack_pod(dns: &FakeDns) -> Resolver {
    pod_with(dns, &[]).families(Families::Both).build().unwrap()
}

/// The same, with `DISCOVERY_*` variables, to be configured further.
fn pod_with(dns: &FakeDns, vars: &[(&str, &str)]) -> ResolverBuilder {
    let vars = [("POD_NAMESPACE", "shop")].iter().chain(vars).copied();
    let environment = Environment::empty().with_env(vars).with_resolv_conf(dns.resolv_conf("shop"));
    Resolver::builder().environment(environment).nameservers([dns.addr()]).families(Families::V4).refresh(brisk())
}

/// The headless Service `orders` of `shop`.
fn orders(ips: &[&str]) -> Service {
    let service = Service::headless("shop", "orders").port("http", 8080);
    ips.iter().fold(service, |service, ip| service.pod(Pod::new(*ip)))
}

/// The same with so many pods.
fn many_orders(pods: u16) -> Service {
    let service = Service::headless("shop", "orders").port("http", 8080);
    (0..pods).fold(service, |service, pod| {
        let [high, low] = pod.to_be_bytes();
        service.pod(Pod::new(Ipv4Addr::new(10, 1, high, low)))
    })
}

/// `orders` with its three [`PODS`], found; from then on a question that is lost costs 50 ms.
async fn resolved(dns: &FakeDns) -> Upstream {
    dns.apply(orders(&PODS));
    within("an answer", pod_with(dns, &QUICK).build().unwrap().resolve("orders:80")).await.unwrap()
}

/// The questions of one name and type.
fn question(name: &str, qtype: QType) -> impl Fn(&Asked) -> bool + use<> {
    let name = format!("{}.", name.to_ascii_lowercase());
    move |asked| asked.name == name && asked.qtype == qtype
}

/// Why there are no endpoints.
async fn refusal(resolver: &Resolver, target: &str) -> Error {
    match within("an answer", resolver.resolve(target)).await {
        Ok(upstream) => panic!("{target} has endpoints: {}", upstream.explain()),
        Err(error) => error,
    }
}

/// A bound for what has to happen; nothing is timed by it.
async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Waits for something that nobody announces.
async fn eventually(upstream: &Upstream, what: &str, holds: impl Fn(&Upstream) -> bool) {
    let begun = Instant::now();
    while !holds(upstream) {
        assert!(begun.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}; {}", upstream.explain());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until the DNS was asked `n` more times.
async fn asked_again(dns: &FakeDns, n: usize) {
    let so_far = dns.total();
    within("more questions", dns.asked(|_| true, so_far + n)).await;
}

/// The last round of questions and answers, as people read it.
fn evidence(upstream: &Upstream) -> String {
    upstream.explain().to_string()
}

/// The addresses without their ports, sorted, as texts.
fn ips(set: &EndpointSet) -> Vec<String> {
    let mut ips: Vec<_> = set.iter().flat_map(|endpoint| endpoint.addrs()).map(|addr| addr.ip()).collect();
    ips.sort();
    ips.iter().map(ToString::to_string).collect()
}

/// A figure for the reader of `--nocapture`.
fn figure(what: &str, figure: impl std::fmt::Debug) {
    println!("figure: {what}: {figure:?}");
}
