//! IPVS mode: the kernel's load balancer, a virtual server for each address and port.
//!
//! Source: k/k pkg/proxy/ipvs/proxier.go (`syncService`, `syncEndpoint`), graceful_termination.go; linux
//! net/netfilter/ipvs/ip_vs_ctl.c, and one file for each scheduler.
//!
//! kube-proxy adds destinations in ascending order and the kernel puts each at the head of its list, so the list that
//! schedulers walk is in descending order at first. One with weight 0 is never chosen. kube-proxy gives weight 1,
//! and 0 while a destination drains.
//!
//! A virtual server has one set of destinations, whoever the client is: with policy `Local` that is the local
//! set, or the cluster set when there is no local endpoint.

mod connection;
mod hashing;
mod least;
mod maglev;
mod persistence;
mod round_robin;
mod schedule;
mod server;
mod servers;

use std::{error, fmt, str::FromStr};

pub use connection::Connection;
pub use hashing::SourceHash;
pub use maglev::Maglev;
pub(crate) use server::{Destinations, VirtualServer};
pub(crate) use servers::Servers;

/// How the kernel picks a destination (`--ipvs-scheduler`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheduler {
    /// `rr`: one after the other.
    #[default]
    RoundRobin,
    /// `wrr`: the same, more often by weight.
    WeightedRoundRobin,
    /// `lc`: the fewest connections; active ones count 256 times.
    LeastConnection,
    /// `wlc`: the same, divided by weight.
    WeightedLeastConnection,
    /// `sed`: the fewest active connections after this one, divided by weight.
    ShortestExpectedDelay,
    /// `nq`: whoever has no active connection; else as `sed`.
    NeverQueue,
    /// `sh`: by the client's address.
    SourceHashing(SourceHash),
    /// `dh`: by the virtual address, so that all clients of one address get the same destination.
    DestinationHashing,
    /// `mh`: by the client's address, with few clients moving when destinations change.
    Maglev(Maglev),
}

/// No scheduler of the kernel has that name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownScheduler(String);

impl fmt::Display for UnknownScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no IPVS scheduler: choose one of rr, wrr, lc, wlc, sed, nq, sh, dh, mh", self.0)
    }
}

impl error::Error for UnknownScheduler {}

impl FromStr for Scheduler {
    type Err = UnknownScheduler;

    /// The kernel's short name, as `--ipvs-scheduler` takes it; nothing is `rr`.
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

/// What can be set of IPVS mode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpvsConfig {
    scheduler: Scheduler,
}

impl IpvsConfig {
    /// The scheduler; round robin when not set.
    #[must_use]
    pub const fn with_scheduler(mut self, scheduler: Scheduler) -> Self {
        self.scheduler = scheduler;
        self
    }

    /// The scheduler.
    #[must_use]
    pub const fn scheduler(&self) -> Scheduler {
        self.scheduler
    }
}
