//! iptables mode: a chain of coin tosses.
//!
//! Source: k/k pkg/proxy/iptables/proxier.go (`writeServiceToEndpointRules`). Rule `i` of `n` takes a connection with
//! probability `1 / (n - i)`, written with ten decimals, and the last takes what is left: each endpoint
//! gets `1 / n`. Here it is one uniform draw. A refused or silent endpoint is the client's problem: nothing
//! tries another one.

use discovery_core::policy::Rng;

use crate::affinity::Rule;

/// What can be set of iptables mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IptablesConfig {
    recent_limit: Option<usize>,
}

impl Default for IptablesConfig {
    fn default() -> Self {
        Self { recent_limit: Some(XT_RECENT_IP_LIST_TOT) }
    }
}

impl IptablesConfig {
    /// How many clients each endpoint remembers for session affinity. The kernel's default is 100, and whoever was
    /// last seen longest ago makes room; `None` lifts it.
    #[must_use]
    pub const fn with_recent_limit(mut self, limit: Option<usize>) -> Self {
        self.recent_limit = limit;
        self
    }

    pub(super) const fn rule(self) -> Rule {
        Rule { inclusive: true, limit: self.recent_limit }
    }
}

/// The probability of rule `at` of `n`, as it is written.
#[cfg(test)]
pub(crate) fn probability(at: usize, n: usize) -> String {
    format!("{:.10}", 1.0 / (n - at) as f64)
}

/// The place of one of so many endpoints, each as likely as the others.
pub(crate) fn uniform(count: usize, rng: &mut dyn Rng) -> Option<usize> {
    match count {
        0 => None,
        1 => Some(0),
        several => Some(rng.below(several)),
    }
}

/// `ip_list_tot` of linux net/netfilter/xt_recent.c.
const XT_RECENT_IP_LIST_TOT: usize = 100;
