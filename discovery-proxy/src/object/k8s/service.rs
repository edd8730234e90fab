//! `v1.Service`.

use std::str::FromStr;

use k8s_openapi::{
    api::core::v1::{self, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    super::{IpFamily, IpMode, LoadBalancerIngress, Service, ServicePort},
    list, names, protocol, text,
};

impl From<&v1::Service> for Service {
    fn from(service: &v1::Service) -> Self {
        let (namespace, name) = names(&service.metadata);
        let load_balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let ingress = load_balancer.and_then(|status| status.ingress.as_ref());
        let load_balancer_ingress = list(ingress, |ingress| Some(ingress.into()));
        let Some(spec) = &service.spec else {
            return Self { namespace, name, load_balancer_ingress, ..Self::default() };
        };
        let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
        Self {
            namespace,
            name,
            service_type: spelled(spec.type_.as_deref()),
            cluster_ip: text(spec.cluster_ip.as_ref()),
            cluster_ips: spec.cluster_ips.clone().unwrap_or_default(),
            ip_families: ip_families(spec),
            ports: list(spec.ports.as_ref(), port),
            external_ips: spec.external_ips.clone().unwrap_or_default(),
            external_name: text(spec.external_name.as_ref()),
            external_traffic_policy: spelled(spec.external_traffic_policy.as_deref()),
            internal_traffic_policy: spelled(spec.internal_traffic_policy.as_deref()),
            session_affinity: spelled(spec.session_affinity.as_deref()),
            session_affinity_timeout: config.and_then(|config| config.timeout_seconds),
            load_balancer_ip: text(spec.load_balancer_ip.as_ref()),
            load_balancer_source_ranges: spec.load_balancer_source_ranges.clone().unwrap_or_default(),
            load_balancer_ingress,
            health_check_node_port: spec.health_check_node_port.unwrap_or(0),
        }
    }
}

impl From<&v1::LoadBalancerIngress> for LoadBalancerIngress {
    fn from(ingress: &v1::LoadBalancerIngress) -> Self {
        Self {
            ip: text(ingress.ip.as_ref()),
            hostname: text(ingress.hostname.as_ref()),
            ip_mode: ingress.ip_mode.as_deref().map(|mode| mode.parse().unwrap_or(IpMode::Vip)),
        }
    }
}

/// The families up to the first unknown one: each belongs to the address with the same index.
fn ip_families(spec: &ServiceSpec) -> Vec<IpFamily> {
    spec.ip_families.iter().flatten().map_while(|family| family.parse().ok()).collect()
}

fn port(port: &v1::ServicePort) -> Option<ServicePort> {
    Some(ServicePort {
        name: text(port.name.as_ref()),
        protocol: protocol(port.protocol.as_ref())?,
        port: port.port,
        node_port: port.node_port.unwrap_or(0),
        target_port: match &port.target_port {
            Some(IntOrString::Int(number)) => number.to_string(),
            Some(IntOrString::String(name)) => name.clone(),
            None => String::new(),
        },
    })
}

/// The value of an enum; the default if the text is absent or unknown.
fn spelled<T: FromStr + Default>(text: Option<&str>) -> T {
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}
