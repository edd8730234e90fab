//! Detection of the context.

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::{Families, ResolvConf, Settings, nameserver::canonical};
use crate::{
    Error,
    name::{ClusterDomain, DomainName, NameError, Namespace},
    plan::{Scope, SearchList},
    source::Evidence,
};

/// The context of this process, as far as it was detected, and the origin of each part.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// The own namespace and the cluster domain. If the domain is unknown here, DNS can still be queried for it: the
    /// TXT record `dns-version.<domain>` exists in every cluster (Kubernetes DNS specification, 2.2).
    pub scope: Scope,
    /// The nameservers, in the order in which they are queried. Empty if none is configured.
    pub nameservers: Vec<SocketAddr>,
    /// How to query the nameservers.
    pub options: DnsOptions,
    /// The address families to query; `None` if neither a setting nor a variable gives them.
    pub families: Option<Families>,
    /// What was detected, its value, and where the value comes from.
    pub origins: Vec<Evidence>,
}

/// The options of DNS queries, where they are set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DnsOptions {
    /// The timeout of one query; 10 ms to 30 s if it was parsed from text.
    pub timeout: Option<Duration>,
    /// How many times a query is sent in all; 1 to 5 if it was parsed from text.
    pub attempts: Option<u32>,
    /// How many queries to one nameserver are in flight at most; 1 to 1024 if it was parsed from text.
    pub in_flight: Option<u32>,
    /// Whether to query over TCP from the start.
    pub tcp: bool,
}

/// The inputs of detection: variables and files of a process.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    vars: &'a BTreeMap<String, String>,
    service_account: Option<&'a str>,
    resolv_conf: &'a ResolvConf,
}

impl<'a> Inputs<'a> {
    /// Takes the variables of the process, the text of `/var/run/secrets/kubernetes.io/serviceaccount/namespace` if
    /// that file exists, and the parsed `resolv.conf`.
    #[must_use]
    pub fn new(
        vars: &'a BTreeMap<String, String>,
        service_account: Option<&'a str>,
        resolv_conf: &'a ResolvConf,
    ) -> Self {
        Self { vars, service_account, resolv_conf }
    }

    /// The value of a variable that is set and not empty.
    fn var(&self, name: &str) -> Option<&'a str> {
        self.vars.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }
}

impl Context {
    /// Detects the context. `explicit` are the settings made in code, `settings` those made by variables.
    ///
    /// Each part comes from the first of its origins that has a value; the rest is not read:
    ///
    /// * own namespace: `explicit`, `DISCOVERY_NAMESPACE`, `POD_NAMESPACE`, the service account's file, the first
    ///   search entry `<namespace>.svc.<cluster domain>`;
    /// * cluster domain: `explicit`, `DISCOVERY_CLUSTER_DOMAIN`, the search entry `svc.<domain>` if another entry,
    ///   `<namespace>.svc.<domain>` or `<domain>`, confirms it;
    /// * nameservers: `explicit`, `DISCOVERY_NAMESERVERS`, `resolv.conf`;
    /// * families: `explicit`, `DISCOVERY_IP_FAMILIES`, IPv4 if `resolv.conf` has the option `no-aaaa`, `POD_IPS`
    ///   (downward API, `status.podIPs`; ignored if it is not a list of addresses);
    /// * each DNS option: `explicit`, its variable, the `options` of `resolv.conf`.
    ///
    /// An empty variable counts as not set. If neither a namespace nor a cluster domain is known, and
    /// `KUBERNETES_SERVICE_HOST` is not set, the process is outside a cluster: hosts are completed with the search list of
    /// `resolv.conf`, as libc does.
    ///
    /// # Errors
    /// [`Error::is_config`] if the namespace comes from `POD_NAMESPACE` or the service account's file, and is invalid.
    /// The text names the origin, its value, the rule that it breaks, and a remedy.
    pub fn detect(explicit: &Settings, settings: &Settings, around: &Inputs<'_>) -> Result<Self, Error> {
        let domain = cluster_domain(explicit, settings, around);
        let namespace = own_namespace(explicit, settings, around, domain.as_ref().map(|(domain, _)| domain))?;
        let mut scope =
            Scope::new(namespace.clone().map(|(namespace, _)| namespace), domain.clone().map(|(domain, _)| domain));
        if namespace.is_none() && domain.is_none() && around.var(API_SERVER).is_none() {
            scope = scope.with_search(search_list(around.resolv_conf));
        }
        scope = scope.with_cluster_only(explicit.cluster_only.or(settings.cluster_only).unwrap_or(false));
        let nameservers = nameservers(explicit, settings, around);
        let families = families(explicit, settings, around);
        let origins = vec![
            origin("own namespace", &namespace, "unknown: set POD_NAMESPACE or DISCOVERY_NAMESPACE"),
            origin(
                "cluster domain",
                &domain,
                "unknown: resolv.conf has no search entries of a cluster, and DISCOVERY_CLUSTER_DOMAIN is not set",
            ),
            Evidence::new("nameservers", listed(&nameservers)),
            Evidence::new("address families", families.1.clone()),
        ];
        Ok(Self {
            scope,
            nameservers: nameservers.0,
            options: options(explicit, settings, around),
            families: families.0,
            origins,
        })
    }
}

