//! The mode that `--proxy-mode` selects, on a kernel that may not support it.
//!
//! Source: k/k cmd/kube-proxy/app/server_linux.go (today), server_others.go before 1.27 (`tryIPVSProxy`,
//! `tryIPTablesProxy`). Before 1.27, kube-proxy fell back from IPVS to iptables and from iptables to userspace, and used
//! iptables with a warning for an unknown mode. Today it exits with an error.

use std::{error, fmt};

use super::{IptablesConfig, IpvsConfig, Mode};

/// The features that the kernel supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "one field for each mode that needs kernel support")]
pub struct Kernel {
    /// Whether the kernel supports iptables, netfilter's older interface.
    pub iptables: bool,
    /// Whether the kernel supports IPVS and ipsets.
    pub ipvs: bool,
    /// Whether the kernel supports nftables, netfilter's newer interface.
    pub nftables: bool,
}

/// How kube-proxy behaves when the kernel does not support the requested mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KubeProxyFallback {
    /// kube-proxy exits with an error.
    #[default]
    Current,
    /// kube-proxy before 1.27 falls back to the next simpler mode. `nftables` is an unknown mode there.
    Historical,
}

/// The mode to run, and the warnings that kube-proxy would log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModeSelection {
    /// The mode to run.
    pub mode: Mode,
    /// Why `mode` is not the requested one, one warning for each step to another mode, in their order; empty if it is the
    /// requested one.
    pub warnings: Vec<String>,
}

impl ModeSelection {
    /// Selects the mode for a value of `--proxy-mode`. An empty value selects iptables mode.
    ///
    /// # Errors
    ///
    /// With [`KubeProxyFallback::Current`], fails if the mode is unknown or the kernel does not support it.
    pub fn from_flag(flag: &str, kernel: Kernel, fallback: KubeProxyFallback) -> Result<Self, ModeError> {
        match fallback {
            KubeProxyFallback::Current => current(flag, kernel).map(|mode| Self { mode, warnings: Vec::new() }),
            KubeProxyFallback::Historical => Ok(historical(flag, kernel)),
        }
    }
}

/// kube-proxy cannot run in the requested mode.
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

fn current(flag: &str, kernel: Kernel) -> Result<Mode, ModeError> {
    let (mode, is_supported, name, feature) = match flag {
        "" | "iptables" => (Mode::Iptables(IptablesConfig::default()), kernel.iptables, "iptables", "iptables"),
        "ipvs" => (Mode::Ipvs(IpvsConfig::default()), kernel.ipvs, "IPVS", "ipvs"),
        "nftables" => (Mode::Nftables, kernel.nftables, "nftables", "nftables"),
        unknown => {
            let text = format!("unknown proxy mode: {unknown:?}: must be \"iptables\", \"ipvs\" or \"nftables\"");
            return Err(ModeError { text });
        }
    };
    match is_supported {
        true => Ok(mode),
        false => Err(ModeError { text: format!("can't use the {name} proxier: {feature} not supported") }),
    }
}

fn historical(flag: &str, kernel: Kernel) -> ModeSelection {
    let iptables = || Mode::Iptables(IptablesConfig::default());
    let mut warnings = Vec::new();
    let mut mode = match flag {
        "userspace" => Mode::Userspace,
        "ipvs" => Mode::Ipvs(IpvsConfig::default()),
        "" | "iptables" => iptables(),
        unknown => {
            warnings.push(format!("Unknown proxy mode {unknown:?}, assuming iptables proxy"));
            iptables()
        }
    };
    if matches!(mode, Mode::Ipvs(_)) && !kernel.ipvs {
        warnings.push("Can't use ipvs proxier, trying iptables proxier".to_owned());
        mode = iptables();
    }
    if matches!(mode, Mode::Iptables(_)) && !kernel.iptables {
        warnings.push("Can't use iptables proxy, using userspace proxier".to_owned());
        mode = Mode::Userspace;
    }
    ModeSelection { mode, warnings }
}
