//! `v1.Node`.

use k8s_openapi::api::core::v1::{self, NodeAddress};

use super::{super::Node, names};

impl From<&v1::Node> for Node {
    /// The addresses are those of its status: internal ones first, then external ones, as kube-proxy looks for the
    /// primary one (k/k pkg/util/node `GetNodeHostIPs`). Other addresses of its interfaces the API does not know:
    /// iptables mode has node ports on them too, so push them if there are any.
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