/// A value, and where it comes from.
type WithOrigin<T> = (T, &'static str);

fn own_namespace(
    explicit: &Settings,
    settings: &Settings,
    around: &Inputs<'_>,
    domain: Option<&ClusterDomain>,
) -> Result<Option<WithOrigin<Namespace>>, Error> {
    if let Some(namespace) = &explicit.namespace {
        return Ok(Some((namespace.clone(), IN_CODE)));
    }
    if let Some(namespace) = &settings.namespace {
        return Ok(Some((namespace.clone(), "DISCOVERY_NAMESPACE")));
    }
    let file = around.service_account.map(str::trim).filter(|text| !text.is_empty());
    for (text, place) in [(around.var(POD_NAMESPACE), POD_NAMESPACE), (file, SERVICE_ACCOUNT)] {
        if let Some(text) = text {
            let namespace = Namespace::new(text).map_err(|error| invalid(place, text, &error))?;
            return Ok(Some((namespace, place)));
        }
    }
    let searched = domain.and_then(|domain| searched_namespace(&around.resolv_conf.search, domain));
    Ok(searched.map(|namespace| (namespace, SEARCH_LIST)))
}

fn cluster_domain(explicit: &Settings, settings: &Settings, around: &Inputs<'_>) -> Option<WithOrigin<ClusterDomain>> {
    let set = explicit.cluster_domain.clone().map(|domain| (domain, IN_CODE));
    set.or_else(|| settings.cluster_domain.clone().map(|domain| (domain, "DISCOVERY_CLUSTER_DOMAIN")))
        .or_else(|| searched_cluster_domain(&around.resolv_conf.search).map(|domain| (domain, SEARCH_LIST)))
}

/// The cluster domain in a search list: `<domain>` of the first entry `svc.<domain>` that another entry confirms,
/// `<namespace>.svc.<domain>` or `<domain>` itself.
///
/// The kubelet writes `<ns>.svc.<domain> svc.<domain> <domain>` (`pkg/kubelet/network/dns/dns.go`). A list that was cut
/// or deduplicated may lack the domain, and one of `dnsConfig` the namespace. If several entries qualify, an entry with
/// both comes first, then one with the namespace.
///
/// In a cluster, names are never expanded with the search list. A node's search domain may have wildcard records, which
/// would answer for names of the cluster.
fn searched_cluster_domain(search: &[DomainName]) -> Option<ClusterDomain> {
    let evidence = |domain: &str| {
        let has_namespace = search.iter().any(|entry| namespace_below(entry, domain).is_some());
        let is_listed = search.iter().any(|entry| entry.as_str() == domain);
        (has_namespace, is_listed)
    };
    let candidates = search.iter().filter_map(|entry| entry.as_str().strip_prefix("svc."));
    let confirmed = candidates.map(|domain| (evidence(domain), domain)).filter(|(found, _)| *found != (false, false));
    // Of several with the same evidence, `max_by_key` would return the last one.
    let (_, domain) = confirmed.rev().max_by_key(|(found, _)| *found)?;
    ClusterDomain::new(domain).ok()
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

/// The search list outside a cluster.
fn search_list(file: &ResolvConf) -> SearchList {
    SearchList::new(file.search.clone(), file.options.ndots.unwrap_or(SearchList::default().ndots))
}

fn nameservers(explicit: &Settings, settings: &Settings, around: &Inputs<'_>) -> WithOrigin<Vec<SocketAddr>> {
    match (&explicit.nameservers, &settings.nameservers) {
        (Some(servers), _) => (servers.iter().copied().map(canonical).collect(), IN_CODE),
        (None, Some(servers)) => (servers.clone(), "DISCOVERY_NAMESERVERS"),
        (None, None) => (around.resolv_conf.nameservers.clone(), "resolv.conf"),
    }
}

/// The families, and the text of the evidence.
fn families(explicit: &Settings, settings: &Settings, around: &Inputs<'_>) -> (Option<Families>, String) {
    let set = explicit.families.map(|families| (families, IN_CODE));
    if let Some((families, place)) = set.or_else(|| settings.families.map(|f| (f, "DISCOVERY_IP_FAMILIES"))) {
        return (Some(families), format!("{families} ({place})"));
    }
    if around.resolv_conf.options.no_aaaa {
        return (Some(Families::V4), format!("{} (no-aaaa in resolv.conf)", Families::V4));
    }
    let Some(text) = around.var(POD_IPS) else {
        return (None, format!("by the routing table: neither DISCOVERY_IP_FAMILIES nor {POD_IPS} is set"));
    };
    match Families::from_pod_ips(text) {
        Some(families) => (Some(families), format!("{families} ({POD_IPS})")),
        None => {
            let text = text.escape_debug();
            (None, format!("by the routing table: {POD_IPS} is `{text}`, which is not a list of addresses"))
        }
    }
}

fn options(explicit: &Settings, settings: &Settings, around: &Inputs<'_>) -> DnsOptions {
    let file = around.resolv_conf.options;
    DnsOptions {
        timeout: explicit.dns_timeout.or(settings.dns_timeout).or(file.timeout),
        attempts: explicit.dns_attempts.or(settings.dns_attempts).or(file.attempts),
        in_flight: explicit.dns_in_flight.or(settings.dns_in_flight),
        tcp: explicit.dns_tcp.or(settings.dns_tcp).unwrap_or(file.use_vc),
    }
}

fn invalid(place: &str, text: &str, error: &NameError) -> Error {
    Error::config(format!("{place} is `{}`: {}; {}", text.escape_debug(), error.rule(), error.remedy()))
}

fn origin<T: ToString>(asked: &str, found: &Option<WithOrigin<T>>, missing: &str) -> Evidence {
    let answer = found.as_ref().map(|(value, place)| format!("{} ({place})", value.to_string()));
    Evidence::new(asked, answer.unwrap_or_else(|| missing.to_owned()))
}

fn listed((servers, place): &WithOrigin<Vec<SocketAddr>>) -> String {
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    format!("{} ({place})", if servers.is_empty() { "none".to_owned() } else { servers.join(", ") })
}

const IN_CODE: &str = "set in code";
const POD_NAMESPACE: &str = "POD_NAMESPACE";
/// The kubelet sets this variable in every container, even without `enableServiceLinks`.
const API_SERVER: &str = "KUBERNETES_SERVICE_HOST";
const POD_IPS: &str = "POD_IPS";
const SEARCH_LIST: &str = "search list of resolv.conf";
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
