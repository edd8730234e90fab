//! F17: SRV records that are wrong, incomplete or odd.

use std::collections::BTreeSet;

use discovery_core::context::Families;
use discovery_testing::{FakeCluster, FakeDns, Glue, Pod, QType, Rule, Service};
use tests::{addrs, figure, in_cluster, many_orders, orders, question, refusal, within};

use crate::support::dns::{Fails, PATIENT, QUICK, asked_again, dns, evidence, pod, pod_with};

/// A name outside the cluster with SRV records of its own.
const TARGET: &str = "_http._tcp.api.eu.example.com";

/// The addresses that [`TARGET`] resolves to.
async fn found(dns: &FakeDns) -> Vec<String> {
    let upstream = within("an answer", pod(dns).resolve(TARGET)).await.unwrap();
    addrs(&upstream.endpoints())
}

async fn with_srv(records: &[(u16, &str)]) -> FakeDns {
    let dns = dns().await;
    for (port, target) in records {
        dns.srv(TARGET, 0, 1, *port, target);
    }
    dns.record("a.example.com", "192.0.2.1");
    dns.record("b.example.com", "192.0.2.2");
    dns
}

/// F17.
#[tokio::test]
async fn skips_srv_records_with_port_0() {
    let dns = with_srv(&[(0, "a.example.com"), (8080, "b.example.com")]).await;
    assert_eq!(found(&dns).await, ["192.0.2.2:8080"]);
    let dns = with_srv(&[(0, "a.example.com")]).await;
    let error = refusal(&pod(&dns), TARGET).await;
    assert!(!error.is_transient(), "{error}");
}

/// F17.
#[tokio::test]
async fn the_root_as_target_means_that_the_service_is_unavailable() {
    let dns = with_srv(&[(80, ".")]).await;
    let resolver = pod(&dns);
    let error = refusal(&resolver, TARGET).await;
    assert!(error.is_no_endpoints(), "{error}");
    figure("F17: target `.`", error.to_string());
    // Next to other records, the other records count.
    let dns = with_srv(&[(80, "."), (8080, "a.example.com")]).await;
    assert_eq!(found(&dns).await, ["192.0.2.1:8080"]);
}

/// F17. Three pods of a headless Service, one query for each that came without an address.
#[tokio::test]
async fn looks_up_missing_glue() {
    for (glue, looked_up) in [(Glue::Full, 0), (Glue::None, 3), (Glue::Partial(1), 2), (Glue::Misnamed, 3)] {
        let dns = FakeDns::start().await.unwrap();
        let pods = [("10.0.0.1", "web-0"), ("10.0.0.2", "web-1"), ("10.0.0.3", "web-2")];
        let service = Service::headless("shop", "nginx").port("http", 8080);
        dns.apply(pods.iter().fold(service, |service, (ip, name)| service.pod(Pod::new(*ip).hostname(name))));
        dns.glue(glue);
        let upstream = within("an answer", pod(&dns).resolve("nginx:http")).await.unwrap();
        assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"], "{glue:?}");
        let asked = dns.questions().iter().filter(|asked| asked.qtype == QType::A).count();
        assert_eq!((asked, dns.total()), (looked_up, looked_up + 1), "{glue:?}");
        figure("F17: glue, targets looked up", (glue, asked));
    }
}

/// F17. The glue of names that nothing points to is in 192.0.2.0/24; it never becomes an endpoint.
#[tokio::test]
async fn ignores_glue_of_other_names() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1", "10.0.0.2"]));
    dns.glue(Glue::Misnamed);
    let upstream = within("an answer", pod(&dns).resolve("orders:http")).await.unwrap();
    asked_again(&dns, 6).await;
    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:8080", "10.0.0.2:8080"]);
    assert_eq!(upstream.endpoints().version(), 1);
}

/// F17. The server holds the answers, so that only the lookups in flight are seen.
#[tokio::test]
async fn looks_up_missing_glue_eight_names_at_a_time() {
    let dns = dns().await;
    dns.apply(many_orders(20));
    dns.additional(false);
    let held = dns.script(Rule::any().qtype(QType::A).drop());
    let resolver = pod_with(&dns, &PATIENT).build().unwrap();
    let upstream = resolver.upstream("orders:http").unwrap();
    // The retransmissions of the queries in flight show that no other query follows.
    within("retransmissions", dns.asked(|asked| asked.qtype == QType::A, 16)).await;
    let questions = dns.questions();
    let in_flight: BTreeSet<&str> =
        questions.iter().filter(|asked| asked.qtype == QType::A).map(|asked| asked.name.as_str()).collect();
    assert_eq!(in_flight.len(), 8, "{in_flight:?}");
    figure("F17: targets looked up at a time", in_flight.len());
    dns.remove_rule(held);
    within("all of them", upstream.ready()).await.unwrap();
    assert_eq!(upstream.endpoints().len(), 20);
}

