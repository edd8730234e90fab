//! A generated cluster, in the two forms that are compared: API objects for CoreDNS, and calls to `FakeDns`.

use std::{collections::BTreeSet, net::IpAddr};

use discovery_testing::{FakeDns, Pod, Service};
use serde_json::{Value, json};

/// Namespaces, the Services in them, and names outside of the cluster.
#[derive(Debug, Default)]
pub(super) struct World {
    /// All namespaces, including those without a Service.
    pub(super) namespaces: Vec<String>,
    pub(super) services: Vec<DnsService>,
    pub(super) outside: Vec<Outside>,
}

/// A Service with its endpoints.
#[derive(Debug)]
pub(super) struct DnsService {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) ports: Vec<Port>,
    pub(super) backends: Vec<Backend>,
    /// Whether the test writes the EndpointSlices, instead of pods matching a selector.
    pub(super) manual: bool,
    pub(super) publish_not_ready: bool,
}

#[derive(Debug)]
pub(super) enum Kind {
    ClusterIp(Vec<IpAddr>),
    Headless,
    ExternalName(String),
}

#[derive(Clone, Debug)]
pub(super) struct Port {
    /// Empty if the port has no name.
    pub(super) name: String,
    pub(super) protocol: &'static str,
    pub(super) number: u16,
}

#[derive(Debug)]
pub(super) struct Backend {
    /// All addresses of the pod.
    pub(super) ips: Vec<IpAddr>,
    /// The addresses of the Service's families.
    pub(super) served: Vec<IpAddr>,
    pub(super) hostname: Option<String>,
    pub(super) ready: bool,
    /// Its number of the Service's first port, if it differs; only in EndpointSlices that the test writes.
    pub(super) own_port: Option<u16>,
}

/// A record of the upstream resolver, for a name outside of the cluster.
#[derive(Debug)]
pub(super) enum Outside {
    Address(String, IpAddr),
    Alias(String, String),
}

impl World {
    /// Adds the names outside of the cluster to a server.
    pub(super) fn declare_outside(&self, dns: &FakeDns) {
        for outside in &self.outside {
            match outside {
                Outside::Address(name, ip) => dns.record(name, *ip),
                Outside::Alias(name, target) => dns.cname(name, target),
            }
        }
    }

    /// Adds everything to `FakeDns`.
    pub(super) fn declare(&self, dns: &FakeDns) {
        for namespace in &self.namespaces {
            dns.namespace(namespace);
        }
        self.services.iter().map(DnsService::service).for_each(|service| dns.apply(service));
        self.declare_outside(dns);
    }

    /// The API objects in an order in which they can be created. A pod's `status` has to be patched separately.
    pub(super) fn objects(&self) -> Vec<Value> {
        let namespaces = self
            .namespaces
            .iter()
            .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        namespaces.chain(self.services.iter().flat_map(DnsService::objects)).collect()
    }
}

impl DnsService {
    /// The Service as `FakeDns` takes it.
    fn service(&self) -> Service {
        let mut service = match &self.kind {
            Kind::ClusterIp(ips) => {
                ips.iter().fold(Service::cluster_ip(&self.namespace, &self.name), |service, ip| service.ip(*ip))
            }
            Kind::Headless => Service::headless(&self.namespace, &self.name),
            Kind::ExternalName(target) => return Service::external_name(&self.namespace, &self.name, target),
        };
        for port in &self.ports {
            service = match (port.name.as_str(), port.protocol) {
                ("", _) => service.unnamed_port(port.number),
                (name, "UDP") => service.udp_port(name, port.number),
                (name, "SCTP") => service.sctp_port(name, port.number),
                (name, _) => service.port(name, port.number),
            };
        }
        if self.publish_not_ready {
            service = service.publish_not_ready_addresses();
        }
        let first = self.ports.first().map_or("", |port| port.name.as_str());
        self.backends.iter().fold(service, |service, backend| service.pod(backend.pod(first)))
    }

    fn objects(&self) -> Vec<Value> {
        let mut objects = vec![self.service_object()];
        if matches!(self.kind, Kind::ExternalName(_)) {
            return objects;
        }
        if self.manual {
            let own_ports: BTreeSet<Option<u16>> = self.backends.iter().map(|backend| backend.own_port).collect();
            for own_port in own_ports {
                objects.extend([false, true].into_iter().filter_map(|v6| self.slice(v6, own_port)));
            }
        } else {
            objects.extend(self.backends.iter().enumerate().map(|(at, backend)| self.pod_object(at, backend)));
        }
        objects
    }

