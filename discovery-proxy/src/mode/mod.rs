//! The ways to spread connections, each as its dataplane does it.
//!
//! | mode | spread | affinity belongs to | limits of the real one that are kept |
//! |---|---|---|---|
//! | [`Mode::Userspace`] | round robin over a shuffled list | the port of the Service | no SCTP, no policies, ranges or hints |
//! | [`Mode::Iptables`] | uniform | (port, endpoint) | [100 clients for each endpoint](IptablesConfig::with_recent_limit), no retry |
//! | [`Mode::Ipvs`] | a [scheduler](Scheduler) of the kernel | (address, port) | [`sh` and `dh` refuse instead of looking further](SourceHash) |
//! | [`Mode::Nftables`] | uniform | (port, endpoint) | no retry |

mod cell;
mod iptables;
pub(super) mod ipvs;
mod nftables;
mod select;
mod userspace;

pub(super) use cell::{Ask, Cell};
pub use iptables::IptablesConfig;
#[cfg(test)]
pub(super) use iptables::probability;
pub(super) use iptables::uniform;
pub use ipvs::{Connection, IpvsConfig, Maglev, Scheduler, SourceHash, UnknownScheduler};
pub use select::{Kernel, KubeProxyFallback, ModeError, ModeSelection, select};
pub use userspace::{DIAL_TIMEOUTS, Dial, DialAttempt};

/// How connections are spread, and whose limits are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// The proxy ends connections itself. Gone since Kubernetes 1.26.
    Userspace,
    /// Rules of netfilter's old interface.
    Iptables(IptablesConfig),
    /// The kernel's load balancer.
    Ipvs(IpvsConfig),
    /// Rules of netfilter's new interface.
    Nftables,
}
