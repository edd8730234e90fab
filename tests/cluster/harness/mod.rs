//! A real Kubernetes control plane, CoreDNS and kube-proxy, in namespaces of the test's own: see `README.md`.

mod api;
mod cluster;
mod components;
mod dns;
mod keys;
mod kubelet;
mod neighbour;
mod node;
mod options;
mod packets;
mod place;
mod program;
mod programs;
mod wait;

pub(crate) use self::{
    cluster::{Cluster, PATIENCE, on_cluster},
    components::NODE_NAME,
    neighbour::{GATEWAY, Neighbour},
    node::{MOUNT_TAG, NODE_IP},
    options::{Options, ProxyMode},
    place::Place,
    wait::is_ready,
};

/// What goes wrong in a harness is told, and ends the test.
pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
