//! The settings of this crate.

#[cfg(feature = "resolver")]
mod variables;

use std::{net::SocketAddr, time::Duration};

use super::Families;
use crate::name::{ClusterDomain, Namespace};

/// What was set for this crate, in code or by variables; `None` where nothing was.
///
/// # Variables
#[doc = include_str!("variables.md")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// The own namespace.
    pub namespace: Option<Namespace>,
    /// The cluster's domain.
    pub cluster_domain: Option<ClusterDomain>,
    /// Whom to ask; not empty.
    pub nameservers: Option<Vec<SocketAddr>>,
    /// Which addresses to ask for.
    pub families: Option<Families>,
    /// Whether to ask over TCP from the start.
    pub dns_tcp: Option<bool>,
    /// How long to wait for one answer; 10 ms to 30 s.
    pub dns_timeout: Option<Duration>,
    /// How often to ask one question altogether; 1 to 5.
    pub dns_attempts: Option<u32>,
    /// Whether the environment variables of Services are read.
    pub service_env: Option<bool>,
    /// Shortest time between two questions for one name; 100 ms to 1 h.
    pub min_refresh: Option<Duration>,
    /// Longest time between two questions for one name; 100 ms to 24 h.
    pub max_refresh: Option<Duration>,
    /// How long the last good answer is used while no new one can be had; up to 24 h.
    pub max_stale: Option<Duration>,
    /// How long an address that is missing from an answer is kept; up to 1 min.
    pub removal_hold: Option<Duration>,
    /// Variables that begin with `DISCOVERY_`, are set to something, and that this version does not know: to
    /// be logged, because a typing error must be visible. Sorted. Those of a Service whose name begins with
    /// `discovery` are not among them.
    pub unknown: Vec<String>,
}

impl Settings {
    /// These settings, completed by `others` where they say nothing; what is unknown comes from both.
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
            service_env: self.service_env.or(others.service_env),
            min_refresh: self.min_refresh.or(others.min_refresh),
            max_refresh: self.max_refresh.or(others.max_refresh),
            max_stale: self.max_stale.or(others.max_stale),
            removal_hold: self.removal_hold.or(others.removal_hold),
            unknown,
        }
    }
}
