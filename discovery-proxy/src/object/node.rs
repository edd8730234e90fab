//! `v1.Node`: the node that the proxy runs on.

use std::collections::BTreeMap;

/// The label that holds a node's zone.
pub const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// The node that the proxy runs on. Objects of other nodes are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.labels`, including [`ZONE_LABEL`].
    pub labels: BTreeMap<String, String>,
    /// The addresses of the node's interfaces, of either family. The first address of a family is the primary one.
    /// Loopback may be left out.
    pub addresses: Vec<String>,
}
