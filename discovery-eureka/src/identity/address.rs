//! The pod's address.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use discovery_core::context::ResolvConf;

use super::{Environment, Variables};
use crate::Error;

/// Which address of a pod with both families is registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IpFamily {
    /// IPv4 where there is one: Spring's clients know no other (spring-cloud-netflix #3518).
    #[default]
    PreferV4,
    /// IPv6 where there is one.
    PreferV6,
    /// The first of `POD_IPS`, the family that the cluster calls its first.
    Primary,
}

/// What the application has said about its address.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choice {
    pub(crate) explicit: Option<IpAddr>,
    pub(crate) family: IpFamily,
    pub(crate) host_network: bool,
}

/// The address that somebody has said: the application, or the downward API. A variable that is wrong is an error.
pub(crate) fn told(choice: Choice, variables: &Variables) -> Result<Option<IpAddr>, Error> {
    match choice.explicit {
        Some(ip) if ip.is_unspecified() || ip.is_multicast() => {
            Err(Error::config(format!("{ip} is no address of a pod: give one that others can connect to")))
        }
        Some(ip) => Ok(Some(ip)),
        None => Rules::new(choice, variables)?.downward(variables),
    }
}

/// The address that nobody has said: the one from which the registry, the API server or the nameserver is reached, else the own
/// name in a hosts file that the kubelet has written. One of no use is passed over, and told when no other is found.
pub(crate) fn find(
    choice: Choice,
    environment: &Environment,
    registry: &[SocketAddr],
    route: impl Fn(SocketAddr) -> io::Result<IpAddr>,
) -> Result<IpAddr, Error> {
    let rules = Rules::new(choice, &environment.variables)?;
    let mut passed_over = Vec::new();
    let nameserver = ResolvConf::parse(&environment.resolv_conf).nameservers.first().copied();
    let targets = rules.sorted(registry).into_iter().chain(api_server(&environment.variables)).chain(nameserver);
    for to in targets {
        match route(to).map_err(|error| error.to_string()).and_then(|ip| rules.accept(ip)) {
            Ok(ip) => return Ok(ip),
            Err(why) => passed_over.push(format!("the route to {to}: {why}")),
        }
    }
    match rules.hosts_file(environment) {
        Some(Ok(ip)) => return Ok(ip),
        Some(Err(why)) => passed_over.push(format!("/etc/hosts: {why}")),
        None => {}
    }
    let passed_over = if passed_over.is_empty() { "nothing else tells it".to_owned() } else { passed_over.join("; ") };
    Err(Error::config(format!(
        "the pod's address is not known: POD_IP is not set, and {passed_over}. Set POD_IP from the downward API (status.podIP), or give \
         the address to the builder"
    )))
}

struct Rules {
    choice: Choice,
    host: Option<IpAddr>,
}

impl Rules {
    fn new(choice: Choice, variables: &Variables) -> Result<Self, Error> {
        let host = variables.get("HOST_IP").map(|text| parse("HOST_IP", text)).transpose()?;
        Ok(Self { choice, host })
    }

    /// Whether others can connect to it.
    fn accept(&self, ip: IpAddr) -> Result<IpAddr, String> {
        let ip = ip.to_canonical();
        let why = match ip {
            _ if ip.is_loopback() => "a loopback address",
            _ if ip.is_unspecified() => "the unspecified address",
            _ if ip.is_multicast() => "a multicast address",
            IpAddr::V4(v4) if v4.is_link_local() => "a link-local address",
            IpAddr::V4(v4) if v4.is_broadcast() => "the broadcast address",
            IpAddr::V6(v6) if v6.is_unicast_link_local() => "a link-local address",
            _ if self.host == Some(ip) && !self.choice.host_network => {
                return Err(format!(
                    "{ip} is the node's (HOST_IP): with hostNetwork, say `allow_host_network` to the builder"
                ));
            }
            _ => return Ok(ip),
        };
        Err(format!("{ip} is {why}, which no other pod can connect to"))
    }

    fn downward(&self, variables: &Variables) -> Result<Option<IpAddr>, Error> {
        let mut all = Vec::new();
        // The first of POD_IPS is POD_IP, where both are set.
        for name in ["POD_IPS", "POD_IP"] {
            for text in variables.get(name).into_iter().flat_map(|list| list.split(',')).map(str::trim) {
                let ip = parse(name, text)?;
                let ip = self.accept(ip).map_err(|why| Error::config(format!("{name}: {why}")))?;
                all.push(ip);
            }
        }
        Ok(all.iter().find(|ip| self.fits(**ip)).or(all.first()).copied())
    }

    /// The preferred family first.
    fn sorted(&self, addrs: &[SocketAddr]) -> Vec<SocketAddr> {
        let mut sorted = addrs.to_vec();
        match self.choice.family {
            IpFamily::PreferV4 => sorted.sort_by_key(SocketAddr::is_ipv6),
            IpFamily::PreferV6 => sorted.sort_by_key(SocketAddr::is_ipv4),
            IpFamily::Primary => {}
        }
        sorted
    }

    /// The kubelet writes the pod's addresses and name into the file; in a pod on the node's network, the node's file.
    fn hosts_file(&self, environment: &Environment) -> Option<Result<IpAddr, String>> {
        let first = environment.hosts.lines().next()?;
        if !first.starts_with(KUBELET_HEADER) {
            return None;
        }
        if first.contains("host network") && !self.choice.host_network {
            return Some(Err("it is the node's (hostNetwork): say `allow_host_network` to the builder".to_owned()));
        }
        let own = environment.variables.pod_name()?;
        let lines = environment.hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
        let mine = lines.filter_map(|line| {
            let mut words = line.split_whitespace();
            let ip: IpAddr = words.next()?.parse().ok()?;
            words.any(|name| name == own).then_some(ip)
        });
        let (good, bad): (Vec<_>, Vec<_>) = mine.map(|ip| self.accept(ip)).partition(Result::is_ok);
        let good: Vec<IpAddr> = good.into_iter().flatten().collect();
        good.iter().find(|ip| self.fits(**ip)).or(good.first()).map(|ip| Ok(*ip)).or_else(|| bad.into_iter().next())
    }

    fn fits(&self, ip: IpAddr) -> bool {
        match self.choice.family {
            IpFamily::PreferV4 => ip.is_ipv4(),
            IpFamily::PreferV6 => ip.is_ipv6(),
            IpFamily::Primary => true,
        }
    }
}

/// `pkg/kubelet/kubelet_pods.go`, `managedHostsHeader` and `managedHostsHeaderWithHostNetwork`.
const KUBELET_HEADER: &str = "# Kubernetes-managed hosts file";

fn parse(name: &str, text: &str) -> Result<IpAddr, Error> {
    text.parse().map_err(|_| {
        Error::config(format!(
            "{name}: `{text}` is no IP address; set it from the downward API (status.podIP, status.podIPs)"
        ))
    })
}

fn api_server(variables: &Variables) -> Option<SocketAddr> {
    let host: IpAddr = variables.get("KUBERNETES_SERVICE_HOST")?.trim_matches(['[', ']']).parse().ok()?;
    let port = variables.get("KUBERNETES_SERVICE_PORT").and_then(|port| port.parse().ok()).unwrap_or(443);
    Some((host, port).into())
}

/// An address as the host of a URL.
pub(crate) fn in_url(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

#[cfg(test)]
mod tests;
