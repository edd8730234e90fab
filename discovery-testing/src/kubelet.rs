//! The configuration that a kubelet provides to a pod.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{name::DnsName, zone::Service};

/// Returns the file for `dnsPolicy: ClusterFirst` (kubernetes `pkg/kubelet/network/dns/dns.go`): names without a
/// trailing dot and without duplicates.
pub(crate) fn resolv_conf(namespace: &str, domain: &str, nameserver: IpAddr, node_search: &[DnsName]) -> String {
    let domain = domain.trim_end_matches('.');
    let mut search = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()];
    for name in node_search {
        let name = name.as_str().trim_end_matches('.').to_owned();
        if !search.contains(&name) {
            search.push(name);
        }
    }
    format!("search {}\nnameserver {nameserver}\noptions ndots:5\n", search.join(" "))
}

/// Returns the variables of Services with a virtual address (kubernetes `pkg/kubelet/envvars/envvars.go`).
pub(crate) fn service_env<'a>(services: impl Iterator<Item = &'a Service>) -> Variables {
    let mut env = Variables::new();
    for service in services {
        if let (Some(ip), Some((_, protocol, number))) = (service.cluster_ips().first(), service.ports().next()) {
            let name = variable(service.name());
            env.insert(format!("{name}_SERVICE_HOST"), ip.to_string());
            env.insert(format!("{name}_SERVICE_PORT"), number.to_string());
            env.insert(format!("{name}_PORT"), url(*ip, protocol, number));
            for port in service.ports() {
                insert_port(&mut env, &name, *ip, port);
            }
        }
    }
    env
}

type Variables = BTreeMap<String, String>;

fn insert_port(env: &mut Variables, service: &str, ip: IpAddr, (name, protocol, number): (&str, &str, u16)) {
    if !name.is_empty() {
        env.insert(format!("{service}_SERVICE_PORT_{}", variable(name)), number.to_string());
    }
    let prefix = format!("{service}_PORT_{number}_{}", variable(protocol));
    env.insert(format!("{prefix}_PROTO"), protocol.to_owned());
    env.insert(format!("{prefix}_PORT"), number.to_string());
    env.insert(format!("{prefix}_ADDR"), ip.to_string());
    env.insert(prefix, url(ip, protocol, number));
}

fn url(ip: IpAddr, protocol: &str, number: u16) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{protocol}://{ip}:{number}"),
        IpAddr::V6(ip) => format!("{protocol}://[{ip}]:{number}"),
    }
}

fn variable(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Kubernetes documentation ("Environment variables" of Services), with a name and IPv6 added.
    #[test]
    fn sets_the_variables_of_a_service() {
        let service =
            Service::cluster_ip("shop", "redis-primary").ip("10.0.0.11").unnamed_port(6379).udp_port("dns-udp", 53);
        let env = service_env([&service].into_iter());
        let expected = [
            ("REDIS_PRIMARY_PORT", "tcp://10.0.0.11:6379"),
            ("REDIS_PRIMARY_PORT_53_UDP", "udp://10.0.0.11:53"),
            ("REDIS_PRIMARY_PORT_53_UDP_ADDR", "10.0.0.11"),
            ("REDIS_PRIMARY_PORT_53_UDP_PORT", "53"),
            ("REDIS_PRIMARY_PORT_53_UDP_PROTO", "udp"),
            ("REDIS_PRIMARY_PORT_6379_TCP", "tcp://10.0.0.11:6379"),
            ("REDIS_PRIMARY_PORT_6379_TCP_ADDR", "10.0.0.11"),
            ("REDIS_PRIMARY_PORT_6379_TCP_PORT", "6379"),
            ("REDIS_PRIMARY_PORT_6379_TCP_PROTO", "tcp"),
            ("REDIS_PRIMARY_SERVICE_HOST", "10.0.0.11"),
            ("REDIS_PRIMARY_SERVICE_PORT", "6379"),
            ("REDIS_PRIMARY_SERVICE_PORT_DNS_UDP", "53"),
        ];
        let got: Vec<_> = env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn brackets_ipv6_in_urls_only() {
        let service = Service::cluster_ip("a", "b").ip("fd00::1").port("x", 1);
        let env = service_env([&service].into_iter());
        assert_eq!(env["B_PORT"], "tcp://[fd00::1]:1");
        assert_eq!(env["B_SERVICE_HOST"], "fd00::1");
    }

    #[test]
    fn headless_services_have_no_variables() {
        let headless = Service::headless("a", "b").port("x", 1);
        assert!(service_env([&headless].into_iter()).is_empty());
    }

    #[test]
    fn node_search_follows_the_cluster_without_duplicates() {
        let node = ["corp.example", "cluster.local"].map(|n| DnsName::require("n", n));
        let text = resolv_conf("a", "cluster.local.", IpAddr::from([10, 0, 0, 10]), &node);
        assert_eq!(
            text,
            "search a.svc.cluster.local svc.cluster.local cluster.local corp.example\n\
             nameserver 10.0.0.10\noptions ndots:5\n"
        );
    }
}
