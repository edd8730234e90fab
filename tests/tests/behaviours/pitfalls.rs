//! The traps T1 to T8 that a resolver library sets for its users in Kubernetes: ours does not walk into them.

use std::time::{Duration, Instant};

use discovery_core::{Resolver, Surroundings, plan::Families};
use discovery_testing::{FakeDns, Pod, QType, Rule, Service, Transport};
use tests::{PATIENCE, addrs, in_pod};

const ORDERS: &str = "orders.shop.svc.cluster.local";

fn pods(count: u8) -> Service {
    let service = Service::headless("shop", "orders").port("http", 8080);
    (1..=count).fold(service, |service, pod| service.pod(Pod::new(std::net::Ipv4Addr::new(10, 0, 0, pod))))
}

/// The kubelet writes no `options edns0`; without EDNS thirty pods would already need TCP.
#[tokio::test]
async fn t1_edns_is_on_whatever_resolv_conf_says() {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(pods(60));
    assert!(!dns.resolv_conf("shop").contains("edns0"));
    let orders = in_pod(&dns, "shop").build().unwrap().resolve("orders:8080").await.unwrap();
    assert_eq!(orders.endpoints().len(), 60);
    let transports: Vec<_> = dns.questions().iter().map(|asked| asked.transport).collect();
    assert_eq!(transports, [Transport::Udp], "one packet, nothing truncated");
}

/// A search list would go on to names that do not exist, and come back with NXDOMAIN.
#[tokio::test]
async fn t2_a_transient_failure_is_not_told_as_a_missing_name() {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(pods(2));
    dns.script(Rule::any().name(ORDERS).servfail());
    for name in ["orders", "orders.shop.svc", "orders.shop.svc.cluster.local"] {
        let error = in_pod(&dns, "shop").build().unwrap().resolve(format!("{name}:80").as_str()).await.unwrap_err();
        assert!(error.is_transient() && !error.is_not_found(), "{name}: {error}");
    }
    assert!(dns.questions().iter().all(|asked| asked.name == format!("{ORDERS}.")), "nothing else was asked");
}

/// hickory's resolver counts each "no" as a slow answer, until a lost packet costs seconds.
#[tokio::test]
async fn t3_negative_answers_do_not_slow_the_next_lost_packet() {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(pods(1));
    let resolver = in_pod(&dns, "shop").build().unwrap();
    for n in 0..60 {
        assert!(resolver.resolve(format!("nothing-{n}:80").as_str()).await.unwrap_err().is_not_found());
    }
    dns.script(Rule::any().name(ORDERS).times(1).drop());
    let begun = Instant::now();
    resolver.resolve("orders:80").await.unwrap();
    println!("one lost packet after 60 NXDOMAIN: {:?}", begun.elapsed());
    assert_eq!(dns.count(ORDERS, QType::A), 2, "sent again once, within the same exchange");
}

/// With `setHostnameAsFQDN` a resolver may take the pod's own Service for its search domain.
#[tokio::test]
async fn t4_no_domain_is_derived_from_the_host_name() {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(pods(1));
    let surroundings = Surroundings::none()
        .with_env([("HOSTNAME", "web-0.nginx.default.svc.cluster.local"), ("POD_NAMESPACE", "shop")])
        .with_resolv_conf("search shop.svc.cluster.local svc.cluster.local cluster.local");
    let builder = Resolver::builder().surroundings(surroundings).nameservers([dns.addr()]).families(Families::V4);
    builder.build().unwrap().resolve("orders:80").await.unwrap();
    let asked: Vec<_> = dns.questions().into_iter().map(|asked| asked.name).collect();
    assert_eq!(asked, [format!("{ORDERS}.")]);
}

#[tokio::test]
async fn t5_address_literals_ask_nothing() {
    let dns = FakeDns::start().await.unwrap();
    let resolver = in_pod(&dns, "shop").build().unwrap();
    for (target, expected) in [
        ("10.1.2.3:80", "10.1.2.3:80"),
        ("http://10.1.2.3/", "10.1.2.3:80"),
        ("[2001:db8::1]:8080", "[2001:db8::1]:8080"),
    ] {
        let upstream = resolver.resolve(target).await.unwrap();
        assert_eq!(addrs(&upstream.endpoints()), [expected]);
    }
    assert_eq!(addrs(&resolver.resolve("localhost:80").await.unwrap().endpoints()), ["127.0.0.1:80", "[::1]:80"]);
    assert_eq!(dns.total(), 0);
}

