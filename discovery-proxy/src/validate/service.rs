//! Validates a Service. Source: k/k pkg/apis/core/validation/validation.go (`ValidateService`), and the allocators in
//! pkg/registry/core/service.

use std::collections::BTreeSet;

use super::{
    FieldError, NAME_REQUIRED, Rules, dns_1035_label, dns_1123_label, dns_1123_subdomain, missing, non_special_ip,
    not_an_ip, port_number, port_number_or_name,
};
use crate::{
    Cidr,
    object::{Affinity, IpFamily, IpMode, Service, ServicePort, ServiceType, TrafficPolicy},
    parse_ip,
};

pub(super) fn validate(service: &Service, rules: &Rules) -> Vec<FieldError> {
    let (name, namespace) = (&service.name, &service.namespace);
    let mut errors = Vec::new();
    errors.extend(missing("metadata.name", name, NAME_REQUIRED).or_else(|| dns_1035_label("metadata.name", name)));
    errors.extend(
        missing("metadata.namespace", namespace, "").or_else(|| dns_1123_label("metadata.namespace", namespace)),
    );
    if service.service_type == ServiceType::ExternalName {
        alias(service, &mut errors);
    } else {
        cluster_ips(service, rules, &mut errors);
    }
    ports(service, rules, &mut errors);
    affinity(service, &mut errors);
    external(service, rules, &mut errors);
    errors
}

fn is_headless(service: &Service) -> bool {
    service.cluster_ip == "None"
}

/// An `ExternalName` Service needs a name and must not have an address.
fn alias(service: &Service, errors: &mut Vec<FieldError>) {
    if !service.cluster_ip.is_empty() {
        errors.push(FieldError::forbidden("spec.clusterIP", "may not be set for ExternalName services"));
    }
    // A final dot makes the name absolute.
    let name = service.external_name.strip_suffix('.').unwrap_or(&service.external_name);
    let field = "spec.externalName";
    errors.extend(missing(field, name, "").or_else(|| dns_1123_subdomain(field, name)));
}

fn cluster_ips(service: &Service, rules: &Rules, errors: &mut Vec<FieldError>) {
    for (at, family) in service.ip_families.iter().enumerate() {
        if service.ip_families.iter().take(at).any(|earlier| earlier == family) {
            errors.push(FieldError::duplicate(format!("spec.ipFamilies[{at}]"), family.as_str()));
        }
    }
    let of_one_family = |all: &[String]| {
        let mut families = all.iter().filter_map(|text| parse_ip(text)).map(IpFamily::from_ip);
        families.next().is_some_and(|first| families.next() == Some(first))
    };
    if service.cluster_ips.len() == 2 && of_one_family(&service.cluster_ips) {
        let detail = "may specify no more than one IP for each IP family";
        errors.push(FieldError::invalid("spec.clusterIPs", &service.cluster_ips, detail));
    }
    if service.cluster_ips.len() > 2 {
        let detail = "may only hold up to 2 values";
        errors.push(FieldError::invalid("spec.clusterIPs", &service.cluster_ips, detail));
    }
    if service.cluster_ips.first().is_some_and(|first| *first != service.cluster_ip) {
        let detail = "first value must match `clusterIP`";
        errors.push(FieldError::invalid("spec.clusterIPs", &service.cluster_ips, detail));
    }
    let single = [service.cluster_ip.clone()];
    let all = if service.cluster_ips.is_empty() { &single[..] } else { &service.cluster_ips };
    for (at, text) in all.iter().enumerate().filter(|(_, text)| !matches!(text.as_str(), "" | "None")) {
        let field = format!("spec.clusterIPs[{at}]");
        let Some(ip) = parse_ip(text) else {
            errors.push(not_an_ip(&field, text));
            continue;
        };
        let family = IpFamily::from_ip(ip);
        if service.ip_families.get(at).is_some_and(|wanted| *wanted != family) {
            errors.push(FieldError::invalid(&field, text, format!("expected an {} value", other(family))));
        }
        let ranges = || rules.service_cidrs.iter().filter(|range| range.family() == family);
        if ranges().next().is_some() && !ranges().any(|range| range.contains(ip)) {
            let valid: Vec<_> = ranges().map(Cidr::to_string).collect();
            let detail = format!(
                "failed to allocate IP {ip}: the provided IP ({ip}) is not in the valid range. The range of valid IPs is {}",
                valid.join(", ")
            );
            errors.push(FieldError::invalid("spec.clusterIPs", all, detail));
        }
    }
    if is_headless(service) && service.service_type != ServiceType::ClusterIp {
        let detail = "may not be set to 'None' for NodePort and LoadBalancer services";
        errors.push(FieldError::invalid("spec.clusterIPs[0]", &service.cluster_ip, detail));
    }
}

const fn other(family: IpFamily) -> IpFamily {
    match family {
        IpFamily::V4 => IpFamily::V6,
        IpFamily::V6 => IpFamily::V4,
    }
}

