//! The configuration that a kubelet provides to a pod.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use crate::{name::DnsName, zone::Service};

/// The port of DNS (RFC 1035 section 4.2).
const DNS_PORT: u16 = 53;
/// kubernetes `pkg/apis/core/validation`: `MaxDNSSearchPathsExpanded`.
const MAX_SEARCH_DOMAINS: usize = 32;
/// kubernetes `pkg/apis/core/validation`: `MaxDNSSearchListCharsExpanded`, spaces included.
const MAX_SEARCH_CHARS: usize = 2048;

/// Returns the file for `dnsPolicy: ClusterFirst` (kubernetes `pkg/kubelet/network/dns/dns.go`): names without a
/// trailing dot and without duplicates, within the limits of the kubelet.
///
/// A kubelet cannot write a port. The port is written as `ip:port` unless it is 53.
pub(crate) fn resolv_conf(namespace: &str, domain: &str, nameserver: SocketAddr, node_search: &[DnsName]) -> String {
    let domain = domain.trim_end_matches('.');
    let mut search = vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()];
    for name in node_search.iter().map(DnsName::as_str) {
        let name = if name == "." { name } else { name.trim_end_matches('.') };
        if !search.iter().any(|known| known == name) {
            search.push(name.to_owned());
        }
    }
    fit(&mut search);
    let nameserver = if nameserver.port() == DNS_PORT { nameserver.ip().to_string() } else { nameserver.to_string() };
    format!("search {}\nnameserver {nameserver}\noptions ndots:5\n", search.join(" "))
}

/// Cuts domains from the end until the list is within the limits (kubernetes `formDNSSearchFitsLimits`). A valid name is
/// within the limit for one domain.
fn fit(search: &mut Vec<String>) {
    search.truncate(MAX_SEARCH_DOMAINS);
    let mut chars = 0;
    // Every domain but the first has a space before it.
    let fits = |name: &&String| {
        chars += name.len() + usize::from(chars > 0);
        chars <= MAX_SEARCH_CHARS
    };
    search.truncate(search.iter().take_while(fits).count());
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

    /// The words of the `search` line.
    fn search(node: &[&str]) -> Vec<String> {
        let node: Vec<DnsName> = node.iter().map(|name| DnsName::require("search domain", name)).collect();
        let text = resolv_conf("a", "cluster.local.", ([10, 0, 0, 10], 53).into(), &node);
        let line = text.lines().find_map(|line| line.strip_prefix("search ")).expect("a search line");
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn node_search_follows_the_cluster_without_duplicates() {
        let node = ["corp.example", "cluster.local", "corp.example."].map(|n| DnsName::require("n", n));
        let text = resolv_conf("a", "cluster.local.", ([10, 0, 0, 10], 53).into(), &node);
        assert_eq!(
            text,
            "search a.svc.cluster.local svc.cluster.local cluster.local corp.example\n\
             nameserver 10.0.0.10\noptions ndots:5\n"
        );
        assert_eq!(search(&["."])[3..], ["."]);
    }

    #[test]
    fn writes_a_port_only_if_it_is_not_the_port_of_dns() {
        for (addr, written) in [
            ("127.0.0.1:53", "127.0.0.1"),
            ("127.0.0.1:5353", "127.0.0.1:5353"),
            ("[::1]:53", "::1"),
            ("[::1]:5353", "[::1]:5353"),
        ] {
            let text = resolv_conf("a", "cluster.local.", addr.parse().expect(addr), &[]);
            assert_eq!(text.lines().nth(1), Some(&*format!("nameserver {written}")));
        }
    }

    /// kubernetes `validation.MaxDNSSearchPathsExpanded`.
    #[test]
    fn keeps_at_most_32_search_domains() {
        let node: Vec<String> = (0..40).map(|n| format!("n{n}.example")).collect();
        let node: Vec<&str> = node.iter().map(String::as_str).collect();
        assert_eq!(search(&node[..29]).len(), 32);
        let cut = search(&node);
        assert_eq!((cut.len(), cut[31].as_str()), (32, "n28.example"));
    }

    /// kubernetes `validation.MaxDNSSearchListCharsExpanded`: whole domains are cut from the end.
    #[test]
    fn keeps_at_most_2048_characters_of_search_domains() {
        let node: Vec<String> = (0..20).map(|n| format!("n{n:02}.{}.{}", "a".repeat(60), "b".repeat(60))).collect();
        let node: Vec<&str> = node.iter().map(String::as_str).collect();
        let cut = search(&node);
        let length = cut.join(" ").len();
        assert!(length <= 2048 && length + 1 + node[0].len() > 2048, "{length}");
        assert_eq!(cut[3..], node[..cut.len() - 3]);
        // Exactly 2048 characters fit.
        let room = 2048 - cut.join(" ").len() - 1;
        let last = format!("{}.{}", "c".repeat(60), "d".repeat(room - 61));
        let exact: Vec<&str> = node[..cut.len() - 3].iter().copied().chain([&*last]).collect();
        assert_eq!(search(&exact).join(" ").len(), 2048);
    }
}
