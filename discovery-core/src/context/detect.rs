//! What is known of the place where this process runs.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{Families, ResolvConf, Settings};
use crate::{
    Error,
    name::{ClusterDomain, DomainName, NameError, Namespace},
    plan::Scope,
    source::Evidence,
};

/// Where this process runs, as far as it could be found out, and where each thing was found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// The own namespace and the cluster's domain. A domain that is missing here can still be asked for: the
    /// TXT record `dns-version.<domain>` exists in every cluster (Kubernetes DNS specification, 2.2).
    pub scope: Scope,
    /// Whom to ask, in this order; empty when nothing names one.
    pub nameservers: Vec<SocketAddr>,
    /// How to ask.
    pub options: DnsOptions,
    /// Which addresses are of use; `None` when nothing tells.
    pub families: Option<Families>,
    /// What was looked for, what was found, and where.
    pub origins: Vec<Evidence>,
}

/// How to ask DNS, as far as something says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DnsOptions {
    /// How long to wait for one answer; 10 ms to 30 s when it was read.
    pub timeout: Option<Duration>,
    /// How often to ask one question altogether; 1 to 5 when it was read.
    pub attempts: Option<u32>,
    /// Whether to ask over TCP from the start.
    pub tcp: bool,
}

/// What a process finds around itself.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    vars: &'a BTreeMap<String, String>,
    service_account: Option<&'a str>,
    resolv_conf: &'a ResolvConf,
}

impl<'a> Inputs<'a> {
    /// The process's variables, the text of `/var/run/secrets/kubernetes.io/serviceaccount/namespace` where
    /// there is such a file, and what `resolv.conf` says.
    #[must_use]
    pub fn new(
        vars: &'a BTreeMap<String, String>,
        service_account: Option<&'a str>,
        resolv_conf: &'a ResolvConf,
    ) -> Self {
        Self { vars, service_account, resolv_conf }
    }

    /// A variable that is set to something.
    fn var(&self, name: &str) -> Option<&'a str> {
        self.vars.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }
}

impl Context {
    /// Finds the context. `explicit` is what was set in code, `settings` what the variables say.
    ///
    /// Each of these takes the first that says something; the rest is not looked at:
    ///
    /// * own namespace: `explicit`, `DISCOVERY_NAMESPACE`, `POD_NAMESPACE`, the service account's file, the
    ///   first search entry `<namespace>.svc.<cluster domain>`;
    /// * cluster domain: `explicit`, `DISCOVERY_CLUSTER_DOMAIN`, the search entry `svc.<domain>` where another
    ///   entry `<namespace>.svc.<domain>` confirms it;
    /// * nameservers: `explicit`, `DISCOVERY_NAMESERVERS`, `resolv.conf`;
    /// * families: `explicit`, `DISCOVERY_IP_FAMILIES`, `POD_IPS` (downward API, `status.podIPs`; a text that is
    ///   no list of addresses says nothing);
    /// * each DNS option: `explicit`, its variable, the `options` of `resolv.conf`.
    ///
    /// A variable that is set to nothing counts as not set.
    ///
    /// # Errors
    /// [`Error::is_config`] when `POD_NAMESPACE` or the service account's file is needed and holds no
    /// namespace; the text names it, its value, the rule, and what would be right.
    pub fn detect(explicit: &Settings, settings: &Settings, around: &Inputs<'_>) -> Result<Self, Error> {
        let domain = cluster_domain(explicit, settings, around);
        let namespace = own_namespace(explicit, settings, around, domain.as_ref().map(|(domain, _)| domain))?;
        let nameservers = nameservers(explicit, settings, around);
        let families = families(explicit, settings, around);
        let origins = vec![
            origin("own namespace", &namespace, "not known: set POD_NAMESPACE or DISCOVERY_NAMESPACE"),
            origin("cluster domain", &domain, "not known: no search entries of a cluster, no DISCOVERY_CLUSTER_DOMAIN"),
            Evidence::new("nameservers", shown(&nameservers)),
            Evidence::new("address families", families.1.clone()),
        ];
        Ok(Self {
            scope: Scope::new(namespace.map(|(namespace, _)| namespace), domain.map(|(domain, _)| domain)),
            nameservers: nameservers.0,
            options: options(explicit, settings, around),
            families: families.0,
            origins,
        })
    }
}

