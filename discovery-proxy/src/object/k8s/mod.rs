//! Conversions from the types of `k8s-openapi`, as a watch of the API delivers them: `Service::from(&object)`.
//!
//! Every field that decides is copied as it is, and text stays text. An absent field gets the value that kube-proxy
//! assumes. Values that the API server would have rejected are handled leniently: a port with an unknown protocol is
//! left out, and any other unknown value becomes the default.

mod endpoints;
mod node;
mod service;
#[cfg(test)]
mod tests;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Protocol;

/// The namespace and the name; empty if absent, in which case kube-proxy ignores the object.
fn names(metadata: &ObjectMeta) -> (String, String) {
    (text(metadata.namespace.as_ref()), text(metadata.name.as_ref()))
}

fn text(text: Option<&String>) -> String {
    text.cloned().unwrap_or_default()
}

/// TCP if absent; `None` if unknown.
fn protocol(text: Option<&String>) -> Option<Protocol> {
    text.map_or(Some(Protocol::Tcp), |text| text.parse().ok())
}

fn list<T, U>(list: Option<&Vec<T>>, convert: impl FnMut(&T) -> Option<U>) -> Vec<U> {
    list.map_or_else(Vec::new, |list| list.iter().filter_map(convert).collect())
}
