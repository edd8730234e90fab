//! `v1.Node`.

use k8s_openapi::api::core::v1::{self, NodeAddress};

use super::{super::Node, names};

impl From<&v1::Node> for Node {
    /// Takes the addresses from the status: internal addresses first, then external ones, which is the order in which
    /// kube-proxy looks for the primary address (k/k pkg/util/node `GetNodeHostIPs`).
    ///
    /// The API does not list the other addresses of the node's interfaces. iptables mode serves node ports there as
    /// well, so push them onto `addresses` if the node has any.
    fn from(node: &v1::Node) -> Self {
        let (_, name) = names(&node.metadata);
        let status = node.status.as_ref().and_then(|status| status.addresses.as_ref());
        let of_kind = |kind: &'static str| {
            let is = move |address: &&NodeAddress| address.type_ == kind;
            status.into_iter().flatten().filter(is).map(|address| address.address.clone())
        };
        Self {
            name,
            labels: node.metadata.labels.clone().unwrap_or_default(),
            addresses: of_kind("InternalIP").chain(of_kind("ExternalIP")).collect(),
        }
    }
}
