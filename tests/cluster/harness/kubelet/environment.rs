//! The environment variables of a container, as the kubelet sets them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, Pod, Service, ServicePort};
use kube::ResourceExt as _;

use super::{Kubelet, sandbox::container};
use crate::harness::{components::NODE_NAME, node::NODE_IP, options::ProxyMode};

/// All variables of the pod's container. Those of Services come first, so that the container's own override them.
pub(super) fn variables(
    kubelet: &Kubelet,
    services: &[Service],
    pod: &Pod,
    ips: &[String],
) -> BTreeMap<String, String> {
    let spec = pod.spec.clone().unwrap_or_default();
    let namespace = pod.namespace().unwrap_or_default();
    let links = spec.enable_service_links.unwrap_or(true);
    let mut env = BTreeMap::from([("HOSTNAME".to_owned(), pod.name_any()), ("HOME".to_owned(), "/".to_owned())]);
    for service in services {
        let own = links && service.namespace().as_deref() == Some(&namespace);
        // Every pod gets the API server's variables, in any namespace and even without service links.
        let api = service.name_any() == "kubernetes" && service.namespace().as_deref() == Some("default");
        if own || api {
            env.extend(service_variables(service));
        }
    }
    if kubelet.options.proxy == ProxyMode::None {
        // Nodes without kube-proxy are set up like this, because no virtual address leads to the API server.
        env.insert("KUBERNETES_SERVICE_HOST".to_owned(), NODE_IP.to_owned());
        env.insert("KUBERNETES_SERVICE_PORT".to_owned(), "6443".to_owned());
    }
    let own = container(pod).and_then(|container| container.env.as_deref()).unwrap_or_default();
    env.extend(own.iter().filter_map(|var| Some((var.name.clone(), value(var, pod, ips)?))));
    env
}

fn value(var: &EnvVar, pod: &Pod, ips: &[String]) -> Option<String> {
    let Some(field) = var.value_from.as_ref().and_then(|from| from.field_ref.as_ref()) else {
        return Some(var.value.clone().unwrap_or_default());
    };
    let account = || pod.spec.as_ref()?.service_account_name.clone();
    match field.field_path.as_str() {
        "metadata.name" => Some(pod.name_any()),
        "metadata.namespace" => pod.namespace(),
        "metadata.uid" => pod.uid(),
        "status.podIP" => ips.first().cloned(),
        "status.podIPs" => Some(ips.join(",")),
        "status.hostIP" | "status.hostIPs" => Some(NODE_IP.to_owned()),
        "spec.nodeName" => Some(NODE_NAME.to_owned()),
        "spec.serviceAccountName" => Some(account().unwrap_or_else(|| "default".to_owned())),
        label => {
            let key = label.strip_prefix("metadata.labels['")?.strip_suffix("']")?;
            pod.labels().get(key).cloned()
        }
    }
}

/// The variables of one Service, after `FromServices` in Kubernetes' `pkg/kubelet/envvars/envvars.go`.
fn service_variables(service: &Service) -> Vec<(String, String)> {
    let spec = service.spec.clone().unwrap_or_default();
    let host = spec.cluster_ip.unwrap_or_default();
    let ports = spec.ports.unwrap_or_default();
    let (Some(first), false) = (ports.first(), host.is_empty() || host == "None") else { return Vec::new() };
    let prefix = variable(&service.name_any());
    let mut vars = vec![
        (format!("{prefix}_SERVICE_HOST"), host.clone()),
        (format!("{prefix}_SERVICE_PORT"), first.port.to_string()),
    ];
    for port in &ports {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            vars.push((format!("{prefix}_SERVICE_PORT_{}", variable(name)), port.port.to_string()));
        }
    }
    vars.push((format!("{prefix}_PORT"), url(first, &host)));
    for port in &ports {
        let protocol = protocol(port);
        let start = format!("{prefix}_PORT_{}_{protocol}", port.port);
        vars.push((start.clone(), url(port, &host)));
        vars.push((format!("{start}_PROTO"), protocol.to_lowercase()));
        vars.push((format!("{start}_PORT"), port.port.to_string()));
        vars.push((format!("{start}_ADDR"), host.clone()));
    }
    vars
}

fn url(port: &ServicePort, host: &str) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("{}://{host}:{}", protocol(port).to_lowercase(), port.port)
}

fn protocol(port: &ServicePort) -> &str {
    port.protocol.as_deref().unwrap_or("TCP")
}

fn variable(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}
