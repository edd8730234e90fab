//! The traps T1 to T8 of a DNS client in Kubernetes: ours does not fall into them. A test is named after its trap.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use discovery_core::{
    Environment, Error, Resolver, ResolverBuilder,
    name::{Host, Target},
    plan::Families,
};
use discovery_testing::{FakeDns, Pod, QType, Rule, Service, Transport};
use futures_util::future::join_all;
use tests::{PATIENCE, addrs, brisk, in_pod};
use tokio::time::timeout;

const ORDERS: &str = "orders.shop.svc.cluster.local";

/// What becomes of the answers that a rule is for.
type Fails = fn(Rule) -> Rule;

/// One transmission in each attempt: the timeout is over before the question would be sent again.
const QUICK: [(&str, &str); 2] = [("DISCOVERY_DNS_TIMEOUT", "100ms"), ("DISCOVERY_DNS_ATTEMPTS", "1")];

async fn dns() -> FakeDns {
    FakeDns::start().await.unwrap()
}

fn orders(pods: u8) -> Service {
    let service = Service::headless("shop", "orders").port("http", 8080);
    (1..=pods).fold(service, |service, pod| service.pod(Pod::new(Ipv4Addr::new(10, 0, 0, pod))))
}

/// As a pod of `shop` would have it, with these lines behind those of the kubelet's `resolv.conf`, and variables.
fn pod(dns: &FakeDns, lines: &str, vars: &[(&str, &str)]) -> ResolverBuilder {
    let vars = [("POD_NAMESPACE", "shop")].iter().chain(vars).copied();
    let conf = format!("{}{lines}\n", dns.resolv_conf("shop"));
    let environment = Environment::empty().with_env(vars).with_resolv_conf(conf);
    Resolver::builder().environment(environment).nameservers([dns.addr()]).families(Families::V4)
}

async fn refusal(resolver: &Resolver, target: &str) -> Error {
    match timeout(PATIENCE, resolver.resolve(target)).await.expect("an answer") {
        Ok(upstream) => panic!("{target} has endpoints: {}", upstream.explain()),
        Err(error) => error,
    }
}

fn transports(dns: &FakeDns) -> Vec<Transport> {
    dns.questions().iter().map(|asked| asked.transport).collect()
}

fn names(dns: &FakeDns) -> BTreeSet<String> {
    dns.questions().into_iter().map(|asked| asked.name).collect()
}

/// No pod's file has `options edns0`. The server cuts at 512 octets where EDNS is off: 30 pods are more.
#[tokio::test]
async fn t1_edns_is_on_whatever_resolv_conf_says() {
    for pods in [30, 50, 70] {
        for lines in ["", "options edns0", "options ndots:2 single-request-reopen"] {
            let dns = dns().await;
            dns.apply(orders(pods));
            let upstream = pod(&dns, lines, &[]).build().unwrap().resolve("orders:80").await.unwrap();
            assert_eq!(upstream.endpoints().len(), usize::from(pods));
            assert!(transports(&dns).iter().all(|over| *over == Transport::Udp), "{pods}, {lines}");
            println!("T1: {pods} pods, `{lines}`: {:?}", transports(&dns));
        }
    }
}

/// That the test above can fail: what is larger than EDNS allows goes to TCP.
#[tokio::test]
async fn t1_what_is_larger_than_a_packet_is_truncated_here() {
    let dns = dns().await;
    dns.apply(orders(100));
    let upstream = in_pod(&dns, "shop").build().unwrap().resolve("orders:80").await.unwrap();
    assert_eq!(upstream.endpoints().len(), 100);
    assert_eq!(transports(&dns).last(), Some(&Transport::Tcp));
}

/// A search list would go on to names that do not exist, and come back with their NXDOMAIN.
#[tokio::test]
async fn t2_a_transient_failure_is_not_told_as_a_missing_name() {
    let forms = ["orders", "orders.shop", "orders.shop.svc", "orders.shop.svc.cluster.local", "http://orders.shop/"];
    for (what, fails) in [
        ("SERVFAIL", Rule::servfail as Fails),
        ("REFUSED", Rule::refuse),
        ("lost", Rule::drop),
        ("garbage", Rule::garbage),
    ] {
        let dns = dns().await;
        dns.apply(orders(2));
        dns.script(fails(Rule::any().name(ORDERS)));
        let resolver = pod(&dns, "", &QUICK).refresh(brisk()).build().unwrap();
        for form in forms {
            let error = refusal(&resolver, form).await;
            assert!(
                error.is_transient() && !error.is_not_found() && !error.is_no_endpoints(),
                "{what}, {form}: {error}"
            );
            assert!(error.to_string().contains(ORDERS), "{what}, {form}: {error}");
        }
        let asked = names(&dns);
        // The pod that would come first; nothing that would come after the right name.
        let allowed = [format!("{ORDERS}."), "orders.shop.shop.svc.cluster.local.".to_owned()];
        assert!(asked.iter().all(|name| allowed.contains(name)), "{what}: {asked:?}");

        let upstream = resolver.upstream("orders:80").unwrap();
        dns.clear_script();
        timeout(PATIENCE, upstream.ready()).await.expect(what).unwrap();
    }
}

