//! Every form of a name, and what it costs CoreDNS.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use discovery_core::{Explanation, Resolver, Upstream, refresh::RefreshSettings};
use discovery_testing::FakeDns;
use tests::addrs;

use super::{headless, in_pod, slice};
use crate::{
    harness::{Cluster, Options, PATIENCE, on_cluster},
    manifests,
};

/// Where CoreDNS forwards what is not of the cluster: an address of the node.
const UPSTREAM: ([u8; 4], u16) = ([172, 31, 255, 1], 5300);

/// What an ExternalName leads to. CoreDNS asks itself about it, and logs that as from the same client.
const BY_ITSELF: &str = "db.example.com.";

/// Services that are there before the pod, and the Services of another namespace.
const BEFORE: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Namespace
metadata: {name: my-ns}
---
apiVersion: v1
kind: Namespace
metadata: {name: platform-team-a}
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: orders}
spec:
  clusterIP: 10.96.10.1
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {namespace: my-ns, name: orders}
spec:
  clusterIP: 10.96.10.2
  ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: outside}
spec: {type: ExternalName, externalName: db.example.com}
---
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: nginx}
spec:
  clusterIP: None
  selector: {app: web}
  ports: [{name: http, port: 8080, targetPort: http}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {namespace: shop, name: web}
spec:
  replicas: 2
  serviceName: nginx
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: main
        image: none
        command: [test-pod, serve]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /ready, port: http}, periodSeconds: 1}
";

/// A Service that the pod's variables do not know: it is created later.
const AFTER: &str = "\
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: late}
spec:
  clusterIP: 10.96.10.3
  ports: [{name: http, port: 8080}]
";

/// A form of a name, what is asked in vain at first, what is asked from then on, and the addresses.
struct Row {
    target: &'static str,
    in_vain: &'static [&'static str],
    asked: Option<(&'static str, &'static str)>,
    addrs: &'static [&'static str],
}

const fn a(
    target: &'static str,
    in_vain: &'static [&'static str],
    asked: &'static str,
    addrs: &'static [&'static str],
) -> Row {
    Row { target, in_vain, asked: Some((asked, "A")), addrs }
}

const fn srv(
    target: &'static str,
    in_vain: &'static [&'static str],
    asked: &'static str,
    addrs: &'static [&'static str],
) -> Row {
    Row { target, in_vain, asked: Some((asked, "SRV")), addrs }
}

