//! A real Kubernetes control plane, CoreDNS and kube-proxy in their own Linux namespaces; see `README.md`.

mod api;
mod cluster;
mod components;
mod dns;
mod keys;
mod kubelet;
mod namespaces;
mod neighbor;
mod node;
mod options;
mod packets;
mod program;
mod programs;
mod wait;

pub(crate) use self::{
    cluster::{Cluster, PATIENCE, on_cluster},
    components::NODE_NAME,
    dns::{IN_COREFILE, VIRTUAL},
    namespaces::Namespaces,
    neighbor::{GATEWAY, Neighbor},
    node::{MOUNT_TAG, NODE_IP},
    options::{Options, ProxyMode},
    packets::PacketLoss,
    wait::is_ready,
};

/// The result of a harness operation. An error only has to be readable: it ends the test.
pub(crate) type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;