/// hickory's resolver counts each "no" as a slow answer, until one lost packet costs seconds.
///
/// The whole question has one attempt of one second: were a retransmission a second late, it would fail.
async fn lost_after_60_denials(what: &str, deny: Fails, families: Families, lost: usize) {
    let dns = dns().await;
    dns.apply(orders(1));
    dns.script(deny(Rule::when(|asked| asked.name.starts_with("nobody-"))));
    let vars = [("DISCOVERY_DNS_TIMEOUT", "1s"), ("DISCOVERY_DNS_ATTEMPTS", "1")];
    let resolver = pod(&dns, "", &vars).families(families).build().unwrap();
    for n in 0..60 {
        let error = refusal(&resolver, &format!("nobody-{n}:80")).await;
        assert!(!error.is_transient(), "{error}");
    }
    dns.script(Rule::any().name(ORDERS).qtype(QType::A).times(lost).drop());
    let begun = Instant::now();
    timeout(PATIENCE, resolver.resolve("orders:80")).await.expect("an answer").unwrap();
    println!("T3: {lost} lost after 60 {what}: {:?}, {} transmissions", begun.elapsed(), dns.count(ORDERS, QType::A));
    assert_eq!(dns.count(ORDERS, QType::A), lost + 1, "each loss costs one retransmission");
    let dropped = dns.questions().iter().filter(|asked| asked.dropped).count();
    assert_eq!(dropped, lost);
}

#[tokio::test]
async fn t3_negative_answers_do_not_slow_later_ones() {
    lost_after_60_denials("NXDOMAIN", Rule::nxdomain, Families::V4, 1).await;
    lost_after_60_denials("NODATA", Rule::nodata, Families::V4, 2).await;
    lost_after_60_denials("NODATA, dual stack", Rule::nodata, Families::Both, 3).await;
}

/// With `setHostnameAsFQDN` a resolver may take the pod's own Service for its domain.
#[tokio::test]
async fn t4_no_domain_is_derived_from_the_host_name() {
    let dns = dns().await;
    dns.apply(orders(1));
    dns.record("db.example.com", "192.0.2.7");
    // Where a client went below the domain it would find these, before the right ones.
    dns.apply(Service::headless("default", "nginx").port("http", 80).pod(Pod::new("10.0.9.9").hostname("orders")));
    let vars =
        [("HOSTNAME", "web-0.nginx.default.svc.cluster.local"), ("HOST", "web-0.nginx.default.svc.cluster.local")];
    let resolver = pod(&dns, "domain nginx.default.svc.cluster.local", &vars);
    let resolver = resolver.cluster_domain("cluster.local".parse().unwrap()).build().unwrap();

    let upstream = resolver.resolve("orders:80").await.unwrap();
    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:80"]);
    assert_eq!(names(&dns), BTreeSet::from([format!("{ORDERS}.")]));
    resolver.resolve("db.example.com:5432").await.unwrap();
    for target in ["nobody", "no.body", "web-1.nginx.nowhere", "a.b.c.example.com", "web-0"] {
        assert!(refusal(&resolver, target).await.is_not_found(), "{target}");
    }
    let asked = names(&dns);
    assert!(!asked.iter().any(|name| name.contains("nginx.default")), "{asked:?}");
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if let Some((_, domain)) = machine.trim().split_once('.') {
        assert!(!asked.iter().any(|name| name.contains(domain)), "{asked:?}");
    }
}

