//! Who this pod is: its address and its names, from the downward API, or from what else a pod knows. No decision here does
//! I/O; `environment` reads what they are made from.
//!
//! ```yaml
//! env:
//! - {name: POD_IP,        valueFrom: {fieldRef: {fieldPath: status.podIP}}}
//! - {name: POD_IPS,       valueFrom: {fieldRef: {fieldPath: status.podIPs}}}   # dual stack
//! - {name: POD_NAME,      valueFrom: {fieldRef: {fieldPath: metadata.name}}}
//! - {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
//! - {name: POD_UID,       valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
//! - {name: NODE_NAME,     valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
//! - {name: HOST_IP,       valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
//! ```

mod address;
mod environment;
mod variables;

pub use address::IpFamily;
pub(crate) use address::{Choice, find, in_url, told};
pub(crate) use environment::{Environment, route};
pub(crate) use variables::Variables;
