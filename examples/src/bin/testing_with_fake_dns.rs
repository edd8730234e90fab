//! How to test code of your own that finds Services, without a cluster:
//! `cargo run -p examples --bin testing_with_fake_dns`. In a real project each function is a `#[tokio::test]`.

use std::{error::Error, time::Duration};

use discovery_core::{Environment, Resolver, Upstream};
use discovery_testing::{FakeDns, Pod, QType, Rule, Service};
use tokio::time::{sleep, timeout};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const NAME: &str = "orders.shop.svc.cluster.local";
/// Bounds a hang; nothing is timed by it.
const PATIENCE: Duration = Duration::from_secs(20);

/// The code under test: it takes a resolver, as an argument like any other.
async fn orders(resolver: &Resolver) -> std::result::Result<Upstream, discovery_core::Error> {
    resolver.resolve("http://orders:8080").await
}

#[tokio::main]
async fn main() -> Result {
    each_type_is_asked_once().await?;
    an_outage_keeps_the_pods().await?;
    an_outage_at_the_start_is_an_error_that_may_pass().await?;
    a_new_pod_is_found().await?;
    a_lost_packet_costs_one_more_question().await?;
    println!("all assertions hold");
    Ok(())
}

/// A DNS server with one Service of two pods, and a resolver as a pod beside them would have it.
async fn cluster() -> Result<(FakeDns, Resolver)> {
    // A short TTL, so that the test need not wait for a refresh.
    let dns = FakeDns::builder().ttl(1).start().await?;
    let pods = ["10.0.0.2", "10.0.0.3"].map(Pod::new);
    dns.apply(pods.into_iter().fold(Service::headless("shop", "orders").port("http", 8080), Service::pod));
    let environment =
        Environment::empty().with_env([("POD_NAMESPACE", "shop")]).with_resolv_conf(dns.resolv_conf("shop"));
    let resolver = Resolver::builder().environment(environment).nameservers([dns.addr()]).build()?;
    Ok((dns, resolver))
}

async fn each_type_is_asked_once() -> Result {
    let (dns, resolver) = cluster().await?;
    let upstream = orders(&resolver).await?;
    assert_eq!(upstream.endpoints().len(), 2);
    assert_eq!(dns.count(NAME, QType::A), 1, "no search list, no second question");
    println!("two pods, one question for A");
    Ok(())
}

async fn an_outage_keeps_the_pods() -> Result {
    let (dns, resolver) = cluster().await?;
    let upstream = orders(&resolver).await?;
    dns.script(Rule::any().servfail());
    let stale = async {
        while !upstream.endpoints().is_stale() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, stale).await?;
    assert_eq!(upstream.endpoints().len(), 2, "transient is not empty");
    println!("SERVFAIL: the pods stay, and are called stale");
    Ok(())
}

async fn an_outage_at_the_start_is_an_error_that_may_pass() -> Result {
    let (dns, resolver) = cluster().await?;
    dns.script(Rule::any().servfail());
    let error = orders(&resolver).await.expect_err("nothing is known");
    assert!(error.is_transient() && !error.is_not_found(), "{error}");
    dns.clear_script();

    // Who can wait, waits.
    let upstream = resolver.upstream("http://orders:8080")?;
    timeout(PATIENCE, upstream.ready()).await??;
    assert_eq!(upstream.endpoints().len(), 2);
    println!("SERVFAIL at the start: an error, and found when it is over");
    Ok(())
}

async fn a_new_pod_is_found() -> Result {
    let (dns, resolver) = cluster().await?;
    let upstream = orders(&resolver).await?;
    let mut watch = upstream.watch();
    dns.add_pod("shop", "orders", Pod::new("10.0.0.4"));
    let found = async { while watch.next().await.len() < 3 {} };
    timeout(PATIENCE, found).await?;
    println!("a new pod: found with the next question, after the TTL of a second");
    Ok(())
}

async fn a_lost_packet_costs_one_more_question() -> Result {
    let (dns, resolver) = cluster().await?;
    dns.script(Rule::any().name(NAME).qtype(QType::A).times(1).drop());
    let upstream = orders(&resolver).await?;
    assert_eq!(upstream.endpoints().len(), 2);
    assert_eq!(dns.count(NAME, QType::A), 2);
    println!("a lost packet: asked again");
    Ok(())
}
