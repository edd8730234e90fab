//! What several tests apply, and what the pods of it see.

use std::{collections::BTreeMap, path::Path};

use discovery_core::Environment;

const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// What a process in a pod would see by itself. Work of a test runs in the pod's namespaces, but variables belong to
/// the whole process.
pub(crate) fn environment(env: BTreeMap<String, String>) -> Environment {
    Environment::empty()
        .with_env(env)
        .with_resolv_conf_file("/etc/resolv.conf")
        .with_namespace_file(Path::new(ACCOUNT).join("namespace"))
}

/// A namespace, and a pod in it that only holds its namespaces: work of the test runs there.
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

/// What a set of pods is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload<'a> {
    /// `Deployment` or `StatefulSet`.
    pub(crate) kind: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) replicas: u32,
    /// The Service is headless.
    pub(crate) headless: bool,
    /// Options of `test-pod serve`.
    pub(crate) options: &'a [&'a str],
}

impl Workload<'_> {
    /// The pods, and their Service on port 80.
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
