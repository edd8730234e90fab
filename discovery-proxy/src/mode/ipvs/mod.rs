//! IPVS mode: the kernel's load balancer, with a virtual server for each address and port.
//!
//! Source: k/k pkg/proxy/ipvs/proxier.go (`syncService`, `syncEndpoint`), graceful_termination.go; linux
//! net/netfilter/ipvs/ip_vs_ctl.c, and one file for each scheduler.
//!
//! kube-proxy adds destinations in ascending order, and the kernel puts each at the head of its list. So schedulers at
//! first walk the list in descending order. A destination with weight 0 is never chosen. kube-proxy sets weight 1, and 0
//! while a destination drains.
//!
//! A virtual server has one set of destinations for all clients. With policy `Local` that is the local set, or the
//! cluster set if there is no local endpoint.

mod hashing;
mod list;
mod plan;
mod schedule;
#[cfg(test)]
mod tests;
mod virtual_server;
mod virtual_servers;

use std::{error, fmt, net::SocketAddr, str::FromStr, time::Duration};

pub use hashing::{Maglev, SourceHash};
pub use virtual_servers::Connection;
pub(crate) use virtual_servers::VirtualServers;

/// The algorithm that picks a destination (`--ipvs-scheduler`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheduler {
    /// `rr`: round robin.
    #[default]
    RoundRobin,
    /// `wrr`: round robin in proportion to weight.
    WeightedRoundRobin,
    /// `lc`: the fewest connections; an active one counts 256 times.
    LeastConnection,
    /// `wlc`: as `lc`, divided by weight.
    WeightedLeastConnection,
    /// `sed`: the fewest active connections including the new one, divided by weight.
    ShortestExpectedDelay,
    /// `nq`: a destination without active connections; otherwise as `sed`.
    NeverQueue,
    /// `sh`: a hash of the client's address.
    SourceHashing(SourceHash),
    /// `dh`: a hash of the virtual address, so all clients of an address get the same destination.
    DestinationHashing,
    /// `mh`: a consistent hash of the client's address, so few clients move when destinations change.
    Maglev(Maglev),
}

impl Scheduler {
    /// Whether the scheduler computes something from all destinations when they change.
    const fn reads_all(self) -> bool {
        matches!(self, Self::WeightedRoundRobin | Self::SourceHashing(_) | Self::DestinationHashing | Self::Maglev(_))
    }
}

/// The name does not belong to a scheduler of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownScheduler(String);

impl fmt::Display for UnknownScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not an IPVS scheduler: use one of rr, wrr, lc, wlc, sed, nq, sh, dh, mh", self.0)
    }
}

impl error::Error for UnknownScheduler {}

impl FromStr for Scheduler {
    type Err = UnknownScheduler;

    /// Parses the kernel's short name, as in `--ipvs-scheduler`. The empty string is `rr`.
    fn from_str(text: &str) -> Result<Self, UnknownScheduler> {
        Ok(match text {
            "" | "rr" => Self::RoundRobin,
            "wrr" => Self::WeightedRoundRobin,
            "lc" => Self::LeastConnection,
            "wlc" => Self::WeightedLeastConnection,
            "sed" => Self::ShortestExpectedDelay,
            "nq" => Self::NeverQueue,
            "sh" => Self::SourceHashing(SourceHash::default()),
            "dh" => Self::DestinationHashing,
            "mh" => Self::Maglev(Maglev::default()),
            unknown => return Err(UnknownScheduler(unknown.to_owned())),
        })
    }
}

/// The settings of IPVS mode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpvsConfig {
    scheduler: Scheduler,
}

impl IpvsConfig {
    /// Sets the scheduler; round robin by default.
    #[must_use]
    pub const fn with_scheduler(mut self, scheduler: Scheduler) -> Self {
        self.scheduler = scheduler;
        self
    }

    /// Returns the scheduler.
    #[must_use]
    pub const fn scheduler(&self) -> Scheduler {
        self.scheduler
    }
}

/// The destinations that a virtual server should have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Destinations<'a> {
    /// In ascending order.
    wanted: &'a [SocketAddr],
    /// Whether removed destinations may finish their connections.
    graceful: bool,
    /// The timeout of session affinity.
    timeout: Option<Duration>,
}

impl<'a> Destinations<'a> {
    pub(crate) const fn new(wanted: &'a [SocketAddr], graceful: bool, timeout: Option<Duration>) -> Self {
        Self { wanted, graceful, timeout }
    }
}
