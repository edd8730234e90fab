//! Reads manifests as `kubectl apply` does.

use std::{collections::BTreeMap, error::Error};

use discovery_proxy::{
    object::{EndpointSlice, Endpoints, Service},
    validate::Rules,
};
use k8s_openapi::{
    DeepMerge,
    api::{apps::v1 as apps, core::v1, discovery::v1 as discovery},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::check;

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

/// A file, or the standard input, with its text.
pub(crate) struct File {
    pub name: String,
    pub text: String,
}

/// Reads all documents in all files.
///
/// # Errors
///
/// Names every fault in every document, with the file, the number of the document and the field.
pub(crate) fn read(files: &[File]) -> Result<Manifests> {
    let (mut manifests, mut faults) = (Manifests::default(), Vec::new());
    for File { name, text } in files {
        // JSON is a subset of YAML.
        let documents: Vec<Value> = match serde_saphyr::from_multiple(text) {
            Ok(documents) => documents,
            Err(error) => {
                faults.push(format!("{name}: {error}"));
                continue;
            }
        };
        if documents.iter().all(Value::is_null) {
            faults.push(format!("{name}: the file has no object; it should have Services and their pods or endpoints"));
        }
        for (at, document) in documents.into_iter().enumerate().filter(|(_, document)| !document.is_null()) {
            if let Err(error) = manifests.add(document) {
                let lines = error.to_string();
                faults.extend(lines.lines().map(|line| format!("{name}, document {}: {line}", at + 1)));
            }
        }
    }
    match faults.is_empty() {
        true => Ok(manifests),
        false => Err(faults.join("\n").into()),
    }
}

impl Manifests {
    fn add(&mut self, document: Value) -> Result<()> {
        let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        check::spelling(&kind, &document)?;
        match kind.as_str() {
            "Service" => {
                let mut service: v1::Service = typed(document)?;
                in_default(&mut service.metadata);
                let selector = service.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
                let service = Service::from(&service);
                // A second object of the same name updates the first, as `kubectl apply` does.
                let is_same =
                    |(one, _): &(Service, Labels)| one.namespace == service.namespace && one.name == service.name;
                match self.services.iter_mut().find(|one| is_same(one)) {
                    Some(old) => *old = (service, selector),
                    None => self.services.push((service, selector)),
                }
            }
            "EndpointSlice" => {
                let mut slice: discovery::EndpointSlice = typed(document)?;
                in_default(&mut slice.metadata);
                // The API server's default. A port without a name would belong to no port of a Service.
                for port in slice.ports.iter_mut().flatten() {
                    port.name.get_or_insert_default();
                }
                let slice = EndpointSlice::from(&slice);
                check::valid(&format!("EndpointSlice `{}`", slice.name), &Rules::default().endpoint_slice(&slice))?;
                let is_same = |one: &&mut EndpointSlice| one.namespace == slice.namespace && one.name == slice.name;
                match self.slices.iter_mut().find(is_same) {
                    Some(old) => *old = slice,
                    None => self.slices.push(slice),
                }
            }
            "Endpoints" => {
                let mut endpoints: v1::Endpoints = typed(document)?;
                in_default(&mut endpoints.metadata);
                let endpoints = Endpoints::from(&endpoints);
                let is_same = |one: &&mut Endpoints| one.namespace == endpoints.namespace && one.name == endpoints.name;
                match self.endpoints.iter_mut().find(is_same) {
                    Some(old) => *old = endpoints,
                    None => self.endpoints.push(endpoints),
                }
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
            list if list.ends_with("List") => {
                // The items of a ServiceList and its kin need no kind of their own.
                let of_kind = list.strip_suffix("List").filter(|kind| !kind.is_empty());
                let items = document.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
                let mut faults = Vec::new();
                for mut item in items {
                    if let (Some(kind), Some(fields)) = (of_kind, item.as_object_mut()) {
                        fields.entry("kind").or_insert_with(|| kind.into());
                    }
                    faults.extend(self.add(item).err().map(|error| error.to_string()));
                }
                if !faults.is_empty() {
                    return Err(faults.join("\n").into());
                }
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
