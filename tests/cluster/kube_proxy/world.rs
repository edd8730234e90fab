//! A generated cluster and its API objects.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use super::network::TARGETS;

/// The namespace of all generated Services.
pub(super) const NAMESPACE: &str = "proxied";

/// A generated cluster: Services, each with its own addresses and node ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct World {
    pub(super) services: Vec<ProxiedService>,
}

/// A Service and its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProxiedService {
    /// Determines the Service's name, addresses and node ports.
    pub(super) number: u8,
    pub(super) kind: Kind,
    pub(super) ports: Vec<Port>,
    pub(super) external_ip: bool,
    pub(super) external_local: bool,
    pub(super) internal_local: bool,
    /// Seconds of `ClientIP` affinity.
    pub(super) affinity: Option<u32>,
    pub(super) source_ranges: Vec<&'static str>,
    /// The `ipMode` of the load balancer's address, `Proxy` or `VIP`; `None` leaves the default, `VIP`.
    pub(super) ip_mode: Option<&'static str>,
    pub(super) endpoint_objects: EndpointObjects,
    pub(super) endpoints: Vec<Endpoint>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ClusterIp,
    NodePort,
    LoadBalancer,
    Headless,
    ExternalName,
}

/// The API objects that hold a Service's endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndpointObjects {
    /// This many EndpointSlices, written by the test.
    Slices(u8),
    /// An Endpoints object, written by the test, which the controller mirrors into slices.
    Endpoints,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) protocol: Protocol,
    pub(super) number: u16,
    /// The port on which the pods listen.
    pub(super) target: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    pub(super) const BOTH: [Self; 2] = [Self::Tcp, Self::Udp];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// The pod's address.
    pub(super) ip: Ipv4Addr,
    pub(super) ready: Option<bool>,
    pub(super) serving: Option<bool>,
    pub(super) terminating: Option<bool>,
    pub(super) node: Option<&'static str>,
    pub(super) zones: Vec<&'static str>,
    pub(super) nodes: Vec<&'static str>,
    /// The index of the slice that holds the endpoint.
    pub(super) slice: u8,
}

impl ProxiedService {
    /// A Service with a cluster IP and TCP port 80, without endpoints.
    pub(super) fn plain(number: u8) -> Self {
        Self {
            number,
            kind: Kind::ClusterIp,
            ports: vec![Port { protocol: Protocol::Tcp, number: 80, target: TARGETS[0] }],
            external_ip: false,
            external_local: false,
            internal_local: false,
            affinity: None,
            source_ranges: Vec::new(),
            ip_mode: None,
            endpoint_objects: EndpointObjects::Slices(1),
            endpoints: Vec::new(),
        }
    }

    pub(super) fn name(&self) -> String {
        format!("s{}", self.number)
    }