/// With `ndots:5` a literal has too few dots to be asked for as it stands.
#[tokio::test]
async fn t5_address_literals_ask_nothing() {
    let dns = dns().await;
    let settings = brisk().with_failure_refresh_min(Duration::from_millis(20));
    let resolver = pod(&dns, "", &[]).families(Families::Both).refresh(settings).build().unwrap();
    for (target, expected) in [
        ("10.1.2.3", &["10.1.2.3:0"][..]),
        ("10.1.2.3:80", &["10.1.2.3:80"]),
        ("10.1.2.3.:80", &["10.1.2.3:80"]),
        ("http://10.1.2.3/", &["10.1.2.3:80"]),
        ("[2001:db8::1]:8080", &["[2001:db8::1]:8080"]),
        ("2001:db8::1", &["[2001:db8::1]:0"]),
        ("https://[2001:db8::1]/x", &["[2001:db8::1]:443"]),
        ("localhost:80", &["127.0.0.1:80", "[::1]:80"]),
        ("http://api.localhost:81", &["127.0.0.1:81", "[::1]:81"]),
    ] {
        let upstream = timeout(PATIENCE, resolver.resolve(target)).await.expect(target).unwrap();
        assert_eq!(addrs(&upstream.endpoints()), expected, "{target}");
        let before = upstream.explain();
        upstream.refresh();
        let asked_again = async {
            while std::sync::Arc::ptr_eq(&before, &upstream.explain()) {
                tokio::task::yield_now().await
            }
        };
        timeout(PATIENCE, asked_again).await.expect(target);
    }
    assert_eq!(dns.total(), 0);
}

#[tokio::test]
async fn t6_use_vc_asks_over_tcp_only() {
    let dns = FakeDns::builder().ttl(0).start().await.unwrap();
    dns.apply(orders(2).pod(Pod::new("fd00::1")));
    let resolver = pod(&dns, "options use-vc", &[]).families(Families::Both).refresh(brisk()).build().unwrap();
    for target in ["orders:80", "orders:http", "orders.shop.svc:81"] {
        timeout(PATIENCE, resolver.resolve(target)).await.expect(target).unwrap();
    }
    let upstream = resolver.resolve("orders:80").await.unwrap();
    let so_far = dns.total();
    timeout(PATIENCE, dns.asked(|_| true, so_far + 10)).await.expect("refreshes");
    drop(upstream);
    assert!(refusal(&resolver, "nobody:80").await.is_not_found());
    assert!(transports(&dns).iter().all(|over| *over == Transport::Tcp), "{:?}", dns.questions());
}

/// A connection that cannot be used is no reason to ask over UDP.
#[tokio::test]
async fn t6_use_vc_holds_when_tcp_fails() {
    for fails in [Rule::drop as Fails, Rule::disconnect, Rule::servfail] {
        let dns = dns().await;
        dns.apply(orders(2));
        dns.script(fails(Rule::any().over(Transport::Tcp)));
        let error = refusal(&pod(&dns, "options use-vc", &QUICK).build().unwrap(), "orders:80").await;
        assert!(error.is_transient(), "{error}");
        assert!(transports(&dns).iter().all(|over| *over == Transport::Tcp), "{:?}", dns.questions());
    }
}

/// What a server that never answers is asked, and how long that takes at least.
async fn asked_of_a_silent_server(lines: &str, vars: &[(&str, &str)]) -> (usize, Duration) {
    let dns = dns().await;
    dns.script(Rule::any().drop());
    let begun = Instant::now();
    let error = refusal(&pod(&dns, lines, vars).build().unwrap(), "orders:80").await;
    assert!(error.is_timeout(), "{lines}: {error}");
    println!("T6: `{lines}` {vars:?}: {} transmissions, {:?}", dns.total(), begun.elapsed());
    (dns.total(), begun.elapsed())
}

/// Four transmissions in an attempt of a second or more; `attempts:3` is three, not four.
#[tokio::test]
async fn t6_timeout_and_attempts_are_taken_at_their_word() {
    let cases = [
        ("options timeout:1 attempts:1", &[][..], 4, 1000),
        ("options timeout:1 attempts:2", &[], 8, 2000),
        ("options timeout:1 attempts:3", &[], 12, 3000),
        ("options timeout:2 attempts:1", &[], 4, 2000),
        ("options timeout:1", &[], 8, 2000),
        ("options attempts:1", &[], 4, 1000),
        // Over TCP nothing is sent twice.
        ("options use-vc timeout:1 attempts:2", &[], 2, 2000),
        // A variable comes before the file; within 100 ms nothing is sent twice.
        (
            "options timeout:30 attempts:1",
            &[("DISCOVERY_DNS_TIMEOUT", "100ms"), ("DISCOVERY_DNS_ATTEMPTS", "5")],
            5,
            500,
        ),
    ];
    let seen = join_all(cases.map(|(lines, vars, ..)| asked_of_a_silent_server(lines, vars))).await;
    for ((lines, _, transmissions, millis), (total, took)) in cases.into_iter().zip(seen) {
        assert_eq!(total, transmissions, "{lines}");
        assert!(took >= Duration::from_millis(millis), "{lines}: {took:?}");
    }
}

