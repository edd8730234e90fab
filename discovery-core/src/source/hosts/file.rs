//! The parser of a hosts file.

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use crate::name::DomainName;

/// A parsed hosts file (hosts(5), and the kubelet's `managedHostsFileContent` in `pkg/kubelet/kubelet_pods.go`).
///
/// Several lines for one name add up. The lines that the kubelet writes for the pod itself are kept apart, because they
/// outlive the pod's address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostsFile {
    names: BTreeMap<DomainName, Vec<Entry>>,
    skipped: Vec<SkippedLine>,
}

/// One address of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The line number; the first line is 1.
    pub(crate) line: usize,
    pub(crate) ip: IpAddr,
    /// Whether the line is the pod's own.
    pub(crate) own: bool,
}

/// A line, or a name in it, that was ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SkippedLine {
    line: usize,
    text: String,
    reason: String,
}

impl fmt::Display for SkippedLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, `{}`: {}", self.line, self.text.escape_debug(), self.reason)
    }
}

impl HostsFile {
    /// Parses the text of the file. This cannot fail: invalid lines are skipped with a reason. `own_name` is the host
    /// name of the pod, if this process runs in one.
    pub(crate) fn parse(text: &str, own_name: Option<&str>) -> Self {
        let mut parsed = Self::default();
        let header = text.lines().next().unwrap_or_default();
        // On the host network the kubelet copies the node's file.
        let mut by_kubelet = header.starts_with(KUBELET_HEADER) && !header.contains("host network");
        let mut is_alias = false;
        for (at, line) in text.lines().enumerate() {
            if line.trim().starts_with(ALIASES_HEADER) {
                (by_kubelet, is_alias) = (false, true);
            }
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(address) = words.next() else { continue };
            let names: Vec<&str> = words.collect();
            let is_own = |name: &&str| own_name.is_some_and(|own| own.eq_ignore_ascii_case(name));
            let own = by_kubelet || (!is_alias && names.iter().any(is_own));
            parsed.line(at + 1, address, &names, own);
        }
        parsed
    }

    /// The addresses of a name, in the order of the file.
    pub(crate) fn get(&self, name: &DomainName) -> &[Entry] {
        self.names.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn name_count(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn skipped(&self) -> &[SkippedLine] {
        &self.skipped
    }

    fn line(&mut self, line: usize, address: &str, names: &[&str], own: bool) {
        let ip = match parse_address(address) {
            Ok(ip) => ip,
            Err(reason) => return self.skip(line, &format!("{address} {}", names.join(" ")), reason),
        };
        if names.is_empty() {
            return self.skip(line, address, "the name is missing");
        }
        for name in names {
            match DomainName::new(name) {
                Ok(name) => self.names.entry(name).or_default().push(Entry { line, ip, own }),
                Err(error) => self.skip(line, name, error.rule()),
            }
        }
    }

    fn skip(&mut self, line: usize, text: &str, reason: impl Into<String>) {
        if self.skipped.len() < MAX_SKIPPED {
            let text = text.trim().chars().take(MAX_SHOWN).collect();
            self.skipped.push(SkippedLine { line, text, reason: reason.into() });
        }
    }
}

fn parse_address(text: &str) -> Result<IpAddr, &'static str> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip.to_canonical());
    }
    match text.split_once('%') {
        Some((ip, zone)) if !zone.is_empty() && ip.parse::<Ipv6Addr>().is_ok() => {
            Err("an address with a zone is not supported; write the address without `%` and what follows it")
        }
        _ => Err("a line must start with an IPv4 or IPv6 address"),
    }
}

/// The first line of a file that the kubelet writes; on the host network it continues with `(host network)`.
const KUBELET_HEADER: &str = "# Kubernetes-managed hosts file";

/// The kubelet writes this line before the entries of `hostAliases`.
const ALIASES_HEADER: &str = "# Entries added by HostAliases.";

/// The longest text kept of a skipped line, in characters.
const MAX_SHOWN: usize = 100;

/// How many skipped lines are kept: the first ones show what is wrong with a file.
const MAX_SKIPPED: usize = 100;

#[cfg(test)]
mod tests;
