//! Test your own code that resolves Services, without a cluster: `cargo run -p examples --bin testing_with_fake_dns`.
//! In a real project, each of the functions below is a `#[tokio::test]`.

use std::{error::Error, time::Duration};

use discovery_core::{Environment, Resolver, Upstream};
use discovery_testing::{FakeDns, Pod, QType, Rule, Service};
use tokio::time::{sleep, timeout};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const NAME: &str = "orders.shop.svc.cluster.local";
/// Turns a hang into a failure. No assertion depends on it.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The code under test. It takes the resolver as an argument, so a test can pass its own.
async fn orders(resolver: &Resolver) -> std::result::Result<Upstream, discovery_core::Error> {
    resolver.resolve("http://orders:8080").await
}

#[tokio::main]
async fn main() -> Result {
    asks_one_question_per_record_type().await?;
    keeps_pods_while_dns_fails().await?;
    recovers_when_dns_fails_at_startup().await?;
    finds_a_new_pod().await?;
    retransmits_after_a_lost_packet().await?;
    println!("all assertions hold");
    Ok(())
}

/// A DNS server that knows one Service with two pods, and a resolver with the environment of a pod in its namespace.
async fn cluster() -> Result<(FakeDns, Resolver)> {
    // A short TTL keeps the wait for a refresh short.
    let dns = FakeDns::builder().ttl(1).start().await?;
    let pods = ["10.0.0.2", "10.0.0.3"].map(Pod::new);
    dns.apply(pods.into_iter().fold(Service::headless("shop", "orders").port("http", 8080), Service::pod));
    let environment =
        Environment::empty().with_env([("POD_NAMESPACE", "shop")]).with_resolv_conf(dns.resolv_conf("shop"));
    let resolver = Resolver::builder().environment(environment).nameservers([dns.addr()]).build()?;
    Ok((dns, resolver))
}

async fn asks_one_question_per_record_type() -> Result {
    let (dns, resolver) = cluster().await?;
    let upstream = orders(&resolver).await?;
    assert_eq!(upstream.endpoints().len(), 2);
    assert_eq!(dns.count(NAME, QType::A), 1, "no search list, no retransmission");
    println!("ok: two pods were found with one A question");
    Ok(())
}

async fn keeps_pods_while_dns_fails() -> Result {
    let (dns, resolver) = cluster().await?;
    let upstream = orders(&resolver).await?;
    dns.script(Rule::any().servfail());
    let stale = async {
        while !upstream.endpoints().is_stale() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(TEST_TIMEOUT, stale).await?;
    assert_eq!(upstream.endpoints().len(), 2, "a failed query does not remove endpoints");
    println!("ok: the pods stay, marked stale, while DNS answers SERVFAIL");
    Ok(())
}

async fn recovers_when_dns_fails_at_startup() -> Result {
    let (dns, resolver) = cluster().await?;
    dns.script(Rule::any().servfail());
    let error = orders(&resolver).await.expect_err("no answer yet");
    assert!(error.is_transient() && !error.is_not_found(), "{error}");
    dns.clear_script();

    // Code that can wait awaits `ready` instead.
    let upstream = resolver.upstream("http://orders:8080")?;
    timeout(TEST_TIMEOUT, upstream.ready()).await??;
    assert_eq!(upstream.endpoints().len(), 2);
    println!("ok: SERVFAIL at startup is a transient error, and the pods are found once DNS recovers");
    Ok(())
}

async fn finds_a_new_pod() -> Result {
    let (dns, resolver) = cluster().await?;
    let upstream = orders(&resolver).await?;
    let mut watch = upstream.watch();
    dns.add_pod("shop", "orders", Pod::new("10.0.0.4"));
    let found = async { while watch.next().await.len() < 3 {} };
    timeout(TEST_TIMEOUT, found).await?;
    println!("ok: a new pod is found with the next refresh, after the TTL of one second");
    Ok(())
}

async fn retransmits_after_a_lost_packet() -> Result {
    let (dns, resolver) = cluster().await?;
    dns.script(Rule::any().name(NAME).qtype(QType::A).times(1).drop());
    let upstream = orders(&resolver).await?;
    assert_eq!(upstream.endpoints().len(), 2);
    assert_eq!(dns.count(NAME, QType::A), 2);
    println!("ok: a lost packet costs one more question");
    Ok(())
}