/// F17. The resolver does not publish a set with holes: one target fails, and the last good set stays.
#[tokio::test]
async fn keeps_endpoints_while_one_srv_target_cannot_be_looked_up() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1", "10.0.0.2"]));
    let upstream = within("an answer", pod(&dns).resolve("orders:http")).await.unwrap();
    dns.additional(false);
    dns.script(Rule::any().name("10-0-0-2.orders.shop.svc.cluster.local").servfail());
    let failing = question("10-0-0-2.orders.shop.svc.cluster.local", QType::A);
    within("failures", dns.asked(failing, 3)).await;
    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:8080", "10.0.0.2:8080"], "{}", evidence(&upstream));
    assert_eq!(upstream.endpoints().version(), 1);
}

/// F17.
#[tokio::test]
async fn duplicate_srv_targets_are_one_endpoint() {
    let dns = with_srv(&[(80, "a.example.com")]).await;
    dns.srv(TARGET, 0, 2, 80, "a.example.com");
    dns.srv(TARGET, 0, 1, 80, "A.Example.COM");
    assert_eq!(found(&dns).await, ["192.0.2.1:80"]);
    // Two names with the same address.
    let dns = with_srv(&[(80, "a.example.com"), (80, "c.example.com")]).await;
    dns.record("c.example.com", "192.0.2.1");
    assert_eq!(found(&dns).await, ["192.0.2.1:80"]);
}

/// F17, RFC 2782. Two names of one machine, and one record more than once with another weight: the endpoint has the
/// lower priority and the sum of the weights, in whatever order the records come.
#[tokio::test]
async fn srv_records_of_one_address_and_port_are_one_endpoint_in_any_order() {
    let dns = with_srv(&[]).await;
    dns.record("c.example.com", "192.0.2.1");
    dns.record("c.example.com", "2001:db8::1");
    for (priority, weight, target) in [(20, 5, "a.example.com"), (10, 7, "c.example.com"), (10, 1, "c.example.com")] {
        dns.srv(TARGET, priority, weight, 80, target);
    }
    dns.srv(TARGET, 10, 2, 81, "a.example.com");
    dns.shuffle(7);
    let resolver = pod_with(&dns, &[]).families(Families::Both).build().unwrap();
    let upstream = within("an answer", resolver.resolve(TARGET)).await.unwrap();
    for _ in 0..5 {
        let read: Vec<_> = upstream.endpoints().iter().map(|e| (e.port(), e.priority(), e.weight())).collect();
        assert_eq!(read, [(80, 10, 13), (81, 10, 2)], "{}", evidence(&upstream));
        assert_eq!(upstream.endpoints()[0].addrs().count(), 2);
        asked_again(&dns, 4).await;
    }
    assert_eq!(upstream.endpoints().version(), 1, "{}", evidence(&upstream));
}

/// F17. One glue record serves several SRV records (haproxy#971).
#[tokio::test]
async fn several_ports_of_a_target_are_several_endpoints() {
    let dns = with_srv(&[(80, "a.example.com"), (81, "a.example.com"), (82, "b.example.com")]).await;
    assert_eq!(found(&dns).await, ["192.0.2.1:80", "192.0.2.1:81", "192.0.2.2:82"]);
    assert_eq!(dns.count("a.example.com", QType::A), 0, "one glue record is enough");
    // Without glue the target is looked up once, not once per port.
    let dns = with_srv(&[(80, "a.example.com"), (81, "a.example.com"), (82, "b.example.com")]).await;
    dns.set_ttl(30);
    dns.additional(false);
    assert_eq!(found(&dns).await, ["192.0.2.1:80", "192.0.2.1:81", "192.0.2.2:82"]);
    assert_eq!(dns.count("a.example.com", QType::A), 1);
}

/// F17. Pods that share a host name have one SRV record and several addresses.
#[tokio::test]
async fn several_addresses_of_a_target_are_several_endpoints() {
    let dns = dns().await;
    let service = Service::headless("shop", "nginx").port("http", 8080);
    dns.apply(service.pod(Pod::new("10.0.0.1").hostname("web")).pod(Pod::new("10.0.0.2").hostname("web")));
    let upstream = within("an answer", pod(&dns).resolve("nginx:http")).await.unwrap();
    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:8080", "10.0.0.2:8080"]);
    let weights: BTreeSet<u32> = upstream.endpoints().iter().map(|endpoint| endpoint.weight()).collect();
    assert_eq!(weights.len(), 1, "all endpoints in the cluster have the same weight");
}

/// F17.
#[tokio::test]
async fn ignores_the_case_of_names() {
    let dns = dns().await;
    dns.srv(TARGET, 0, 1, 80, "A.Example.Com");
    dns.record("a.EXAMPLE.com", "192.0.2.1");
    let upstream = within("an answer", pod(&dns).resolve("_http._tcp.API.eu.Example.COM")).await.unwrap();
    assert_eq!(addrs(&upstream.endpoints()), ["192.0.2.1:80"]);
    dns.additional(false);
    assert_eq!(found(&dns).await, ["192.0.2.1:80"]);
    dns.apply(orders(&["10.0.0.1"]));
    let upstream = within("an answer", pod(&dns).resolve("http://Orders.SHOP.Svc:8080")).await.unwrap();
    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:8080"]);
}

