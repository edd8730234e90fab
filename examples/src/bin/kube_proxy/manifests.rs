//! Reads manifests as `kubectl apply` does.

use std::{collections::BTreeMap, error::Error};

use discovery_proxy::object::{EndpointSlice, Endpoints, Service};
use k8s_openapi::{
    DeepMerge,
    api::{apps::v1 as apps, core::v1, discovery::v1 as discovery},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The objects in all manifests.
#[derive(Default)]
pub(crate) struct Manifests {
    /// Services, each with the selector of its pods.
    pub services: Vec<(Service, Labels)>,
    pub slices: Vec<EndpointSlice>,
    pub endpoints: Vec<Endpoints>,
    pub pods: Vec<Pods>,
}

pub(crate) type Labels = BTreeMap<String, String>;

/// Identical pods.
pub(crate) struct Pods {
    pub namespace: String,
    pub replicas: i32,
    pub labels: Labels,
    /// The named container ports, which a `targetPort` may use.
    pub ports: BTreeMap<String, i32>,
}

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Reads all documents in all texts.
pub(crate) fn read(texts: &[String]) -> Result<Manifests> {
    let mut manifests = Manifests::default();
    for text in texts {
        // JSON is a subset of YAML.
        let documents: Vec<Value> = serde_saphyr::from_multiple(text)?;
        for document in documents.into_iter().filter(|document| !document.is_null()) {
            manifests.add(document)?;
        }
    }
    Ok(manifests)
}

impl Manifests {
    fn add(&mut self, document: Value) -> Result<()> {
        let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        match kind.as_str() {
            "Service" => {
                let mut service: v1::Service = typed(document)?;
                in_default(&mut service.metadata);
                let selector = service.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
                self.services.push((Service::from(&service), selector));
            }
            "EndpointSlice" => {
                let mut slice: discovery::EndpointSlice = typed(document)?;
                in_default(&mut slice.metadata);
                self.slices.push(EndpointSlice::from(&slice));
            }
            "Endpoints" => {
                let mut endpoints: v1::Endpoints = typed(document)?;
                in_default(&mut endpoints.metadata);
                self.endpoints.push(Endpoints::from(&endpoints));
            }
            "Pod" => {
                let pod: v1::Pod = typed(document)?;
                let template = v1::PodTemplateSpec { metadata: Some(pod.metadata.clone()), spec: pod.spec };
                self.pods(pod.metadata, Some(1), template);
            }
            "Deployment" => {
                let deployment: apps::Deployment = typed(document)?;
                let spec = deployment.spec.unwrap_or_default();
                self.pods(deployment.metadata, spec.replicas, spec.template);
            }
            "ReplicaSet" => {
                let replica_set: apps::ReplicaSet = typed(document)?;
                let spec = replica_set.spec.unwrap_or_default();
                self.pods(replica_set.metadata, spec.replicas, spec.template.unwrap_or_default());
            }
            "StatefulSet" => {
                let stateful_set: apps::StatefulSet = typed(document)?;
                let spec = stateful_set.spec.unwrap_or_default();
                self.pods(stateful_set.metadata, spec.replicas, spec.template);
            }
            "ReplicationController" => {
                let controller: v1::ReplicationController = typed(document)?;
                let spec = controller.spec.unwrap_or_default();
                self.pods(controller.metadata, spec.replicas, spec.template.unwrap_or_default());
            }
            "List" => {
                let items = document.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
                items.into_iter().try_for_each(|item| self.add(item))?;
            }
            "" => return Err("a document has no `kind`".into()),
            other => eprintln!("ignoring an object of kind {other}"),
        }
        Ok(())
    }

    fn pods(&mut self, mut owner: ObjectMeta, replicas: Option<i32>, template: v1::PodTemplateSpec) {
        in_default(&mut owner);
        let containers = template.spec.map(|spec| spec.containers).unwrap_or_default();
        let ports = containers.into_iter().flat_map(|container| container.ports.unwrap_or_default());
        self.pods.push(Pods {
            namespace: owner.namespace.unwrap_or_default(),
            replicas: replicas.unwrap_or(1),
            labels: template.metadata.and_then(|metadata| metadata.labels).unwrap_or_default(),
            ports: ports.filter_map(|port| Some((port.name?, port.container_port))).collect(),
        });
    }
}

fn typed<T: DeserializeOwned>(document: Value) -> Result<T> {
    let name = format!(
        "{} `{}`",
        document["kind"].as_str().unwrap_or("?"),
        document["metadata"]["name"].as_str().unwrap_or("?")
    );
    Ok(serde_json::from_value(document).map_err(|error| format!("{name}: {error}"))?)
}

/// Puts an object without a namespace into `default`, as `kubectl apply` does.
fn in_default(metadata: &mut ObjectMeta) {
    let mut default = ObjectMeta { namespace: Some("default".to_owned()), ..ObjectMeta::default() };
    default.merge_from(std::mem::take(metadata));
    *metadata = default;
}
