//! How the testbed's kubelet, controllers and CoreDNS react when pods start, hang and terminate.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RData, RecordType},
};
use k8s_openapi::api::discovery::v1::{EndpointConditions, EndpointSlice};
use kube::{
    Api,
    runtime::watcher::{self, Event},
};
use nix::sys::signal::Signal;
use tokio::{net::UdpSocket, time::timeout};

use crate::{
    harness::{Cluster, Options, on_cluster},
    manifests::{self, Workload},
};

const WEB: Workload<'_> =
    Workload { kind: "Deployment", namespace: "shop", name: "web", replicas: 3, headless: false, options: &[] };

/// The best of three runs counts: the test is about the cluster's speed, not about how busy the machine is.
#[test]
fn a_cluster_starts_within_ten_seconds() {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let (start, mut took) = (Instant::now(), Duration::ZERO);
        let up = &mut took;
        on_cluster(Options::default(), |_| async move { *up = start.elapsed() });
        best = best.min(took);
        if best < Duration::from_secs(10) {
            return;
        }
    }
    panic!("the fastest of three clusters started in {best:?}");
}

/// A client that asks for a named port gets each pod's own name in the SRV records, with its address in the same
/// answer.
#[test]
fn srv_records_name_the_pods_of_a_stateful_set() {
    on_cluster(Options::default(), |cluster| async move {
        cluster.apply(&manifests::client("shop")).await;
        cluster.apply(&Workload { kind: "StatefulSet", replicas: 2, headless: true, ..WEB }.manifest()).await;
        cluster.pods_ready("shop", "web", 2).await;
        cluster.pods_ready("shop", "client", 1).await;
        cluster.until("both pods in an answer", || async { srv(&cluster).await.len() == 2 }).await;
        let mut wanted = BTreeMap::new();
        for pod in cluster.pods("shop", "web").await {
            let ip = pod.status.and_then(|status| status.pod_ip).unwrap();
            wanted.insert(format!("{}.web.shop.svc.cluster.local.:8080", pod.metadata.name.unwrap()), ip);
        }
        assert_eq!(srv(&cluster).await, wanted);
    });
}

/// Asks from a pod; returns `target:port` of each SRV record, with the address that the answer holds for the target.
async fn srv(cluster: &Cluster) -> BTreeMap<String, String> {
    let server = cluster.dns();
    let asked = cluster.in_pod("shop/client", move |_| async move {
        let mut message = Message::query();
        message.add_query(Query::query(
            Name::from_ascii("_http._tcp.web.shop.svc.cluster.local.").unwrap(),
            RecordType::SRV,
        ));
        let socket = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        socket.send_to(&message.to_vec().unwrap(), server).await.unwrap();
        let mut answer = [0; 1232];
        let length = timeout(Duration::from_secs(2), socket.recv(&mut answer)).await.ok()?.unwrap();
        Message::from_vec(&answer[..length]).ok()
    });
    let Some(answer) = asked.await else { return BTreeMap::new() };
    let address = |name: &Name| {
        let record = answer.additionals.iter().find(|record| &record.name == name);
        record.map(|record| record.data.to_string()).unwrap_or_default()
    };
    let target = |data: &RData| match data {
        RData::SRV(srv) => Some((format!("{}:{}", srv.target.to_ascii(), srv.port), address(&srv.target))),
        _ => None,
    };
    answer.answers.iter().filter_map(|record| target(&record.data)).collect()
}

/// The conditions of an endpoint in the slices: ready, serving, terminating.
type Conditions = (bool, bool, bool);

/// Follows the slices of `shop/web`. For each address, returns its conditions over time; `None` means that it is gone.
async fn history(
    cluster: &Cluster,
    until: impl Fn(&BTreeMap<String, Vec<Option<Conditions>>>) -> bool,
) -> BTreeMap<String, Vec<Option<Conditions>>> {
    let api = Api::<EndpointSlice>::namespaced(cluster.client(), "shop");
    let of_web = watcher::Config::default().labels("kubernetes.io/service-name=web");
    let mut events = watcher::watcher(api, of_web).boxed();
    let mut all: BTreeMap<String, Vec<Option<Conditions>>> = BTreeMap::new();
    while !until(&all) {
        let Some(Ok(Event::Apply(slice) | Event::InitApply(slice))) = events.next().await else { continue };
        let mut now: BTreeMap<String, Conditions> = BTreeMap::new();
        for endpoint in slice.endpoints.into_iter().flatten() {
            let conditions = effective(&endpoint.conditions.unwrap_or_default());
            now.extend(endpoint.addresses.into_iter().map(|address| (address, conditions)));
        }
        for address in all.keys().chain(now.keys()).cloned().collect::<BTreeSet<_>>() {
            let (seen, found) = (all.entry(address.clone()).or_default(), now.get(&address).copied());
            if seen.last() != Some(&found) {
                seen.push(found);
            }
        }
    }
    all
}

/// The conditions with the defaults of the API for those that are missing.
fn effective(conditions: &EndpointConditions) -> Conditions {
    let ready = conditions.ready.unwrap_or(true);
    (ready, conditions.serving.unwrap_or(ready), conditions.terminating.unwrap_or(false))
}

