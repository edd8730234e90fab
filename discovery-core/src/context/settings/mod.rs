//! The settings of this crate, from code and from `DISCOVERY_*` variables.

#[cfg(feature = "resolver")]
mod variables;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::Families;
use crate::name::{ClusterDomain, Namespace};

/// The settings of this crate, made in code or by variables; `None` where nothing is set.
///
/// # Variables
#[doc = include_str!("variables.md")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// The own namespace.
    pub namespace: Option<Namespace>,
    /// The cluster domain.
    pub cluster_domain: Option<ClusterDomain>,
    /// The nameservers; not empty.
    pub nameservers: Option<Vec<SocketAddr>>,
    /// The address families to query.
    pub families: Option<Families>,
    /// Whether to query over TCP from the start.
    pub dns_tcp: Option<bool>,
    /// The timeout of one attempt of a DNS query; 10 ms to 30 s.
    pub dns_timeout: Option<Duration>,
    /// The attempts of one DNS query to one nameserver; 1 to 5.
    pub dns_attempts: Option<u32>,
    /// How many DNS queries to one nameserver are in flight at most; 1 to 1024. The others wait.
    pub dns_in_flight: Option<u32>,
    /// Where the requests for some names go instead: `name[:port]=address[:port], ...`, parsed when the resolver is
    /// built.
    pub overrides: Option<String>,
    /// A file of more overrides, which is read again when it changes.
    pub overrides_file: Option<PathBuf>,
    /// Whether the environment variables of Services are read.
    pub service_env: Option<bool>,
    /// Whether no name falls through from the cluster to a host: `orders.dev` is a Service, or an error.
    pub cluster_only: Option<bool>,
    /// Whether private addresses are refused from DNS for hosts and from registries, against DNS rebinding.
    pub deny_private: Option<bool>,
    /// The shortest time between two queries for one name; 100 ms to 1 h.
    pub min_refresh: Option<Duration>,
    /// The longest time between two queries for one name; 100 ms to 24 h.
    pub max_refresh: Option<Duration>,
    /// How long the last good answer is used while the sources fail; up to 24 h.
    pub max_stale: Option<Duration>,
    /// How long an address that is missing from an answer is kept; up to 1 min.
    pub removal_hold: Option<Duration>,
    /// How long an endpoint is retained after its answer while requests on it succeed; up to 24 h, and zero for never.
    pub retain_for: Option<Duration>,
    /// The names of unknown variables that begin with `DISCOVERY_` and are not empty, sorted. The caller should log
    /// them, to make a typo visible. Variables of a Service whose name begins with `discovery` are not among them.
    pub unknown: Vec<String>,
}

impl Settings {
    /// Takes each setting that is `None` from `others`. The unknown variables of both are kept.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        let mut unknown = self.unknown;
        unknown.extend(others.unknown);
        unknown.sort_unstable();
        unknown.dedup();
        Self {
            namespace: self.namespace.or(others.namespace),
            cluster_domain: self.cluster_domain.or(others.cluster_domain),
            nameservers: self.nameservers.or(others.nameservers),
            families: self.families.or(others.families),
            dns_tcp: self.dns_tcp.or(others.dns_tcp),
            dns_timeout: self.dns_timeout.or(others.dns_timeout),
            dns_attempts: self.dns_attempts.or(others.dns_attempts),
            dns_in_flight: self.dns_in_flight.or(others.dns_in_flight),
            overrides: self.overrides.or(others.overrides),
            overrides_file: self.overrides_file.or(others.overrides_file),
            service_env: self.service_env.or(others.service_env),
            cluster_only: self.cluster_only.or(others.cluster_only),
            deny_private: self.deny_private.or(others.deny_private),
            min_refresh: self.min_refresh.or(others.min_refresh),
            max_refresh: self.max_refresh.or(others.max_refresh),
            max_stale: self.max_stale.or(others.max_stale),
            removal_hold: self.removal_hold.or(others.removal_hold),
            retain_for: self.retain_for.or(others.retain_for),
            unknown,
        }
    }
}
