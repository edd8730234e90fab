//! Manifests that several tests apply, and the environment of their pods.

use std::{collections::BTreeMap, path::Path};

use discovery_core::Environment;

const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The environment that a process in a pod has. The test's code runs in the pod's namespaces, but its variables are
/// those of the whole test process, so the pod's are passed in.
pub(crate) fn environment(env: BTreeMap<String, String>) -> Environment {
    Environment::empty()
        .with_env(env)
        .with_resolv_conf_file("/etc/resolv.conf")
        .with_namespace_file(Path::new(ACCOUNT).join("namespace"))
}

/// A namespace with an idle pod, in whose network and mount namespaces the test's code runs.
pub(crate) fn client(namespace: &str) -> String {
    format!(
        "\
apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}}}
---
apiVersion: v1
kind: Pod
metadata: {{namespace: {namespace}, name: client, labels: {{app: client}}}}
spec:
  containers:
  - name: main
    image: none
    command: [test-pod, hold]
    env:
    - {{name: POD_NAMESPACE, valueFrom: {{fieldRef: {{fieldPath: metadata.namespace}}}}}}
    - {{name: POD_IPS, valueFrom: {{fieldRef: {{fieldPath: status.podIPs}}}}}}
"
    )
}

/// A set of pods and its Service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload<'a> {
    /// `Deployment` or `StatefulSet`.
    pub(crate) kind: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) replicas: u32,
    /// Whether the Service is headless.
    pub(crate) headless: bool,
    /// Options of `test-pod serve`.
    pub(crate) options: &'a [&'a str],
}

impl Workload<'_> {
    /// The manifests of the pods and their Service: port 80, or 8080 if it is headless.
    pub(crate) fn manifest(&self) -> String {
        let Self { kind, namespace, name, replicas, headless, options } = *self;
        let command: Vec<String> =
            ["test-pod", "serve"].iter().chain(options).map(|word| format!("{word:?}")).collect();
        let (cluster_ip, port) = if headless { ("clusterIP: None", 8080) } else { ("type: ClusterIP", 80) };
        let service_name = if kind == "StatefulSet" { format!("serviceName: {name}") } else { String::new() };
        let strategy = if kind == "Deployment" {
            "strategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}"
        } else {
            "podManagementPolicy: OrderedReady"
        };
        format!(
            "\
apiVersion: v1
kind: Service
metadata: {{namespace: {namespace}, name: {name}}}
spec:
  {cluster_ip}
  selector: {{app: {name}}}
  ports: [{{name: http, port: {port}, targetPort: http}}]
---
apiVersion: apps/v1
kind: {kind}
metadata: {{namespace: {namespace}, name: {name}}}
spec:
  replicas: {replicas}
  {service_name}
  {strategy}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 10
      containers:
      - name: main
        image: none
        command: [{}]
        ports: [{{name: http, containerPort: 8080}}]
        readinessProbe: {{httpGet: {{path: /ready, port: http}}, periodSeconds: 1, failureThreshold: 2}}
",
            command.join(", ")
        )
    }
}