    pub(super) const fn cluster_ip(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 96, 7, self.number)
    }

    pub(super) const fn external(&self) -> Ipv4Addr {
        Ipv4Addr::new(203, 0, 113, self.number)
    }

    pub(super) const fn load_balancer(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, 0, self.number)
    }

    /// The node port of the port at index `at`.
    pub(super) fn node_port(&self, at: usize) -> u16 {
        30_000 + 4 * u16::from(self.number) + at as u16
    }

    pub(super) const fn has_node_ports(&self) -> bool {
        matches!(self.kind, Kind::NodePort | Kind::LoadBalancer)
    }

    /// The API objects in an order in which they can be created. The first is the Service.
    pub(super) fn objects(&self) -> Vec<Value> {
        let mut objects = vec![self.service()];
        match self.endpoint_objects {
            EndpointObjects::Slices(count) => objects.extend((0..count).map(|at| self.slice(at))),
            EndpointObjects::Endpoints => objects.push(self.endpoints_object()),
        }
        objects
    }

    fn service(&self) -> Value {
        let mut spec = json!({
            "type": match self.kind {
                Kind::ClusterIp | Kind::Headless => "ClusterIP",
                Kind::NodePort => "NodePort",
                Kind::LoadBalancer => "LoadBalancer",
                Kind::ExternalName => "ExternalName",
            },
            "ports": self.ports.iter().enumerate().map(|(at, port)| self.port(at, port)).collect::<Vec<_>>(),
        });
        match self.kind {
            Kind::ExternalName => spec["externalName"] = json!("elsewhere.example.com"),
            Kind::Headless => spec["clusterIP"] = json!("None"),
            _ => spec["clusterIP"] = json!(self.cluster_ip()),
        }
        if self.external_ip {
            spec["externalIPs"] = json!([self.external()]);
        }
        // The API server rejects a policy for external traffic if the Service has no external address.
        if self.external_local && self.kind != Kind::ExternalName && (self.has_node_ports() || self.external_ip) {
            spec["externalTrafficPolicy"] = json!("Local");
            if self.kind == Kind::LoadBalancer {
                // A fixed port, because the API server might allocate one on which the node itself listens.
                spec["healthCheckNodePort"] = json!(32_000 + u16::from(self.number));
            }
        }
        if self.internal_local {
            spec["internalTrafficPolicy"] = json!("Local");
        }
        if let Some(seconds) = self.affinity {
            spec["sessionAffinity"] = json!("ClientIP");
            spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": seconds}});
        }
        if self.kind == Kind::LoadBalancer && !self.source_ranges.is_empty() {
            spec["loadBalancerSourceRanges"] = json!(self.source_ranges);
        }
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"namespace": NAMESPACE, "name": self.name()},
            "spec": spec,
        })
    }

    /// The status that a cloud provider would write.
    pub(super) fn status(&self) -> Option<Value> {
        let mut ingress = json!({"ip": self.load_balancer()});
        if let Some(mode) = self.ip_mode {
            ingress["ipMode"] = json!(mode);
        }
        (self.kind == Kind::LoadBalancer).then(|| {
            json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"namespace": NAMESPACE, "name": self.name()},
                "status": {"loadBalancer": {"ingress": [ingress]}},
            })
        })
    }

    fn port(&self, at: usize, port: &Port) -> Value {
        let mut object = json!({
            "name": port_name(at), "protocol": port.protocol.as_str(), "port": port.number, "targetPort": port.target,
        });
        if self.has_node_ports() {
            object["nodePort"] = json!(self.node_port(at));
        }
        object
    }

    fn slice(&self, at: u8) -> Value {
        let port = |(at, port): (usize, &Port)| json!({"name": port_name(at), "protocol": port.protocol.as_str(), "port": port.target});
        let endpoints = self.endpoints.iter().filter(|endpoint| endpoint.slice == at);
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "namespace": NAMESPACE, "name": format!("{}-{at}", self.name()),
                "labels": {
                    "kubernetes.io/service-name": self.name(),
                    "endpointslice.kubernetes.io/managed-by": "tests",
                },
            },
            "addressType": "IPv4",
            "ports": self.ports.iter().enumerate().map(port).collect::<Vec<_>>(),
            "endpoints": endpoints.map(Endpoint::object).collect::<Vec<_>>(),
        })
    }

    fn endpoints_object(&self) -> Value {
        let port = |(at, port): (usize, &Port)| json!({"name": port_name(at), "protocol": port.protocol.as_str(), "port": port.target});
        let addresses = |ready: bool| -> Vec<Value> {
            let of = self.endpoints.iter().filter(|endpoint| endpoint.ready.unwrap_or(true) == ready);
            of.map(|endpoint| json!({"ip": endpoint.ip, "nodeName": endpoint.node})).collect()
        };
        let ports: Vec<Value> = self.ports.iter().enumerate().map(port).collect();
        let subset = json!({"addresses": addresses(true), "notReadyAddresses": addresses(false), "ports": ports});
        json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {"namespace": NAMESPACE, "name": self.name()},
            "subsets": if self.endpoints.is_empty() { Vec::new() } else { vec![subset] },
        })
    }
}

impl Endpoint {
    /// An endpoint with nothing but an address: no conditions, no node name, no hints.
    pub(super) const fn at(ip: Ipv4Addr) -> Self {
        Self {
            ip,
            ready: None,
            serving: None,
            terminating: None,
            node: None,
            zones: Vec::new(),
            nodes: Vec::new(),
            slice: 0,
        }
    }

    fn object(&self) -> Value {
        let mut conditions = json!({});
        for (name, value) in [("ready", self.ready), ("serving", self.serving), ("terminating", self.terminating)] {
            if let Some(value) = value {
                conditions[name] = json!(value);
            }
        }
        let mut object = json!({"addresses": [self.ip], "conditions": conditions});
        if let Some(node) = self.node {
            object["nodeName"] = json!(node);
        }
        let named = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
        if !self.zones.is_empty() {
            object["hints"]["forZones"] = json!(named(&self.zones));
        }
        if !self.nodes.is_empty() {
            object["hints"]["forNodes"] = json!(named(&self.nodes));
        }
        object
    }
}

/// The name that matches a port of a slice to the port of its Service.
fn port_name(at: usize) -> String {
    format!("p{at}")
}