/// Of what stands in this machine's hosts file DNS says something else here, and DNS is right.
#[tokio::test]
async fn t7_the_hosts_file_is_never_consulted() {
    let dns = dns().await;
    let resolver = in_pod(&dns, "shop").build().unwrap();
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let listed: BTreeSet<&str> = hosts
        .lines()
        .filter_map(|line| line.split('#').next())
        .flat_map(|line| line.split_whitespace().skip(1))
        .collect();
    let mut compared = 0;
    for name in listed {
        let Ok(target) = Target::new(&format!("{name}:80")) else { continue };
        if !matches!(target.host(), Host::Name { .. }) {
            continue;
        }
        assert!(refusal(&resolver, &format!("{name}:80")).await.is_not_found(), "{name} is not in the DNS yet");
        if name.contains('.') {
            dns.record(name, "192.0.2.77");
        } else {
            dns.apply(Service::headless("shop", name).port("http", 80).pod(Pod::new("192.0.2.77")));
        }
        let upstream = timeout(PATIENCE, resolver.resolve(&target)).await.expect(name).unwrap();
        assert_eq!(addrs(&upstream.endpoints()), ["192.0.2.77:80"], "{name}");
        compared += 1;
    }
    println!("T7: {compared} names of /etc/hosts");
    // The pod's own name stands in its hosts file, for ever.
    dns.apply(Service::headless("shop", "nginx").port("http", 80).pod(Pod::new("10.0.0.9").hostname("web-0")));
    let upstream = resolver.resolve("web-0.nginx.shop.svc.cluster.local:80").await.unwrap();
    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.9:80"]);
    assert_eq!(dns.count("web-0.nginx.shop.svc.cluster.local", QType::A), 1);
}

/// It has no zone of the cluster: what it denies, it denies in the name of the root (`.local` is not delegated).
async fn node_resolver() -> FakeDns {
    FakeDns::builder().cluster_domain("elsewhere.invalid").start().await.unwrap()
}

/// A node's resolver knows nothing of the cluster, denies every name of it, and is always faster.
async fn cluster_and_node(deny: Fails) -> (FakeDns, FakeDns) {
    let (cluster, node) = (dns().await, node_resolver().await);
    cluster.apply(orders(2));
    node.script(deny(Rule::any()));
    (cluster, node)
}

fn behind(first: &FakeDns, second: &FakeDns, vars: &[(&str, &str)]) -> ResolverBuilder {
    pod(first, "", vars).nameservers([first.addr(), second.addr()])
}

#[tokio::test]
async fn t8_a_slow_first_nameserver_is_waited_for() {
    for deny in [Rule::nxdomain as Fails, Rule::nodata] {
        let (cluster, node) = cluster_and_node(deny).await;
        cluster.script(Rule::any().delay(Duration::from_millis(300)));
        let resolver = behind(&cluster, &node, &[("DISCOVERY_DNS_TIMEOUT", "10s")]).build().unwrap();
        let upstream = timeout(PATIENCE, resolver.resolve("orders:80")).await.expect("an answer").unwrap();
        assert_eq!((upstream.endpoints().len(), node.total()), (2, 0));
    }
}

#[tokio::test]
async fn t8_a_second_nameserver_that_denies_everything_never_wins() {
    for deny in [Rule::nxdomain as Fails, Rule::nodata] {
        for (what, fails) in [
            ("SERVFAIL", Some(Rule::servfail as Fails)),
            ("REFUSED", Some(Rule::refuse)),
            ("silent", Some(Rule::drop)),
            ("garbage", Some(Rule::garbage)),
            ("dead", None),
        ] {
            let (cluster, node) = cluster_and_node(deny).await;
            match fails {
                Some(fails) => drop(cluster.script(fails(Rule::any()))),
                None => cluster.stop().await,
            }
            let resolver = behind(&cluster, &node, &QUICK).refresh(brisk()).build().unwrap();
            // The second time a silent one is known to be silent, and the other is asked first.
            for _ in 0..2 {
                let error = refusal(&resolver, "orders:80").await;
                assert!(error.is_transient() && !error.is_not_found() && !error.is_no_endpoints(), "{what}: {error}");
            }
            assert!(node.total() > 0, "{what}: it was asked, and not believed");

            let upstream = resolver.upstream("orders:80").unwrap();
            cluster.clear_script();
            cluster.restart().await.unwrap();
            timeout(PATIENCE, upstream.ready()).await.expect(what).unwrap();
        }
    }
}

