//! Which mode a flag leads to, on a kernel that may lack it.
//!
//! Source: k/k cmd/kube-proxy/app/server_linux.go (today), server_others.go before 1.27 (`tryIPVSProxy`,
//! `tryIPTablesProxy`). Until then the chain was IPVS, iptables, userspace, and an unknown word meant iptables with a
//! warning. Today kube-proxy ends with an error.

use std::{error, fmt};

use super::{IptablesConfig, IpvsConfig, Mode};

/// What the kernel offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "one field for each mode that asks something of the kernel")]
pub struct Kernel {
    /// netfilter's old interface.
    pub iptables: bool,
    /// The load balancer, and sets of addresses.
    pub ipvs: bool,
    /// netfilter's new interface.
    pub nftables: bool,
}

/// How kube-proxy behaves when the kernel lacks a mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KubeProxyFallback {
    /// It ends with an error.
    #[default]
    Current,
    /// It takes the next simpler mode. There was no nftables mode then: the word was unknown.
    Historical,
}

/// The mode to run, and what kube-proxy would log on the way there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModeSelection {
    /// The mode.
    pub mode: Mode,
    /// Why it is not the one asked for.
    pub warning: Option<String>,
}

/// The proxy cannot run in the mode asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeError {
    text: String,
}

impl fmt::Display for ModeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl error::Error for ModeError {}

/// What `--proxy-mode` leads to. Nothing is iptables.
///
/// # Errors
///
/// Today's kube-proxy does not run in this mode on this kernel.
pub fn select(wanted: &str, kernel: Kernel, era: KubeProxyFallback) -> Result<ModeSelection, ModeError> {
    match era {
        KubeProxyFallback::Current => current(wanted, kernel).map(|mode| ModeSelection { mode, warning: None }),
        KubeProxyFallback::Historical => Ok(historical(wanted, kernel)),
    }
}

fn current(wanted: &str, kernel: Kernel) -> Result<Mode, ModeError> {
    let (mode, is_there, name, what) = match wanted {
        "" | "iptables" => (Mode::Iptables(IptablesConfig::default()), kernel.iptables, "iptables", "iptables"),
        "ipvs" => (Mode::Ipvs(IpvsConfig::default()), kernel.ipvs, "IPVS", "ipvs"),
        "nftables" => (Mode::Nftables, kernel.nftables, "nftables", "nftables"),
        unknown => {
            let text = format!("unknown proxy mode: {unknown:?}: must be \"iptables\", \"ipvs\" or \"nftables\"");
            return Err(ModeError { text });
        }
    };
    match is_there {
        true => Ok(mode),
        false => Err(ModeError { text: format!("can't use the {name} proxier: {what} not supported") }),
    }
}

fn historical(wanted: &str, kernel: Kernel) -> ModeSelection {
    let iptables = || Mode::Iptables(IptablesConfig::default());
    let mut warning = None;
    let mut mode = match wanted {
        "userspace" => Mode::Userspace,
        "ipvs" => Mode::Ipvs(IpvsConfig::default()),
        "" | "iptables" => iptables(),
        unknown => {
            warning = Some(format!("Unknown proxy mode {unknown:?}, assuming iptables proxy"));
            iptables()
        }
    };
    if matches!(mode, Mode::Ipvs(_)) && !kernel.ipvs {
        warning = Some("Can't use ipvs proxier, trying iptables proxier".to_owned());
        mode = iptables();
    }
    if matches!(mode, Mode::Iptables(_)) && !kernel.iptables {
        warning = Some("Can't use iptables proxy, using userspace proxier".to_owned());
        mode = Mode::Userspace;
    }
    ModeSelection { mode, warning }
}