    fn service_object(&self) -> Value {
        let mut spec = match &self.kind {
            Kind::ExternalName(target) => json!({"type": "ExternalName", "externalName": target}),
            Kind::Headless => json!({
                "clusterIP": "None",
                "ipFamilyPolicy": "RequireDualStack",
                "publishNotReadyAddresses": self.publish_not_ready,
            }),
            Kind::ClusterIp(ips) => json!({
                "clusterIP": ips[0],
                "clusterIPs": ips,
                "ipFamilies": ips.iter().map(|ip| if ip.is_ipv4() { "IPv4" } else { "IPv6" }).collect::<Vec<_>>(),
                "ipFamilyPolicy": if ips.len() > 1 { "RequireDualStack" } else { "SingleStack" },
                "publishNotReadyAddresses": self.publish_not_ready,
            }),
        };
        if !self.manual && !matches!(self.kind, Kind::ExternalName(_)) {
            spec["selector"] = json!({"app": self.name});
        }
        if !self.ports.is_empty() {
            spec["ports"] = self.ports.iter().map(Port::service_json).collect();
        }
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"namespace": self.namespace, "name": self.name},
            "spec": spec,
        })
    }

    /// A pod that no kubelet runs: the test writes its status.
    fn pod_object(&self, at: usize, backend: &Backend) -> Value {
        let ips: Vec<Value> = backend.ips.iter().map(|ip| json!({"ip": ip})).collect();
        let mut spec = json!({
            "nodeName": "nowhere",
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": "none"}],
        });
        if let Some(hostname) = &backend.hostname {
            spec["hostname"] = json!(hostname);
            spec["subdomain"] = json!(self.name);
        }
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "namespace": self.namespace,
                "name": format!("{}-{at}", self.name),
                "labels": {"app": self.name},
            },
            "spec": spec,
            "status": {
                "phase": "Running",
                "podIP": backend.ips[0],
                "podIPs": ips,
                "conditions": [{"type": "Ready", "status": if backend.ready { "True" } else { "False" }}],
            },
        })
    }

    /// The endpoints of one family that have the same ports.
    fn slice(&self, v6: bool, own_port: Option<u16>) -> Option<Value> {
        let endpoints: Vec<Value> = self
            .backends
            .iter()
            .filter(|backend| backend.own_port == own_port)
            .flat_map(|backend| backend.ips.iter().filter(|ip| ip.is_ipv6() == v6).map(move |ip| backend.endpoint(ip)))
            .collect();
        let (suffix, family) = if v6 { ("v6", "IPv6") } else { ("v4", "IPv4") };
        let mut ports = self.ports.clone();
        if let (Some(first), Some(own)) = (ports.first_mut(), own_port) {
            first.number = own;
        }
        (!endpoints.is_empty()).then(|| {
            json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "namespace": self.namespace,
                    "name": format!("{}-{suffix}-{}", self.name, own_port.unwrap_or_default()),
                    "labels": {
                        "kubernetes.io/service-name": self.name,
                        "endpointslice.kubernetes.io/managed-by": "differential",
                    },
                },
                "addressType": family,
                "ports": ports.iter().map(Port::slice_json).collect::<Vec<_>>(),
                "endpoints": endpoints,
            })
        })
    }
}

impl Port {
    fn service_json(&self) -> Value {
        let mut port = json!({"port": self.number, "targetPort": self.number, "protocol": self.protocol});
        if !self.name.is_empty() {
            port["name"] = json!(self.name);
        }
        port
    }

    fn slice_json(&self) -> Value {
        json!({"name": self.name, "port": self.number, "protocol": self.protocol})
    }
}

impl Backend {
    /// The pod as `FakeDns` takes it; `first` is the name of the Service's first port.
    fn pod(&self, first: &str) -> Pod {
        let mut pod = Pod::new(self.served[0]);
        if let Some(number) = self.own_port {
            pod = pod.port(first, number);
        }
        for ip in &self.served[1..] {
            pod = pod.with_ip(*ip);
        }
        if let Some(hostname) = &self.hostname {
            pod = pod.hostname(hostname);
        }
        if self.ready { pod } else { pod.not_ready() }
    }

    fn endpoint(&self, ip: &IpAddr) -> Value {
        let mut endpoint = json!({"addresses": [ip], "conditions": {"ready": self.ready}});
        if let Some(hostname) = &self.hostname {
            endpoint["hostname"] = json!(hostname);
        }
        endpoint
    }
}