fn ports(service: &Service, rules: &Rules, errors: &mut Vec<FieldError>) {
    if service.ports.is_empty() && !is_headless(service) && service.service_type != ServiceType::ExternalName {
        errors.push(FieldError::required("spec.ports", ""));
    }
    let (mut names, mut numbers, mut node_ports) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (at, port) in service.ports.iter().enumerate() {
        let field = |name: &str| format!("spec.ports[{at}].{name}");
        if port.name.is_empty() {
            if service.ports.len() > 1 {
                errors.push(FieldError::required(field("name"), ""));
            }
        } else {
            errors.extend(dns_1123_label(&field("name"), &port.name));
            if !names.insert(&port.name) {
                errors.push(FieldError::duplicate(field("name"), &port.name));
            }
        }
        errors.extend(port_number(&field("port"), port.port));
        if !port.target_port.is_empty() {
            errors.extend(port_number_or_name(&field("targetPort"), &port.target_port));
        }
        if !numbers.insert((port.port, port.protocol)) {
            errors.push(FieldError::duplicate(format!("spec.ports[{at}]"), port.port));
        }
        if port.node_port != 0 {
            errors.extend(node_port(service, port, &field("nodePort"), rules));
            if !node_ports.insert((port.node_port, port.protocol)) {
                errors.push(FieldError::duplicate(field("nodePort"), port.node_port));
            }
        }
    }
}

fn node_port(service: &Service, port: &ServicePort, field: &str, rules: &Rules) -> Option<FieldError> {
    if matches!(service.service_type, ServiceType::ClusterIp | ServiceType::ExternalName) {
        return Some(FieldError::forbidden(field, "may not be used when `type` is 'ClusterIP'"));
    }
    in_range(field, port.node_port, rules)
}

/// Checks that the allocator of node ports could give out the port.
fn in_range(field: &str, node_port: i32, rules: &Rules) -> Option<FieldError> {
    let (first, last) = (rules.node_ports.start(), rules.node_ports.end());
    let detail = format!("provided port is not in the valid range. The range of valid ports is {first}-{last}");
    (!rules.node_ports.contains(&node_port)).then(|| FieldError::invalid(field, node_port, detail))
}

fn affinity(service: &Service, errors: &mut Vec<FieldError>) {
    const CONFIG: &str = "spec.sessionAffinityConfig";
    match (service.session_affinity, service.session_affinity_timeout) {
        (Affinity::None, Some(_)) => {
            errors.push(FieldError::forbidden(CONFIG, "must not be set when session affinity is None"));
        }
        (Affinity::ClientIp, Some(seconds)) if !(1..=86_400).contains(&seconds) => {
            let detail = "must be greater than 0 and less than 86400";
            errors.push(FieldError::invalid(format!("{CONFIG}.clientIP.timeoutSeconds"), seconds, detail));
        }
        _ => {}
    }
}

/// Everything that concerns traffic from outside the cluster.
fn external(service: &Service, rules: &Rules, errors: &mut Vec<FieldError>) {
    let is_load_balancer = service.service_type == ServiceType::LoadBalancer;
    addresses(service, is_load_balancer, errors);
    let is_external = is_load_balancer
        || service.service_type == ServiceType::NodePort
        || (service.service_type == ServiceType::ClusterIp && !service.external_ips.is_empty());
    let is_local = service.external_traffic_policy == TrafficPolicy::Local;
    if is_local && !is_external {
        let detail = "may only be set for externally-accessible services";
        errors.push(FieldError::invalid("spec.externalTrafficPolicy", "Local", detail));
    }
    health_check_node_port(service, is_load_balancer && is_local, rules, errors);
}

/// `spec.healthCheckNodePort`, which comes from the range of node ports. The API server reports one out of range as an
/// internal error of its allocator.
fn health_check_node_port(service: &Service, is_allowed: bool, rules: &Rules, errors: &mut Vec<FieldError>) {
    const FIELD: &str = "spec.healthCheckNodePort";
    let number = service.health_check_node_port;
    if number == 0 {
        return;
    }
    if number < 0 {
        errors.push(FieldError::invalid(FIELD, number, "HealthCheckNodePort must be not less than 0"));
    }
    if !is_allowed {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(FieldError::invalid(FIELD, number, detail));
    } else if number > 0 {
        errors.extend(in_range(FIELD, number, rules));
    }
}

/// External IPs, source ranges and load balancer addresses.
fn addresses(service: &Service, is_load_balancer: bool, errors: &mut Vec<FieldError>) {
    for (at, ip) in service.external_ips.iter().enumerate() {
        errors.extend(non_special_ip(&format!("spec.externalIPs[{at}]"), ip));
    }
    for (at, range) in service.load_balancer_source_ranges.iter().enumerate() {
        if !is_load_balancer {
            let detail = "may only be used when `type` is 'LoadBalancer'";
            errors.push(FieldError::forbidden("spec.LoadBalancerSourceRanges", detail));
        } else if Cidr::parse(range.trim()).is_none() {
            let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            errors.push(FieldError::invalid(format!("spec.LoadBalancerSourceRanges[{at}]"), range, detail));
        }
    }
    for (at, ingress) in service.load_balancer_ingress.iter().enumerate() {
        let field = format!("status.loadBalancer.ingress[{at}]");
        if !ingress.ip.is_empty() && parse_ip(&ingress.ip).is_none() {
            errors.push(not_an_ip(&format!("{field}.ip"), &ingress.ip));
        }
        if ingress.ip.is_empty() && ingress.ip_mode.is_some_and(|mode| matches!(mode, IpMode::Vip | IpMode::Proxy)) {
            errors.push(FieldError::forbidden(format!("{field}.ipMode"), "may not be specified when `ip` is not set"));
        }
    }
}
