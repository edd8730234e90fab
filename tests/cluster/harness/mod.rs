//! A real Kubernetes control plane, CoreDNS and kube-proxy, in namespaces of the test's own: see `README.md`.

mod api;
mod cluster;
mod components;
mod dns;
mod keys;
mod kubelet;
mod node;
mod options;
mod packets;
mod place;
mod program;
mod programs;
mod wait;

pub(crate) use self::{
    cluster::{Cluster, PATIENCE, on_cluster},
    node::MOUNT_TAG,
    options::{Options, ProxyMode},
    wait::is_ready,
};

/// What goes wrong in a harness is told, and ends the test.
pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
