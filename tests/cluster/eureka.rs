//! A Eureka registry in the cluster. Pods register their own addresses, other pods call them there, and all of them
//! reach the registry through its Service, whose URL is the same in every cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use discovery_core::{Resolver, ResolverBuilder};
use discovery_eureka::{EurekaSource, Registration};
use discovery_reqwest::Client;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::oneshot;

use crate::{
    eureka_programs as programs,
    harness::{Cluster, Options, on_cluster},
    manifests,
};

const URL: &str = "http://rates-eureka.platform-team-a.svc:8080/eureka";
const NAMESPACE: &str = "platform-team-a";

/// Two servers behind a Service that know each other by the names of their StatefulSet. Each server ends when its
/// standard input does, and a pod's standard input is empty. So each server gets an input that never ends.
fn registry(programs: &std::path::Path) -> String {
    let peers: Vec<_> = (0..2).map(|nth| format!("http://rates-eureka-{nth}.peers:8080/eureka/")).collect();
    let java = format!(
        "exec java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx256m -Dsun.net.inetaddr.ttl=1 \
         -Dsun.net.inetaddr.negative.ttl=1 -cp '{0}/classes:{0}/lib/*' registry.Server --server.address=0.0.0.0 \
         --server.port=8080 --eureka.instance.hostname=$HOSTNAME.peers --eureka.client.register-with-eureka=true \
         --eureka.client.fetch-registry=true --eureka.client.service-url.defaultZone={1} \
         < <(exec sleep infinity)",
        programs.display(),
        peers.join(",")
    );
    let command = serde_json::json!(["bash", "-c", java]);
    format!(
        "\
apiVersion: v1
kind: Namespace
metadata: {{name: {NAMESPACE}}}
---
apiVersion: v1
kind: Service
metadata: {{namespace: {NAMESPACE}, name: peers}}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {{app: rates-eureka}}
  ports: [{{name: http, port: 8080}}]
---
apiVersion: v1
kind: Service
metadata: {{namespace: {NAMESPACE}, name: rates-eureka}}
spec:
  selector: {{app: rates-eureka}}
  ports: [{{name: http, port: 8080, targetPort: http}}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {{namespace: {NAMESPACE}, name: rates-eureka}}
spec:
  replicas: 2
  serviceName: peers
  selector: {{matchLabels: {{app: rates-eureka}}}}
  template:
    metadata: {{labels: {{app: rates-eureka}}}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
      - name: main
        image: none
        command: {command}
        ports: [{{name: http, containerPort: 8080}}]
        readinessProbe: {{httpGet: {{path: /eureka/apps, port: http}}, periodSeconds: 1}}
"
    )
}

/// A pod that serves, with the variables that a registration reads.
fn rates(name: &str) -> String {
    format!(
        "\
apiVersion: v1
kind: Pod
metadata: {{namespace: shop, name: {name}, labels: {{app: rates}}}}
spec:
  containers:
  - name: main
    image: none
    command: [test-pod, serve]
    readinessProbe: {{httpGet: {{path: /ready, port: 8080}}, periodSeconds: 1}}
    env:
    - {{name: POD_NAME, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}
    - {{name: POD_NAMESPACE, valueFrom: {{fieldRef: {{fieldPath: metadata.namespace}}}}}}
    - {{name: POD_IP, valueFrom: {{fieldRef: {{fieldPath: status.podIP}}}}}}
    - {{name: POD_IPS, valueFrom: {{fieldRef: {{fieldPath: status.podIPs}}}}}}
    - {{name: POD_UID, valueFrom: {{fieldRef: {{fieldPath: metadata.uid}}}}}}
"
    )
}

fn in_pod(env: &BTreeMap<String, String>) -> ResolverBuilder {
    Resolver::builder().environment(manifests::environment(env.clone()))
}

/// Registers the server in a pod, and deregisters it when `down` completes.
async fn register(cluster: Arc<Cluster>, name: &str, up: oneshot::Sender<()>, down: oneshot::Receiver<()>) {
    let work = |env: BTreeMap<String, String>| async move {
        let client = Client::new(in_pod(&env).build().unwrap());
        let builder = Registration::builder(&client, URL, "rates").port(8080);
        let builder = builder.lease(Duration::from_secs(2), Duration::from_secs(30)).env(env);
        let registration = builder.register().await.unwrap();
        registration.settled().await.unwrap();
        up.send(()).unwrap();
        // An error means that the test is over.
        let _ = down.await;
        registration.shutdown(Duration::ZERO).await.unwrap();
    };
    cluster.in_pod(&format!("shop/{name}"), work).await;
}

/// The results of a consumer's requests.
#[derive(Debug, Default)]
struct Tally {
    requests: usize,
    failed: Vec<String>,
    /// The pod that answered, and the address that the request came from.
    answers: BTreeSet<(String, IpAddr)>,
    /// Requests that were sent while the endpoints were stale.
    stale: usize,
}

/// Calls the registered pods a hundred times a second until `stop` completes; returns the results and its own address.
async fn consume(
    cluster: Arc<Cluster>,
    mut stop: oneshot::Receiver<()>,
    begun: oneshot::Sender<()>,
) -> (Tally, IpAddr) {
    let work = |env: BTreeMap<String, String>| async move {
        let own: IpAddr = env["POD_IPS"].parse().unwrap();
        let plain = Client::new(in_pod(&env).build().unwrap());
        let source = EurekaSource::builder(&plain, URL).fetch_interval(Duration::from_secs(1)).build().unwrap();
        let resolver = in_pod(&env).source(Arc::new(source)).build().unwrap();
        let rates = resolver.upstream("http://rates").unwrap();
        let mut watch = rates.watch();
        while watch.next().await.len() != 3 {}
        begun.send(()).unwrap();
        let client = Client::new(resolver);
        let (mut tally, mut tick) = (Tally::default(), tokio::time::interval(Duration::from_millis(10)));
        while stop.try_recv().is_err() {
            tick.tick().await;
            tally.requests += 1;
            tally.stale += usize::from(rates.endpoints().is_stale());
            match answer(&client).await {
                Ok(answer) => drop(tally.answers.insert(answer)),
                Err(error) => tally.failed.push(error),
            }
        }
        (tally, own)
    };
    cluster.in_pod("shop/client", work).await
}

async fn answer(client: &Client) -> Result<(String, IpAddr), String> {
    let response = client.get("http://rates/").send().await.map_err(|error| format!("{error:?}"))?;
    let text = response.error_for_status().map_err(|error| error.to_string())?.text().await;
    let text = text.map_err(|error| error.to_string())?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let [name, _own, peer] = words[..] else { return Err(format!("not an answer of a test pod: {text}")) };
    Ok((name.to_owned(), peer.parse::<SocketAddr>().map_err(|error| error.to_string())?.ip()))
}

/// Waits until two servers are ready that are not among `former`; returns their UIDs. Java starts slowly, above all on
/// two cores that other clusters use as well.
async fn servers(cluster: &Cluster, former: &BTreeSet<String>) -> BTreeSet<String> {
    let is_ready = |pod: &Pod| {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let ready = conditions.filter(|condition| condition.type_ == "Ready").any(|ready| ready.status == "True");
        ready && pod.metadata.deletion_timestamp.is_none()
    };
    for _ in 0..2_400 {
        let pods = cluster.pods(NAMESPACE, "rates-eureka").await;
        let uids: BTreeSet<String> = pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
        if uids.len() == 2 && uids.is_disjoint(former) && pods.iter().all(is_ready) {
            return uids;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the registry's two servers were not ready within four minutes");
}

#[test]
fn registered_pods_are_reachable_while_the_registry_is_rolled() {
    let programs = match programs::find() {
        Ok(programs) => programs,
        Err(reason) => return programs::skip(reason),
    };
    on_cluster(Options::default(), |cluster| async move {
        cluster.apply(&manifests::client("shop")).await;
        cluster.apply(&registry(programs)).await;
        let pods = ["rates-0", "rates-1", "rates-2"];
        for pod in pods {
            cluster.apply(&rates(pod)).await;
        }
        cluster.pods_ready("shop", "client", 1).await;
        cluster.pods_ready("shop", "rates", 3).await;
        let before = servers(&cluster, &BTreeSet::new()).await;

        let mut registered = Vec::new();
        for pod in pods {
            let ((up, is_up), (down, is_down)) = (oneshot::channel(), oneshot::channel());
            let own = cluster.clone();
            let task = tokio::spawn(async move { register(own, pod, up, is_down).await });
            is_up.await.expect("the pod registers and reads its registration back");
            registered.push((down, task));
        }
        let ((begun, has_begun), (stop, stopped)) = (oneshot::channel(), oneshot::channel());
        let consumer = tokio::spawn(consume(cluster.clone(), stopped, begun));
        has_begun.await.expect("the consumer finds all three pods");

        // Each server in turn restarts empty and copies the registry from its peer.
        cluster.restart("StatefulSet", NAMESPACE, "rates-eureka").await;
        servers(&cluster, &before).await;
        tokio::time::sleep(Duration::from_secs(5)).await;

        stop.send(()).unwrap();
        let (tally, own) = consumer.await.unwrap();
        println!("{} requests, {} failed, {} on a stale registry", tally.requests, tally.failed.len(), tally.stale);
        assert!(tally.failed.is_empty(), "{:?}", tally.failed);
        // Every pod answered, and saw the consumer's own address.
        let expected: BTreeSet<_> = pods.iter().map(|pod| ((*pod).to_owned(), own)).collect();
        assert_eq!(tally.answers, expected);
        for (down, task) in registered {
            down.send(()).unwrap();
            task.await.unwrap();
        }
    });
}