/// During a rolling restart, the slices show each old pod as terminating before it is gone. The process drains for two
/// seconds after SIGTERM, so that a watch sees that state.
#[test]
fn slices_show_each_pod_terminating_during_a_rolling_restart() {
    on_cluster(Options::default(), |cluster| async move {
        cluster.apply(&manifests::client("shop")).await;
        cluster.apply(&Workload { options: &["--drain-ms", "2000"], ..WEB }.manifest()).await;
        cluster.pods_ready("shop", "web", 3).await;
        cluster.ready_endpoints("shop", "web", 3).await;
        let old = addresses(&cluster).await;
        let watched = Arc::clone(&cluster);
        let before = old.clone();
        let seen = tokio::spawn(async move {
            let all_gone = |all: &BTreeMap<String, Vec<Option<Conditions>>>| {
                before.iter().all(|ip| all.get(ip).and_then(|seen| seen.last()) == Some(&None))
            };
            history(&watched, all_gone).await
        });
        cluster.restart("Deployment", "shop", "web").await;
        let seen = timeout(Duration::from_secs(60), seen).await.expect("the restart completes").unwrap();
        let (ready, terminating) = (Some((true, true, false)), Some((false, true, true)));
        for address in &old {
            assert_eq!(seen[address].first(), Some(&ready), "{address}: {seen:?}");
            assert_eq!(seen[address].get(1), Some(&terminating), "{address}: {seen:?}");
        }
        cluster.pods_ready("shop", "web", 3).await;
        assert!(addresses(&cluster).await.is_disjoint(&old));
    });
}

async fn addresses(cluster: &Cluster) -> BTreeSet<String> {
    let pods = cluster.pods("shop", "web").await;
    pods.into_iter().filter_map(|pod| pod.status?.pod_ip).collect()
}

/// A process that hangs fails its probe and leaves the slices. A process that dies is restarted at the same address.
#[test]
fn a_pod_that_hangs_or_dies_becomes_ready_again() {
    on_cluster(Options::default(), |cluster| async move {
        cluster.apply(&manifests::client("shop")).await;
        cluster.apply(&Workload { kind: "StatefulSet", replicas: 1, ..WEB }.manifest()).await;
        cluster.pods_ready("shop", "web", 1).await;
        cluster.ready_endpoints("shop", "web", 1).await;
        let before = addresses(&cluster).await;

        cluster.pod("shop/web-0").signal(Signal::SIGSTOP).unwrap();
        cluster.ready_endpoints("shop", "web", 0).await;
        cluster.pod("shop/web-0").signal(Signal::SIGCONT).unwrap();
        cluster.ready_endpoints("shop", "web", 1).await;

        cluster.pod("shop/web-0").kill().unwrap();
        let restarted = || async {
            let pods = cluster.pods("shop", "web").await;
            let mut containers = pods
                .iter()
                .flat_map(|pod| pod.status.iter())
                .flat_map(|status| status.container_statuses.iter().flatten());
            containers.any(|container| container.restart_count > 0)
        };
        cluster.until("a restart", restarted).await;
        cluster.pods_ready("shop", "web", 1).await;
        assert_eq!(addresses(&cluster).await, before);
    });
}

/// The kubelet sets the variables of all Services that exist when a container starts.
#[test]
fn a_container_gets_the_variables_of_services_that_exist_when_it_starts() {
    on_cluster(Options::default(), |cluster| async move {
        cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}").await;
        cluster.apply(&WEB.manifest()).await;
        cluster.apply(&manifests::client("shop")).await;
        cluster.pods_ready("shop", "client", 1).await;
        let env = cluster.in_pod("shop/client", |env| async { env }).await;
        assert_eq!(env["WEB_SERVICE_PORT_HTTP"], "80");
        assert_eq!(env["WEB_PORT_80_TCP"], format!("tcp://{}:80", env["WEB_SERVICE_HOST"]));
        assert_eq!(env["KUBERNETES_SERVICE_HOST"], "10.96.0.1");
        assert_eq!(env["POD_NAMESPACE"], "shop");
    });
}

/// A dual-stack Service reaches its pods by both of its addresses.
#[test]
fn a_dual_stack_service_answers_at_both_virtual_addresses() {
    on_cluster(Options::default().dual_stack(), |cluster| async move {
        cluster.apply(&manifests::client("shop")).await;
        cluster.apply(&Workload { replicas: 1, ..WEB }.manifest()).await;
        let both = serde_json::json!({"spec": {"ipFamilyPolicy": "RequireDualStack"}});
        cluster.patch("v1", "Service", "shop", "web", both).await;
        cluster.pods_ready("shop", "web", 1).await;
        cluster.pods_ready("shop", "client", 1).await;
        cluster.ready_endpoints("shop", "web", 2).await;
        let api = Api::<k8s_openapi::api::core::v1::Service>::namespaced(cluster.client(), "shop");
        let addresses = api.get("web").await.unwrap().spec.and_then(|spec| spec.cluster_ips).unwrap();
        assert!(addresses.len() == 2 && addresses[1].starts_with("fd00:96::"), "{addresses:?}");
        for address in addresses {
            let host = if address.contains(':') { format!("[{address}]") } else { address };
            let answered = cluster.in_pod("shop/client", move |_| async move {
                let client = reqwest::Client::builder().timeout(Duration::from_secs(2)).build().unwrap();
                let asked = async {
                    while client.get(format!("http://{host}/")).send().await.is_err() {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                };
                timeout(Duration::from_secs(30), asked).await.map_err(|_| host)
            });
            assert_eq!(answered.await, Ok(()));
        }
    });
}
