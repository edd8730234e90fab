//! `v1.Service`.

use super::{IpFamily, Protocol};

/// A Service: one name, one or more virtual addresses, one or more ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `spec.type`.
    pub service_type: ServiceType,
    /// `spec.clusterIP`: an address, `None` for a headless Service, or nothing.
    pub cluster_ip: String,
    /// `spec.clusterIPs`: the first is `cluster_ip`.
    pub cluster_ips: Vec<String>,
    /// `spec.ipFamilies`: `cluster_ips[i]` is of family `ip_families[i]`.
    pub ip_families: Vec<IpFamily>,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// `spec.externalIPs`: addresses that somebody else routes to the nodes.
    pub external_ips: Vec<String>,
    /// `spec.externalName`: what an `ExternalName` Service is an alias of; DNS only.
    pub external_name: String,
    /// `spec.externalTrafficPolicy`, for external addresses, load balancer addresses and node ports.
    pub external_traffic_policy: TrafficPolicy,
    /// `spec.internalTrafficPolicy`, for the cluster IP.
    pub internal_traffic_policy: TrafficPolicy,
    /// `spec.sessionAffinity`.
    pub session_affinity: Affinity,
    /// `spec.sessionAffinityConfig.clientIP.timeoutSeconds`; three hours when absent.
    pub session_affinity_timeout: Option<i32>,
    /// `spec.loadBalancerIP`: a wish to the cloud. kube-proxy never reads it.
    pub load_balancer_ip: String,
    /// `spec.loadBalancerSourceRanges`: who may use the load balancer's addresses.
    pub load_balancer_source_ranges: Vec<String>,
    /// `status.loadBalancer.ingress`: the addresses that the cloud has given.
    pub load_balancer_ingress: Vec<LoadBalancerIngress>,
    /// `spec.healthCheckNodePort`: where the load balancer asks whether this node has endpoints.
    pub health_check_node_port: i32,
}

/// One entry of `spec.ports`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServicePort {
    /// What slices match it by, together with the protocol; may be empty when it is the only one.
    pub name: String,
    /// TCP unless said otherwise.
    pub protocol: Protocol,
    /// The port of the virtual addresses.
    pub port: i32,
    /// The port on each node; 0 is none.
    pub node_port: i32,
    /// `targetPort`, a number or a name. It tells the slice controller which port to write; kube-proxy dials the
    /// slice's number and never looks at this one.
    pub target_port: String,
}

/// `spec.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceType {
    /// Reachable inside the cluster.
    #[default]
    ClusterIp,
    /// And on a port of every node.
    NodePort,
    /// And through a load balancer.
    LoadBalancer,
    /// A DNS alias: no address, nothing to proxy.
    ExternalName,
}

/// Which endpoints a kind of traffic may go to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrafficPolicy {
    /// Any of the cluster.
    #[default]
    Cluster,
    /// Only those on this node.
    Local,
}

/// `spec.sessionAffinity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Affinity {
    /// Each connection is on its own.
    #[default]
    None,
    /// A client address stays with its endpoint for a while.
    ClientIp,
}

/// One entry of `status.loadBalancer.ingress`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadBalancerIngress {
    /// The address; empty when the cloud gives a host name.
    pub ip: String,
    /// The host name, of no use to kube-proxy.
    pub hostname: String,
    /// Whether nodes capture the address; as `Vip` when absent.
    pub ip_mode: Option<IpMode>,
}

/// `ipMode` of a load balancer's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IpMode {
    /// Packets arrive with the address as destination: nodes capture it, and their own traffic takes the short way.
    Vip,
    /// The load balancer ends connections itself and dials the node: nodes leave the address alone.
    Proxy,
}
