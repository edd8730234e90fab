//! The identity of this pod: its address and its names.
//!
//! They come from the downward API, or from the files and routes of the pod. [`PodEnvironment`] is read once;
//! every decision here is made from its contents.
//!
//! ```yaml
//! env:
//! - {name: POD_IP,        valueFrom: {fieldRef: {fieldPath: status.podIP}}}
//! - {name: POD_IPS,       valueFrom: {fieldRef: {fieldPath: status.podIPs}}}   # dual stack
//! - {name: POD_NAME,      valueFrom: {fieldRef: {fieldPath: metadata.name}}}
//! - {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
//! - {name: POD_UID,       valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
//! - {name: NODE_NAME,     valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
//! - {name: HOST_IP,       valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
//! ```

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use discovery_core::{Environment, context::ResolvConf};

use crate::Error;

/// The address that is registered when a pod has both an IPv4 and an IPv6 address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IpFamily {
    /// IPv4 if the pod has one. Spring's clients support IPv4 only (spring-cloud-netflix #3518).
    #[default]
    PreferV4,
    /// IPv6 if the pod has one.
    PreferV6,
    /// The first entry of `POD_IPS`, which is of the cluster's primary family.
    Primary,
}

/// Environment variables and files of the pod.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodEnvironment {
    variables: BTreeMap<String, String>,
    resolv_conf: String,
    hosts: String,
}

impl PodEnvironment {
    /// Reads the environment of this process.
    pub(crate) fn from_process() -> Self {
        Self::with_hosts_file(&Environment::from_process())
    }

    /// Uses the variables and the `resolv.conf` of this environment, and the machine's hosts file if the environment has a
    /// `resolv.conf`. A file that cannot be read counts as empty.
    pub(crate) fn with_hosts_file(environment: &Environment) -> Self {
        let variables = environment.variables().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let resolv_conf = environment.resolv_conf().ok().flatten();
        let hosts = resolv_conf.as_ref().and_then(|_| std::fs::read_to_string("/etc/hosts").ok()).unwrap_or_default();
        Self { variables, resolv_conf: resolv_conf.unwrap_or_default(), hosts }
    }

    /// Returns whether this process runs in a pod, as far as variables and files show it.
    pub(crate) fn is_pod(&self) -> bool {
        let names = ["KUBERNETES_SERVICE_HOST", "POD_NAME", "POD_NAMESPACE", "POD_UID", "NODE_NAME", "HOST_IP"];
        names.iter().any(|name| self.variable(name).is_some()) || self.hosts.starts_with(KUBELET_HEADER)
    }

    /// A variable, trimmed. An empty variable counts as absent.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The pod's name: `POD_NAME`, else `HOSTNAME`. Both are the same unless the pod sets `hostname` or uses the host
    /// network.
    pub(crate) fn pod_name(&self) -> Option<&str> {
        self.variable("POD_NAME").or_else(|| self.variable("HOSTNAME"))
    }

    /// The metadata that every record carries, as far as the variables are set.
    pub(crate) fn metadata(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let keys = [
            ("kubernetes.namespace", "POD_NAMESPACE"),
            ("kubernetes.pod", "POD_NAME"),
            ("kubernetes.node", "NODE_NAME"),
        ];
        keys.into_iter().filter_map(|(key, name)| Some((key, self.variable(name)?)))
    }

    fn api_server(&self) -> Option<SocketAddr> {
        let host: IpAddr = self.variable("KUBERNETES_SERVICE_HOST")?.trim_matches(['[', ']']).parse().ok()?;
        let port = self.variable("KUBERNETES_SERVICE_PORT").and_then(|port| port.parse().ok()).unwrap_or(443);
        Some((host, port).into())
    }

    fn nameserver(&self) -> Option<SocketAddr> {
        ResolvConf::parse(&self.resolv_conf).nameservers.first().copied()
    }
}

/// An environment of these variables, without files.
impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for PodEnvironment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(vars: I) -> Self {
        let variables = vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, ..Self::default() }
    }
}