/// The first nameserver was dead and is back, as an answer to another question has shown, while the second one is
/// still about to deny this one.
#[tokio::test]
async fn t8_a_denial_counts_no_more_because_the_first_nameserver_is_back() {
    let (cluster, node) = (dns().await, node_resolver().await);
    cluster.apply(orders(2));
    cluster.stop().await;
    node.script(Rule::any().name(ORDERS).delay(Duration::from_millis(400)).nxdomain());
    node.script(Rule::any().nxdomain());
    let vars = [("DISCOVERY_DNS_TIMEOUT", "800ms"), ("DISCOVERY_DNS_ATTEMPTS", "1")];
    let resolver = behind(&cluster, &node, &vars).build().unwrap();
    assert!(refusal(&resolver, "other-1:80").await.is_transient(), "from now on the node is asked first");

    let upstream = resolver.upstream("orders:80").unwrap();
    timeout(PATIENCE, node.asked(|asked| asked.name.starts_with("orders"), 1)).await.expect("the node is asked");
    cluster.restart().await.unwrap();
    let third = refusal(&resolver, "other-2:80").await;
    assert!(third.is_not_found(), "the first nameserver says so: {third}");
    if let Err(error) = timeout(PATIENCE, upstream.first_answer()).await.expect("an answer") {
        assert!(!error.is_not_found(), "the node was believed: {error}");
    }
    timeout(PATIENCE, upstream.ready()).await.expect("endpoints").unwrap();
    assert_eq!(upstream.endpoints().len(), 2);
}

/// What the first nameserver says counts, also when it says no.
#[tokio::test]
async fn t8_the_first_nameserver_is_believed() {
    let (cluster, other) = (dns().await, dns().await);
    other.apply(orders(2));
    let resolver = behind(&cluster, &other, &[]).build().unwrap();
    assert!(refusal(&resolver, "orders:80").await.is_not_found());
    assert_eq!(other.total(), 0);
}

#[tokio::test]
async fn t8_behind_a_dead_nameserver_a_good_one_answers() {
    let (dead, good) = (dns().await, dns().await);
    good.apply(orders(2));
    good.apply(Service::headless("shop", "billing").port("http", 80).pod(Pod::new("10.0.1.1")));
    dead.script(Rule::any().drop());
    let resolver = behind(&dead, &good, &QUICK).build().unwrap();
    let upstream = timeout(PATIENCE, resolver.resolve("orders:80")).await.expect("an answer").unwrap();
    assert_eq!(upstream.endpoints().len(), 2);
    assert_eq!((dead.total(), good.total()), (1, 1));
    timeout(PATIENCE, resolver.resolve("billing:80")).await.expect("an answer").unwrap();
    assert_eq!((dead.total(), good.total()), (1, 2), "the next question goes to the good one first");
}

/// Two replicas of the cluster's DNS with addresses of their own: behind a dead one the other's "no" is as good as
/// its own, or `service.namespace` would never get past its first reading, a pod of the own namespace.
#[tokio::test]
async fn t8_a_second_nameserver_of_the_clusters_zone_is_believed() {
    for (what, fails) in [("silent", Rule::drop as Fails), ("SERVFAIL", Rule::servfail), ("REFUSED", Rule::refuse)] {
        let (dead, good) = (dns().await, dns().await);
        good.apply(Service::headless("billing", "orders").port("http", 8080).pod(Pod::new("10.0.1.1")));
        dead.script(fails(Rule::any()));
        let resolver = behind(&dead, &good, &QUICK).build().unwrap();
        let upstream = timeout(PATIENCE, resolver.resolve("orders.billing:80")).await.expect("an answer").expect(what);
        assert_eq!(addrs(&upstream.endpoints()), ["10.0.1.1:80"], "{what}");
        assert!(refusal(&resolver, "nowhere:80").await.is_not_found(), "{what}");
        // Out of the cluster's zone nothing is different.
        assert!(refusal(&resolver, "db.example.com:80").await.is_transient(), "{what}");
    }
}