const fn nothing(target: &'static str, addrs: &'static [&'static str]) -> Row {
    Row { target, in_vain: &[], asked: None, addrs }
}

const ORDERS: &[&str] = &["10.96.10.1:8080"];
const OTHERS: &[&str] = &["10.96.10.2:8080"];
/// Pods have the addresses that they have: `WEB_0` and `WEB_1` stand for them.
const WEB_0: &[&str] = &["WEB_0:8080"];
const WEB: &[&str] = &["WEB_0:8080", "WEB_1:8080"];

/// The budget of the contract, section 5, as asked from namespace `shop`: one question for each refresh. Names of two
/// labels cost a second one once, since a pod of an own Service comes first, as in libc; and so do hosts of three
/// labels, which may be a pod.
const TABLE: &[Row] = &[
    a("orders", &[], "orders.shop.svc.cluster.local.", &["10.96.10.1:0"]),
    a("orders:8080", &[], "orders.shop.svc.cluster.local.", ORDERS),
    a("orders.my-ns:8080", &["orders.my-ns.shop.svc.cluster.local."], "orders.my-ns.svc.cluster.local.", OTHERS),
    srv("orders:http", &[], "_http._tcp.orders.shop.svc.cluster.local.", ORDERS),
    srv(
        "orders.shop:http",
        &["_http._tcp.shop.shop.svc.cluster.local."],
        "_http._tcp.orders.shop.svc.cluster.local.",
        ORDERS,
    ),
    a("orders.shop.svc:8080", &[], "orders.shop.svc.cluster.local.", ORDERS),
    a("orders.shop.svc.cluster.local:8080", &[], "orders.shop.svc.cluster.local.", ORDERS),
    a("orders.shop.svc.cluster.local.:8080", &[], "orders.shop.svc.cluster.local.", ORDERS),
    srv("_http._tcp.orders", &[], "_http._tcp.orders.shop.svc.cluster.local.", ORDERS),
    srv(
        "_http._tcp.orders.shop",
        &["_http._tcp.shop.shop.svc.cluster.local."],
        "_http._tcp.orders.shop.svc.cluster.local.",
        ORDERS,
    ),
    srv("_http._tcp.nginx.shop.svc", &[], "_http._tcp.nginx.shop.svc.cluster.local.", WEB),
    a("http://nginx:8080", &[], "nginx.shop.svc.cluster.local.", WEB),
    a("web-0.nginx:8080", &[], "web-0.nginx.shop.svc.cluster.local.", WEB_0),
    a("web-0.nginx.shop.svc.cluster.local:8080", &[], "web-0.nginx.shop.svc.cluster.local.", WEB_0),
    a(
        "http://rates-eureka.platform-team-a.svc:8080/eureka",
        &[],
        "rates-eureka.platform-team-a.svc.cluster.local.",
        &["10.250.0.1:8080", "10.250.0.2:8080"],
    ),
    a("outside:5432", &[], "outside.shop.svc.cluster.local.", &["192.0.2.7:5432"]),
    a("api.example.com:443", &["api.example.com.svc.cluster.local."], "api.example.com.", &["192.0.2.1:443"]),
    a("api.example.com.:443", &[], "api.example.com.", &["192.0.2.1:443"]),
    nothing("10.0.0.1:80", &["10.0.0.1:80"]),
    nothing("localhost:80", &["127.0.0.1:80", "[::1]:80"]),
];

type Questions = Vec<(String, String)>;

/// What CoreDNS has logged beyond the first `before` lines, sorted, once there are `least` or more. The log comes
/// after the answer: what was asked too often is there a moment later.
async fn asked(cluster: &Cluster, before: usize, least: usize, once: bool) -> Questions {
    cluster.until("CoreDNS logs it", || async { cluster.dns_questions().len() >= before + least }).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut asked: Questions = cluster.dns_questions().split_off(before);
    asked.retain(|(name, _)| name != BY_ITSELF);
    asked.sort();
    if once {
        // Over UDP, a question that repeats the one before it within a round may be a retransmission.
        asked.dedup();
    }
    asked
}

/// Waits until a whole round of questions is over.
async fn round_is_over(upstream: &Upstream, since: Option<&Arc<Explanation>>) {
    let over = async {
        loop {
            let now = upstream.explain();
            if !now.steps.is_empty() && since.is_none_or(|before| !Arc::ptr_eq(before, &now)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, over).await.expect("a round of questions");
}

/// Only what a test asks for is asked.
fn calm() -> RefreshSettings {
    let (moment, hour) = (Duration::from_millis(1), Duration::from_secs(3600));
    // As short as the TTL of CoreDNS is, no round of a row takes as long.
    RefreshSettings::default().with_refresh(moment, hour).unwrap().with_failure_refresh_min(moment)
}

async fn check(cluster: &Cluster, env: &BTreeMap<String, String>, pods: &BTreeMap<&str, String>, transport: &str) {
    const REFRESHES: usize = 5;
    let once = transport == "udp";
    for Row { target, in_vain, asked: from_then_on, addrs: wanted } in TABLE {
        let mut env = env.clone();
        env.insert("DISCOVERY_DNS_TRANSPORT".to_owned(), transport.to_owned());
        let resolver = in_pod(env).refresh(calm()).build().unwrap();
        let before = cluster.dns_questions().len();
        let upstream = tokio::time::timeout(PATIENCE, resolver.resolve(*target)).await.expect(target).unwrap();
        round_is_over(&upstream, None).await;
        let mut each: Questions = Vec::new();
        each.extend(from_then_on.map(|(name, rtype)| (name.to_owned(), rtype.to_owned())));
        let rtype = from_then_on.map_or("A", |(_, rtype)| rtype);
        let mut cold: Questions = in_vain.iter().map(|name| ((*name).to_owned(), rtype.to_owned())).collect();
        cold.extend(each.clone());
        cold.sort();
        assert_eq!(asked(cluster, before, cold.len(), once).await, cold, "{target}, cold\n{}", upstream.explain());

        let mut wanted: Vec<String> = wanted
            .iter()
            .map(|addr| pods.iter().fold((*addr).to_owned(), |addr, (pod, ip)| addr.replace(pod, ip)))
            .collect();
        wanted.sort();
        let mut found = addrs(&upstream.endpoints());
        found.sort();
        assert_eq!(found, wanted, "{target}\n{}", upstream.explain());

        let mut refreshed = 0;
        for _ in 0..REFRESHES {
            let (before, explained) = (cluster.dns_questions().len(), upstream.explain());
            upstream.refresh();
            round_is_over(&upstream, Some(&explained)).await;
            let asked = asked(cluster, before, each.len(), once).await;
            assert_eq!(asked, each, "{target}, refreshed\n{}", upstream.explain());
            refreshed += asked.len();
        }
        println!("budget: {transport}: {target}: {} cold, {refreshed} for {REFRESHES} refreshes", cold.len());
    }
}

async fn world(cluster: &Cluster) -> (FakeDns, BTreeMap<&'static str, String>) {
    let outside = FakeDns::builder().address(UPSTREAM).cluster_domain("upstream.invalid").start().await.unwrap();
    outside.record("db.example.com", "192.0.2.7");
    outside.record("api.example.com", "192.0.2.1");
    cluster.apply(BEFORE).await;
    let eureka = ("platform-team-a", "rates-eureka");
    cluster.apply_object(&headless(eureka.0, eureka.1)).await;
    cluster.apply_object(&slice(eureka.0, eureka.1, super::ips(2))).await;
    cluster.pods_ready("shop", "web", 2).await;
    super::client(cluster).await;
    cluster.ready_endpoints("shop", "nginx", 2).await;
    let pods = cluster.pods("shop", "web").await;
    let ip = |name: &str| {
        let pod = pods.iter().find(|pod| pod.metadata.name.as_deref() == Some(name)).unwrap();
        pod.status.clone().unwrap().pod_ip.unwrap()
    };
    (outside, BTreeMap::from([("WEB_0", ip("web-0")), ("WEB_1", ip("web-1"))]))
}

/// Waits until CoreDNS has heard of everything: what it has not would be asked for more than once.
async fn heard(env: &BTreeMap<String, String>) {
    for Row { target, addrs: wanted, .. } in TABLE {
        let upstream = in_pod(env.clone()).build().unwrap().upstream(*target).unwrap();
        tests::until(&upstream, target, |set| addrs(set).len() == wanted.len()).await;
    }
}

#[test]
fn every_form_of_a_name_is_answered_for_the_least_number_of_questions() {
    on_cluster(Options::default(), |cluster| async move {
        let (outside, pods) = world(&cluster).await;
        let own = cluster.clone();
        cluster
            .in_pod("shop/client", |env| async move {
                heard(&env).await;
                // Over TCP nothing is sent twice, so that every question counts.
                check(&own, &env, &pods, "tcp").await;
                check(&own, &env, &pods, "udp").await;
            })
            .await;
        drop(outside);
    });
}

/// The kubelet's variables tell of the ClusterIP Services that were there before the pod: nobody is asked about them.
#[test]
fn the_variables_of_services_that_were_there_before_the_pod_cost_no_question() {
    on_cluster(Options::default(), |cluster| async move {
        let (outside, _) = world(&cluster).await;
        cluster.apply(AFTER).await;
        let own = cluster.clone();
        cluster
            .in_pod("shop/client", |env| async move {
                let build = |service_env: &str| {
                    let mut env = env.clone();
                    env.insert("DISCOVERY_SERVICE_ENV".to_owned(), service_env.to_owned());
                    Resolver::builder().environment(manifests::environment(env)).build().unwrap()
                };
                let resolve = async |service_env: &str, target: &'static str| {
                    let upstream = build(service_env).upstream(target).unwrap();
                    tokio::time::timeout(PATIENCE, upstream.ready()).await.expect(target).unwrap();
                    round_is_over(&upstream, None).await;
                    upstream
                };
                for (service_env, target, source) in [
                    ("on", "orders:8080", "env"),
                    ("on", "orders:http", "env"),
                    ("off", "orders:8080", "dns"),
                    // Later than the pod; of another namespace; without a virtual address.
                    ("on", "late:8080", "dns"),
                    ("on", "orders.my-ns:8080", "dns"),
                    ("on", "nginx:8080", "dns"),
                ] {
                    let before = own.dns_questions().len();
                    let upstream = resolve(service_env, target).await;
                    let why = upstream.explain();
                    assert_eq!(why.winner, Some(source), "{target}, {service_env}: {why}");
                    if source == "env" {
                        assert_eq!(addrs(&upstream.endpoints()), ["10.96.10.1:8080"], "{why}");
                        assert_eq!(asked(&own, before, 0, false).await, [], "{target}");
                    } else {
                        assert!(!asked(&own, before, 1, false).await.is_empty(), "{target}");
                    }
                    println!("variables {service_env}: {target} by {source}: {:?}", addrs(&upstream.endpoints()));
                }
            })
            .await;
        drop(outside);
    });
}
