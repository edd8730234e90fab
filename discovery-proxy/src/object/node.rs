//! `v1.Node`: the one that the proxy runs on.

use std::collections::BTreeMap;

/// The label that holds a node's zone.
pub const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// The node that the proxy runs on. Objects of other nodes are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`, with [`ZONE_LABEL`].
    pub labels: BTreeMap<String, String>,
    /// The addresses of its interfaces, of either family. The first of a family is its primary one. Loopback
    /// need not be among them.
    pub addresses: Vec<String>,
}