/// F17. Outside the cluster an operator has set them.
#[tokio::test]
async fn uses_weight_and_priority_outside_the_cluster_only() {
    let dns = dns().await;
    dns.srv(TARGET, 1, 10, 80, "a.example.com");
    dns.srv(TARGET, 2, 90, 80, "b.example.com");
    dns.record("a.example.com", "192.0.2.1");
    dns.record("b.example.com", "192.0.2.2");
    let upstream = within("an answer", pod(&dns).resolve(TARGET)).await.unwrap();
    let read: Vec<(u16, u32)> = upstream.endpoints().iter().map(|e| (e.priority(), e.weight())).collect();
    assert_eq!(read, [(1, 10), (2, 90)]);
    dns.apply(orders(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]));
    let upstream = within("an answer", pod(&dns).resolve("orders:http")).await.unwrap();
    let read: BTreeSet<(u16, u32)> = upstream.endpoints().iter().map(|e| (e.priority(), e.weight())).collect();
    assert_eq!(read.len(), 1, "{read:?}");
}

/// F17. All of these at once, with both families: the good records resolve, and nothing panics.
#[tokio::test]
async fn bad_srv_records_do_not_hide_good_ones() {
    let dns = with_srv(&[(0, "a.example.com"), (80, "."), (80, "nobody.example.com"), (80, "A.example.com")]).await;
    dns.record("a.example.com", "2001:db8::1");
    dns.record("zero.example.com", "0.0.0.0");
    dns.srv(TARGET, 0, 0, 80, "zero.example.com");
    let resolver = pod_with(&dns, &[]).families(Families::Both).build().unwrap();
    let upstream = within("an answer", resolver.resolve(TARGET)).await.unwrap();
    assert_eq!(addrs(&upstream.endpoints()), ["192.0.2.1:80", "[2001:db8::1]:80"], "{}", evidence(&upstream));
    asked_again(&dns, 20).await;
    assert_eq!(upstream.endpoints().version(), 1);
}

/// A target of which one family does not exist and the other one fails is not left out: the set would be
/// incomplete.
#[tokio::test]
async fn a_target_with_nxdomain_of_one_family_and_a_failure_of_the_other_is_not_left_out() {
    for (absent, failing) in [(QType::AAAA, QType::A), (QType::A, QType::AAAA)] {
        for fails in [Rule::servfail as Fails, Rule::refuse, Rule::garbage, Rule::drop] {
            let dns = with_srv(&[(8080, "a.example.com"), (8080, "b.example.com")]).await;
            dns.glue(Glue::None);
            dns.script(Rule::any().name("b.example.com").qtype(absent).nxdomain());
            dns.script(fails(Rule::any().name("b.example.com").qtype(failing)));
            let resolver = pod_with(&dns, &QUICK).families(Families::Both).build().unwrap();
            let error = refusal(&resolver, TARGET).await;
            assert!(error.is_transient() && error.to_string().contains("b.example.com"), "{absent} denied: {error}");
        }
    }
}

/// Later the last known addresses of the target stay.
#[tokio::test]
async fn a_target_keeps_its_addresses_beside_nxdomain_of_the_other_family() {
    for fails in [Rule::servfail as Fails, Rule::refuse, Rule::garbage, Rule::drop] {
        let dns = with_srv(&[(8080, "a.example.com"), (8080, "b.example.com")]).await;
        dns.glue(Glue::None);
        dns.script(Rule::any().qtype(QType::AAAA).nxdomain());
        let resolver = pod_with(&dns, &QUICK).families(Families::Both).build().unwrap();
        let upstream = within("an answer", resolver.resolve(TARGET)).await.unwrap();
        dns.script(fails(Rule::any().name("b.example.com").qtype(QType::A)));
        dns.forget();
        within("refreshes", dns.asked(question("b.example.com", QType::A), 5)).await;
        assert_eq!(addrs(&upstream.endpoints()), ["192.0.2.1:8080", "192.0.2.2:8080"], "{}", evidence(&upstream));
    }
}

/// A Service with a named `targetPort`: the port of each pod comes from its SRV record.
#[tokio::test]
async fn finds_the_port_of_each_pod() {
    let cluster = FakeCluster::start().await.unwrap();
    let orders = cluster.service("shop", "orders").replicas(3).port_per_pod().start().await.unwrap();
    let running: BTreeSet<String> = orders.pods().iter().map(|pod| pod.addr().to_string()).collect();
    let found = within("an answer", in_cluster(&cluster, "shop").resolve("orders:http")).await.unwrap();
    assert_eq!(addrs(&found.endpoints()).into_iter().collect::<BTreeSet<_>>(), running);
}