/// Something, and where it was found.
type Found<T> = (T, &'static str);

fn own_namespace(
    explicit: &Settings,
    settings: &Settings,
    around: &Inputs<'_>,
    domain: Option<&ClusterDomain>,
) -> Result<Option<Found<Namespace>>, Error> {
    if let Some(namespace) = &explicit.namespace {
        return Ok(Some((namespace.clone(), IN_CODE)));
    }
    if let Some(namespace) = &settings.namespace {
        return Ok(Some((namespace.clone(), "DISCOVERY_NAMESPACE")));
    }
    let file = around.service_account.map(str::trim).filter(|text| !text.is_empty());
    for (text, place) in [(around.var(POD_NAMESPACE), POD_NAMESPACE), (file, SERVICE_ACCOUNT)] {
        if let Some(text) = text {
            let namespace = Namespace::new(text).map_err(|error| refused(place, text, &error))?;
            return Ok(Some((namespace, place)));
        }
    }
    let listed = domain.and_then(|domain| searched_namespace(&around.resolv_conf.search, domain));
    Ok(listed.map(|namespace| (namespace, SEARCH_LIST)))
}

fn cluster_domain(explicit: &Settings, settings: &Settings, around: &Inputs<'_>) -> Option<Found<ClusterDomain>> {
    let set = explicit.cluster_domain.clone().map(|domain| (domain, IN_CODE));
    set.or_else(|| settings.cluster_domain.clone().map(|domain| (domain, "DISCOVERY_CLUSTER_DOMAIN")))
        .or_else(|| searched_cluster_domain(&around.resolv_conf.search).map(|domain| (domain, SEARCH_LIST)))
}

/// The rest of the first entry `svc.<rest>` that an entry `<namespace>.svc.<rest>` confirms.
///
/// The kubelet writes `<ns>.svc.<domain> svc.<domain> <domain>` (`pkg/kubelet/network/dns/dns.go`). Where
/// several entries qualify, one whose `<rest>` is listed too comes first; a list that was de-duplicated or
/// cut need not hold it.
fn searched_cluster_domain(search: &[DomainName]) -> Option<ClusterDomain> {
    let confirmed = |rest: &&str| search.iter().any(|entry| namespace_below(entry, rest).is_some());
    let mut candidates = search.iter().filter_map(|entry| entry.as_str().strip_prefix("svc.")).filter(confirmed);
    let first = candidates.clone().next();
    let listed = candidates.find(|rest| search.iter().any(|entry| entry.as_str() == *rest));
    ClusterDomain::new(listed.or(first)?).ok()
}

/// The namespace in the first entry `<namespace>.svc.<domain>`.
fn searched_namespace(search: &[DomainName], domain: &ClusterDomain) -> Option<Namespace> {
    search.iter().find_map(|entry| namespace_below(entry, domain.name().as_str()))
}

/// The namespace of an entry `<namespace>.svc.<domain>`.
fn namespace_below(entry: &DomainName, domain: &str) -> Option<Namespace> {
    let label = entry.as_str().strip_suffix(domain)?.strip_suffix(".svc.")?;
    Namespace::new(label).ok()
}

fn nameservers(explicit: &Settings, settings: &Settings, around: &Inputs<'_>) -> Found<Vec<SocketAddr>> {
    match (&explicit.nameservers, &settings.nameservers) {
        (Some(servers), _) => (servers.clone(), IN_CODE),
        (None, Some(servers)) => (servers.clone(), "DISCOVERY_NAMESERVERS"),
        (None, None) => (around.resolv_conf.nameservers.clone(), "resolv.conf"),
    }
}

/// The families, and how to tell it.
fn families(explicit: &Settings, settings: &Settings, around: &Inputs<'_>) -> (Option<Families>, String) {
    let set = explicit.families.map(|families| (families, IN_CODE));
    if let Some((families, place)) = set.or_else(|| settings.families.map(|f| (f, "DISCOVERY_IP_FAMILIES"))) {
        return (Some(families), format!("{families} ({place})"));
    }
    let Some(text) = around.var(POD_IPS) else {
        return (None, format!("not told: neither DISCOVERY_IP_FAMILIES nor {POD_IPS} is set"));
    };
    match Families::from_pod_ips(text) {
        Some(families) => (Some(families), format!("{families} ({POD_IPS})")),
        None => (None, format!("not told: {POD_IPS} is `{}`, not a list of addresses", text.escape_debug())),
    }
}

fn options(explicit: &Settings, settings: &Settings, around: &Inputs<'_>) -> DnsOptions {
    let file = around.resolv_conf.options;
    DnsOptions {
        timeout: explicit.dns_timeout.or(settings.dns_timeout).or(file.timeout),
        attempts: explicit.dns_attempts.or(settings.dns_attempts).or(file.attempts),
        tcp: explicit.dns_tcp.or(settings.dns_tcp).unwrap_or(file.use_vc),
    }
}

fn refused(place: &str, text: &str, error: &NameError) -> Error {
    Error::config(format!("{place} is `{}`: {}; {}", text.escape_debug(), error.rule(), error.remedy()))
}

fn origin<T: ToString>(asked: &str, found: &Option<Found<T>>, missing: &str) -> Evidence {
    let answer = found.as_ref().map(|(value, place)| format!("{} ({place})", value.to_string()));
    Evidence::new(asked, answer.unwrap_or_else(|| missing.to_owned()))
}

fn shown((servers, place): &Found<Vec<SocketAddr>>) -> String {
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    format!("{} ({place})", if servers.is_empty() { "none".to_owned() } else { servers.join(", ") })
}

const IN_CODE: &str = "set in code";
const POD_NAMESPACE: &str = "POD_NAMESPACE";
const POD_IPS: &str = "POD_IPS";
const SEARCH_LIST: &str = "search list of resolv.conf";
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