/// What the application configured about the pod's address.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AddressPreference {
    explicit: Option<IpAddr>,
    family: IpFamily,
    host_network: bool,
}

impl AddressPreference {
    pub(crate) fn new(explicit: Option<IpAddr>, family: IpFamily, host_network: bool) -> Self {
        Self { explicit, family, host_network }
    }

    /// Returns the address from the builder, else from the downward API. An invalid variable is an error.
    pub(crate) fn configured(self, environment: &PodEnvironment) -> Result<Option<IpAddr>, Error> {
        match self.explicit.map(|ip| ip.to_canonical()) {
            Some(ip) if ip.is_unspecified() || ip.is_multicast() => Err(Error::config(format!(
                "{ip} is not the address of a pod: pass an address that other pods can connect to"
            ))),
            Some(ip) => Ok(Some(ip)),
            None => AddressRules::new(self, environment)?.downward_api(),
        }
    }

    /// Finds the address without configuration: the local end of the route to the registry, the API server or the
    /// nameserver, else the pod's own entry in a hosts file written by the kubelet. On a developer's machine whose
    /// registry is on the same machine, a loopback address will do.
    pub(crate) fn probe(self, environment: &PodEnvironment, registry: &[SocketAddr]) -> Result<IpAddr, Error> {
        self.probe_with(environment, registry, route)
    }

    /// Unusable addresses are skipped. If no other is found, the error lists them.
    fn probe_with(
        self,
        environment: &PodEnvironment,
        registry: &[SocketAddr],
        route: impl Fn(SocketAddr) -> io::Result<IpAddr>,
    ) -> Result<IpAddr, Error> {
        let rules = AddressRules::new(self, environment)?;
        let mut skipped = Vec::new();
        let destinations = rules.sorted(registry).into_iter();
        for to in destinations.chain(environment.api_server()).chain(environment.nameserver()) {
            match route(to).map_err(|error| error.to_string()).and_then(|ip| rules.accept(ip)) {
                Ok(ip) => return Ok(ip),
                Err(why) => skipped.push(format!("the route to {to}: {why}")),
            }
        }
        match rules.hosts_file() {
            Some(Ok(ip)) => return Ok(ip),
            Some(Err(why)) => skipped.push(format!("/etc/hosts: {why}")),
            None => {}
        }
        let is_on_this_machine = !registry.is_empty() && registry.iter().all(|addr| addr.ip().is_loopback());
        if is_on_this_machine && !environment.is_pod() {
            // The registry itself is found by processes of this machine only. A route to loopback begins at loopback.
            if let Some(local) = rules.sorted(registry).into_iter().find_map(|addr| route(addr).ok()) {
                tracing::info!(%local, "registering a loopback address, since the registry runs on this machine");
                return Ok(local);
            }
        }
        let skipped =
            if skipped.is_empty() { "no route or hosts file shows it".to_owned() } else { skipped.join("; ") };
        Err(Error::config(format!(
            "pod address not found: POD_IP is not set, and {skipped}; set POD_IP from the downward API (status.podIP), \
             or pass the address to `RegistrationBuilder::ip`"
        )))
    }

    fn fits(self, ip: IpAddr) -> bool {
        match self.family {
            IpFamily::PreferV4 => ip.is_ipv4(),
            IpFamily::PreferV6 => ip.is_ipv6(),
            IpFamily::Primary => true,
        }
    }
}

/// Decides which addresses can be registered.
struct AddressRules<'a> {
    preference: AddressPreference,
    environment: &'a PodEnvironment,
    /// The node's address.
    host_ip: Option<IpAddr>,
}

impl<'a> AddressRules<'a> {
    fn new(preference: AddressPreference, environment: &'a PodEnvironment) -> Result<Self, Error> {
        let host_ip = environment.variable("HOST_IP").map(|text| parse("HOST_IP", text)).transpose()?;
        Ok(Self { preference, environment, host_ip })
    }

