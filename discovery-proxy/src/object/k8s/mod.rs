//! From the types of `k8s-openapi`, as a watch of the API delivers them: `Service::from(&object)`.
//!
//! Every field that decides is copied as it is, text stays text, and what is absent is what kube-proxy takes it for.
//! What the API server would have refused loses its meaning only where there is nothing that it could mean: a port
//! of an unknown protocol is left out, an unknown word is the default.

mod endpoints;
mod node;
mod service;
#[cfg(test)]
mod tests;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Protocol;

/// The namespace and the name; empty where they are absent, which kube-proxy ignores the object for.
fn names(metadata: &ObjectMeta) -> (String, String) {
    (text(metadata.namespace.as_ref()), text(metadata.name.as_ref()))
}

fn text(text: Option<&String>) -> String {
    text.cloned().unwrap_or_default()
}

/// Absent is TCP; unknown is nothing.
fn protocol(text: Option<&String>) -> Option<Protocol> {
    text.map_or(Some(Protocol::Tcp), |text| text.parse().ok())
}

fn list<T, U>(of: Option<&Vec<T>>, each: impl FnMut(&T) -> Option<U>) -> Vec<U> {
    of.map_or_else(Vec::new, |list| list.iter().filter_map(each).collect())
}