#[tokio::test]
async fn t6_use_vc_asks_over_tcp_only() {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(pods(2));
    let conf = format!("{}\noptions use-vc\n", dns.resolv_conf("shop"));
    let surroundings = Surroundings::none().with_env([("POD_NAMESPACE", "shop")]).with_resolv_conf(conf);
    let builder = Resolver::builder().surroundings(surroundings).nameservers([dns.addr()]).families(Families::V4);
    builder.build().unwrap().resolve("orders:80").await.unwrap();
    let transports: Vec<_> = dns.questions().iter().map(|asked| asked.transport).collect();
    assert_eq!(transports, [Transport::Tcp]);
}

/// Four transmissions in each attempt of one second; `attempts:3` is three, not four.
#[tokio::test]
async fn t6_timeout_and_attempts_are_taken_at_their_word() {
    let dns = FakeDns::start().await.unwrap();
    dns.script(Rule::any().drop());
    let conf = format!("{}\noptions timeout:1 attempts:3\n", dns.resolv_conf("shop"));
    let surroundings = Surroundings::none().with_env([("POD_NAMESPACE", "shop")]).with_resolv_conf(conf);
    let builder = Resolver::builder().surroundings(surroundings).nameservers([dns.addr()]).families(Families::V4);
    let begun = Instant::now();
    let error = builder.build().unwrap().resolve("orders:80").await.unwrap_err();
    println!("given up after {:?}", begun.elapsed());
    assert!(error.is_timeout(), "{error}");
    assert_eq!(dns.count(ORDERS, QType::A), 12);
    assert!(begun.elapsed() >= Duration::from_millis(2900), "three attempts of a second each");
}

/// `/etc/hosts` holds the pod's own name, and `localhost.localdomain` or this machine's name nearly always.
#[tokio::test]
async fn t7_the_hosts_file_is_not_consulted() {
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let listed = hosts.lines().filter_map(|line| line.split('#').next()?.split_whitespace().nth(1));
    let dns = FakeDns::start().await.unwrap();
    let resolver = in_pod(&dns, "shop").build().unwrap();
    for name in listed.chain(["orders.shop.svc.cluster.local"]).filter(|name| *name != "localhost") {
        let Ok(target) = discovery_core::name::Target::new(name) else { continue };
        if matches!(target.host(), discovery_core::name::Host::Name { .. }) {
            let error = resolver.resolve(&target).await.unwrap_err();
            assert!(error.is_not_found(), "{name}: the DNS does not know it, and nobody else is asked: {error}");
        }
    }
    assert!(dns.total() > 0);
}

/// A node's resolver denies every name of the cluster, and is always faster.
#[tokio::test]
async fn t8_a_second_nameserver_that_denies_everything_never_wins() {
    let (cluster, node) = (FakeDns::start().await.unwrap(), FakeDns::start().await.unwrap());
    cluster.apply(pods(2));
    node.script(Rule::any().nxdomain());
    let resolver = || {
        let servers = [cluster.addr(), node.addr()];
        in_pod(&cluster, "shop").nameservers(servers).build().unwrap()
    };

    cluster.script(Rule::any().delay(Duration::from_millis(300)));
    let orders = resolver().resolve("orders:80").await.unwrap();
    assert_eq!(orders.endpoints().len(), 2, "the first one is slow");
    drop(orders);

    cluster.clear_script();
    cluster.script(Rule::any().servfail());
    let error = resolver().resolve("orders:80").await.unwrap_err();
    assert!(error.is_transient(), "the first one is not ready: {error}");

    cluster.stop().await;
    let error = resolver().resolve("orders:80").await.unwrap_err();
    assert!(error.is_transient(), "the first one is gone: {error}");
}

#[tokio::test]
async fn t8_behind_a_dead_nameserver_a_good_one_answers() {
    let (dead, good) = (FakeDns::start().await.unwrap(), FakeDns::start().await.unwrap());
    good.apply(pods(2));
    dead.stop().await;
    let resolver = in_pod(&good, "shop").nameservers([dead.addr(), good.addr()]).build().unwrap();
    let orders = tokio::time::timeout(PATIENCE, resolver.resolve("orders:80")).await.unwrap().unwrap();
    assert_eq!(orders.endpoints().len(), 2);
    let before = good.total();
    resolver.resolve("billing:80").await.unwrap_err();
    assert!(good.total() > before, "the next name goes to the good one first");
}
