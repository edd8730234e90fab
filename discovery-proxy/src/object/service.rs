//! `v1.Service`.

use super::{IpFamily, Protocol, spelling::spelled};

/// A Service: one name for one or more virtual addresses and one or more ports.
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
    /// `spec.externalIPs`: addresses that are routed to the nodes by means outside of Kubernetes.
    pub external_ips: Vec<String>,
    /// `spec.externalName`: the name that an `ExternalName` Service is a DNS alias of.
    pub external_name: String,
    /// `spec.externalTrafficPolicy`, for external addresses, load balancer addresses and node ports.
    pub external_traffic_policy: TrafficPolicy,
    /// `spec.internalTrafficPolicy`, for the cluster IP.
    pub internal_traffic_policy: TrafficPolicy,
    /// `spec.sessionAffinity`.
    pub session_affinity: Affinity,
    /// `spec.sessionAffinityConfig.clientIP.timeoutSeconds`; three hours when absent.
    pub session_affinity_timeout: Option<i32>,
    /// `spec.loadBalancerIP`: the address requested from the cloud provider. kube-proxy never reads it.
    pub load_balancer_ip: String,
    /// `spec.loadBalancerSourceRanges`: the clients that may use the load balancer's addresses.
    pub load_balancer_source_ranges: Vec<String>,
    /// `status.loadBalancer.ingress`: the addresses that the cloud provider assigned.
    pub load_balancer_ingress: Vec<LoadBalancerIngress>,
    /// `spec.healthCheckNodePort`: the port where the load balancer asks whether this node has endpoints.
    pub health_check_node_port: i32,
}

/// One entry of `spec.ports`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServicePort {
    /// The name that slices match, together with the protocol. It may be empty if the Service has one port.
    pub name: String,
    /// The protocol; TCP by default.
    pub protocol: Protocol,
    /// The port of the virtual addresses.
    pub port: i32,
    /// The port on each node; 0 for a port without a node port.
    pub node_port: i32,
    /// `targetPort`, a number or a name. The slice controller reads it to decide which port to write; kube-proxy dials
    /// the slice's number and never reads `targetPort`.
    pub target_port: String,
}

/// `spec.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceType {
    /// Reachable inside the cluster.
    #[default]
    ClusterIp,
    /// Also reachable on a port of every node.
    NodePort,
    /// Also reachable through a load balancer.
    LoadBalancer,
    /// A DNS alias without an address; it is not proxied.
    ExternalName,
}

spelled!(ServiceType or ClusterIp: ClusterIp = "ClusterIP", ExternalName = "ExternalName", LoadBalancer = "LoadBalancer", NodePort = "NodePort");

/// The endpoints that a kind of traffic may go to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrafficPolicy {
    /// The endpoints of all nodes.
    #[default]
    Cluster,
    /// Only the endpoints on this node.
    Local,
}

spelled!(TrafficPolicy or Cluster: Cluster = "Cluster", Local = "Local");

/// `spec.sessionAffinity`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Affinity {
    /// Every connection is balanced on its own.
    #[default]
    None,
    /// Connections from one client address go to the same endpoint until a timeout.
    ClientIp,
}

spelled!(Affinity or None: ClientIp = "ClientIP", None = "None");

/// One entry of `status.loadBalancer.ingress`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadBalancerIngress {
    /// The address; empty if the cloud provider assigned a host name.
    pub ip: String,
    /// The host name, which kube-proxy ignores.
    pub hostname: String,
    /// Whether nodes capture the address; `Vip` when absent.
    pub ip_mode: Option<IpMode>,
}

/// `ipMode` of a load balancer's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IpMode {
    /// Packets arrive with this address as destination. Nodes capture it, and traffic from the node does not pass
    /// through the load balancer.
    Vip,
    /// The load balancer terminates connections and dials the node. Nodes do not capture the address.
    Proxy,
}

spelled!(IpMode: Proxy = "Proxy", Vip = "VIP");
