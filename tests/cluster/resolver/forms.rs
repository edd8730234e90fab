//! Every form of a name, and the number of questions that it costs CoreDNS.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use discovery_core::{Explanation, Resolver, Upstream, refresh::RefreshSettings};
use discovery_testing::FakeDns;
use tests::addrs;

use super::{headless, in_pod, slice};
use crate::{
    harness::{Cluster, Options, PATIENCE, on_cluster},
    manifests,
};

/// Where CoreDNS forwards questions about names outside of the cluster: an address of the node.
const UPSTREAM: ([u8; 4], u16) = ([172, 31, 255, 1], 5300);

/// The target of the ExternalName. CoreDNS asks itself for its address, and logs that question as the client's.
const ASKED_BY_CORE_DNS: &str = "db.example.com.";

/// Services that exist before the pod starts, in its own namespace and in others.
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

/// A Service without variables in the pod, because it is created after the pod started.
const AFTER: &str = "\
apiVersion: v1
kind: Service
metadata: {namespace: shop, name: late}
spec:
  clusterIP: 10.96.10.3
  ports: [{name: http, port: 8080}]
";

/// One form of a name, with the questions and the addresses that it leads to.
struct Row {
    target: &'static str,
    /// The names that get a negative answer the first time.
    negative: &'static [&'static str],
    /// The question that gets the answer, sent with every refresh: name and type.
    question: Option<(&'static str, &'static str)>,
    addrs: &'static [&'static str],
}

const fn a(
    target: &'static str,
    negative: &'static [&'static str],
    name: &'static str,
    addrs: &'static [&'static str],
) -> Row {
    Row { target, negative, question: Some((name, "A")), addrs }
}

const fn srv(
    target: &'static str,
    negative: &'static [&'static str],
    name: &'static str,
    addrs: &'static [&'static str],
) -> Row {
    Row { target, negative, question: Some((name, "SRV")), addrs }
}

const fn no_question(target: &'static str, addrs: &'static [&'static str]) -> Row {
    Row { target, negative: &[], question: None, addrs }
}

const ORDERS: &[&str] = &["10.96.10.1:8080"];
const OTHERS: &[&str] = &["10.96.10.2:8080"];
/// `WEB_0` and `WEB_1` stand for the addresses of the pods, which differ from run to run.
const WEB_0: &[&str] = &["WEB_0:8080"];
const WEB: &[&str] = &["WEB_0:8080", "WEB_1:8080"];

/// The query budget, for a pod in namespace `shop`: one question for each refresh. A name of two labels costs one more
/// question the first time, because it may be a pod of a Service in the own namespace, which is tried first, as in
/// libc. So does a host of three labels, which may be a pod.
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
    srv("_http._tcp.orders.shop", &[], "_http._tcp.orders.shop.svc.cluster.local.", ORDERS),
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
    no_question("10.0.0.1:80", &["10.0.0.1:80"]),
    no_question("localhost:80", &["127.0.0.1:80", "[::1]:80"]),
];

type Questions = Vec<(String, String)>;

/// The questions that CoreDNS logged after the first `before`, sorted, once there are at least `least`. CoreDNS logs
/// after it answers, so this waits a moment longer for questions that were one too many.
async fn asked(cluster: &Cluster, before: usize, least: usize, once: bool) -> Questions {
    cluster.until("the questions in CoreDNS's log", || async { cluster.dns_questions().len() >= before + least }).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut asked: Questions = cluster.dns_questions().split_off(before);
    asked.retain(|(name, _)| name != ASKED_BY_CORE_DNS);
    asked.sort();
    if once {
        // Over UDP, the same question twice in a round may be a retransmission.
        asked.dedup();
    }
    asked
}

/// Waits until a round of questions is complete: the first, or the one after `since`.
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

/// Settings under which only the test starts a refresh.
fn calm() -> RefreshSettings {
    let (moment, hour) = (Duration::from_millis(1), Duration::from_secs(3600));
    // The rounds of a row take less time than CoreDNS's TTL, so none is refreshed by itself.
    RefreshSettings::default().with_refresh(moment, hour).unwrap().with_failure_refresh_min(moment)
}

async fn check(cluster: &Cluster, env: &BTreeMap<String, String>, pods: &BTreeMap<&str, String>, transport: &str) {
    const REFRESHES: usize = 5;
    let once = transport == "udp";
    for Row { target, negative, question, addrs: wanted } in TABLE {
        let mut env = env.clone();
        env.insert("DISCOVERY_DNS_TRANSPORT".to_owned(), transport.to_owned());
        let resolver = in_pod(env).refresh(calm()).build().unwrap();
        let before = cluster.dns_questions().len();
        let upstream = tokio::time::timeout(PATIENCE, resolver.resolve(*target)).await.expect(target).unwrap();
        round_is_over(&upstream, None).await;
        let mut each: Questions = Vec::new();
        each.extend(question.map(|(name, rtype)| (name.to_owned(), rtype.to_owned())));
        let rtype = question.map_or("A", |(_, rtype)| rtype);
        let mut cold: Questions = negative.iter().map(|name| ((*name).to_owned(), rtype.to_owned())).collect();
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
        println!(
            "query budget: {target} over {transport}: {} questions at first, {refreshed} for {REFRESHES} refreshes",
            cold.len()
        );
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

/// Waits until CoreDNS knows all names: an unknown name would be asked for more than once.
async fn until_core_dns_is_synced(env: &BTreeMap<String, String>) {
    for Row { target, addrs: wanted, .. } in TABLE {
        let upstream = in_pod(env.clone()).build().unwrap().upstream(*target).unwrap();
        tests::until(&upstream, target, |set| addrs(set).len() == wanted.len()).await;
    }
}

#[test]
fn every_form_of_a_name_costs_the_fewest_possible_questions() {
    on_cluster(Options::default(), |cluster| async move {
        let (outside, pods) = world(&cluster).await;
        let own = cluster.clone();
        cluster
            .in_pod("shop/client", |env| async move {
                until_core_dns_is_synced(&env).await;
                // The resolver retransmits only over UDP, so over TCP every question counts.
                check(&own, &env, &pods, "tcp").await;
                check(&own, &env, &pods, "udp").await;
            })
            .await;
        drop(outside);
    });
}

/// The kubelet sets variables for the ClusterIP Services that exist before the pod starts. Those need no DNS question.
#[test]
fn services_with_variables_need_no_dns_question() {
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
                    // Created after the pod; in another namespace; without a virtual address.
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
                    let found = addrs(&upstream.endpoints());
                    println!("{target}: {found:?} from {source}, DISCOVERY_SERVICE_ENV={service_env}");
                }
            })
            .await;
        drop(outside);
    });
}