    /// Accepts an address that other pods can connect to.
    fn accept(&self, ip: IpAddr) -> Result<IpAddr, String> {
        let ip = ip.to_canonical();
        let kind = match ip {
            _ if ip.is_loopback() => "a loopback address",
            _ if ip.is_unspecified() => "the unspecified address",
            _ if ip.is_multicast() => "a multicast address",
            IpAddr::V4(v4) if v4.is_link_local() => "a link-local address",
            IpAddr::V4(v4) if v4.is_broadcast() => "the broadcast address",
            IpAddr::V6(v6) if v6.is_unicast_link_local() => "a link-local address",
            _ if self.host_ip == Some(ip) && !self.preference.host_network => {
                return Err(format!(
                    "{ip} is the node's address (HOST_IP); on the host network, call `allow_host_network`"
                ));
            }
            _ => return Ok(ip),
        };
        Err(format!("{ip} is {kind}, which other pods cannot connect to"))
    }

    fn downward_api(&self) -> Result<Option<IpAddr>, Error> {
        let mut all = Vec::new();
        // If both are set, the first entry of POD_IPS is POD_IP.
        for name in ["POD_IPS", "POD_IP"] {
            for text in self.environment.variable(name).into_iter().flat_map(|list| list.split(',')).map(str::trim) {
                let ip = parse(name, text)?;
                let ip = self.accept(ip).map_err(|why| Error::config(format!("invalid {name}: {why}")))?;
                all.push(ip);
            }
        }
        Ok(all.iter().find(|ip| self.preference.fits(**ip)).or(all.first()).copied())
    }

    /// Puts the preferred family first.
    fn sorted(&self, addrs: &[SocketAddr]) -> Vec<SocketAddr> {
        let mut sorted = addrs.to_vec();
        match self.preference.family {
            IpFamily::PreferV4 => sorted.sort_by_key(SocketAddr::is_ipv6),
            IpFamily::PreferV6 => sorted.sort_by_key(SocketAddr::is_ipv4),
            IpFamily::Primary => {}
        }
        sorted
    }

    /// Reads the hosts file if the kubelet wrote it. It holds the pod's addresses and name; on the host network it is a
    /// copy of the node's file.
    fn hosts_file(&self) -> Option<Result<IpAddr, String>> {
        let hosts = &self.environment.hosts;
        let header = hosts.lines().next().filter(|line| line.starts_with(KUBELET_HEADER))?;
        if header.contains("host network") && !self.preference.host_network {
            return Some(Err("it is the node's hosts file; on the host network, call `allow_host_network`".to_owned()));
        }
        let own = self.environment.pod_name()?;
        let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
        let entries = lines.filter_map(|line| {
            let mut words = line.split_whitespace();
            let ip: IpAddr = words.next()?.parse().ok()?;
            words.any(|name| name == own).then_some(ip)
        });
        let (good, bad): (Vec<_>, Vec<_>) = entries.map(|ip| self.accept(ip)).partition(Result::is_ok);
        let good: Vec<IpAddr> = good.into_iter().flatten().collect();
        let preferred = good.iter().find(|ip| self.preference.fits(**ip)).or(good.first());
        preferred.map(|ip| Ok(*ip)).or_else(|| bad.into_iter().next())
    }
}

/// `managedHostsHeader` and `managedHostsHeaderWithHostNetwork` of `pkg/kubelet/kubelet_pods.go`.
const KUBELET_HEADER: &str = "# Kubernetes-managed hosts file";

fn parse(name: &str, text: &str) -> Result<IpAddr, Error> {
    text.parse().map(|ip: IpAddr| ip.to_canonical()).map_err(|_| {
        Error::config(format!(
            "invalid {name}: `{text}` is not an IP address; set {name} from the downward API (status.podIP, \
             status.podIPs, status.hostIP)"
        ))
    })
}

/// Returns the local address of the route to `to`. The kernel chooses it when a UDP socket is connected, which sends no
/// packet.
fn route(to: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests;
