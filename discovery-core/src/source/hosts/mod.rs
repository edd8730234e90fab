//! The hosts file: the addresses of hosts that an operator wrote down (`/etc/hosts`, a pod's `hostAliases`).
//!
//! The DNS source reads it before it queries for a name as a host. It never answers for a Service, nor with the line
//! that the kubelet writes for the pod itself, which outlives the pod's address.

mod file;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use self::file::HostsFile;
use super::Evidence;
use crate::{
    environment::{Environment, Stamp},
    name::DomainName,
    plan::Families,
};

/// How long an address in the hosts file is used before the file is looked at again: no query goes out for it, so that
/// only the delay of a change counts.
pub(crate) const HOSTS_TTL: Duration = Duration::from_secs(5);

/// The shortest time between two looks at the file.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// How many skipped lines an explanation lists.
const LISTED: usize = 3;

/// The hosts file of an environment, read again when it changes.
#[derive(Debug, Default)]
pub(crate) struct Hosts {
    environment: Environment,
    state: Mutex<HostsState>,
}

#[derive(Debug, Default)]
struct HostsState {
    file: Arc<HostsFile>,
    stamp: Stamp,
    checked_at: Option<Instant>,
    /// The last look found a file without content, or no file, where there was content before.
    vanished: bool,
    /// Why the file cannot be read.
    error: Option<String>,
}

/// What the hosts file says about one name.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    /// The usable addresses; empty if the file has the name with unusable ones only.
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) evidence: Vec<Evidence>,
}

impl Hosts {
    pub(crate) fn new(environment: Environment) -> Self {
        Self { environment, state: Mutex::default() }
    }

    /// Returns what the file says about a name, or the reasons why it does not say anything. Reads the file's metadata
    /// at most once a second.
    pub(crate) fn find(&self, name: &DomainName, families: Families, now: Instant) -> Result<Listing, Vec<Evidence>> {
        let file = self.current(now);
        let mut listing = Listing { ips: Vec::new(), evidence: Vec::new() };
        let mut is_listed = false;
        for entry in file.get(name) {
            let answer = if entry.own {
                "not used: the line is the pod's own, and outlives the pod's address".to_owned()
            } else {
                is_listed = true;
                match unusable(entry.ip, families) {
                    Some(reason) => format!("{} is not used: {reason}", entry.ip),
                    None => {
                        listing.ips.push(entry.ip);
                        entry.ip.to_string()
                    }
                }
            };
            let asked = format!("{}, line {}", self.environment.hosts_place(), entry.line);
            listing.evidence.push(Evidence::new(asked, answer));
        }
        if is_listed { Ok(listing) } else { Err(listing.evidence) }
    }

    /// What was read, for explanations; `None` without a hosts file.
    pub(crate) fn evidence(&self, now: Instant) -> Option<Evidence> {
        let file = self.current(now);
        let error = self.lock().error.clone();
        if error.is_none() && file.name_count() == 0 && file.skipped().is_empty() {
            return None;
        }
        let mut parts = vec![format!("{}, {} names", self.environment.hosts_place(), file.name_count())];
        parts.extend(error);
        parts.extend(file.skipped().iter().take(LISTED).map(|skipped| format!("skipped {skipped}")));
        match file.skipped().len().saturating_sub(LISTED) {
            0 => {}
            more => parts.push(format!("and skipped {more} more")),
        }
        Some(Evidence::new("hosts file", parts.join("; ")))
    }

    fn current(&self, now: Instant) -> Arc<HostsFile> {
        let mut state = self.lock();
        let due = |at: Instant| now.saturating_duration_since(at) >= CHECK_INTERVAL;
        if state.checked_at.is_none_or(due) {
            let is_first = state.checked_at.is_none();
            state.checked_at = Some(now);
            let stamp = self.environment.hosts_stamp();
            if is_first || state.vanished || stamp != state.stamp {
                state.stamp = stamp;
                self.read(&mut state);
            }
        }
        state.file.clone()
    }

    /// Reads the file. While a tool writes it, it may be missing or empty for a moment: that counts when the next look
    /// finds the same.
    fn read(&self, state: &mut HostsState) {
        let text = match self.environment.hosts() {
            Ok(text) => text.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "the hosts file is not used, or what it said before stays in use");
                state.error = Some(error.to_string());
                return;
            }
        };
        state.error = None;
        let is_empty = text.trim().is_empty();
        if is_empty && state.file.name_count() > 0 && !state.vanished {
            state.vanished = true;
            return;
        }
        state.vanished = false;
        state.file = Arc::new(HostsFile::parse(&text, self.environment.pod_name()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HostsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns why an address is not used. Blocklists map names to the unspecified address, which libc connects to this
/// machine.
fn unusable(ip: IpAddr, families: Families) -> Option<&'static str> {
    if ip.is_unspecified() {
        return Some("it is the unspecified address, which blocks the name");
    }
    let is_reachable = ip.is_loopback() || if ip.is_ipv4() { families.v4() } else { families.v6() };
    (!is_reachable).then_some("this process does not use its address family")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn unspecified_addresses_block_and_foreign_families_are_left_out() {
        let text = "0.0.0.0 ads.example.com\nfd00::1 db\n10.0.0.1 db\n::1 local\n10.0.0.300 bad\n";
        let hosts = Hosts::new(Environment::empty().with_hosts(text));
        let find = |name: &str, families| hosts.find(&DomainName::new(name).unwrap(), families, clock::now());
        assert!(find("ads.example.com", Families::Both).unwrap().ips.is_empty());
        assert_eq!(find("db", Families::Both).unwrap().ips.len(), 2);
        assert_eq!(find("db", Families::V4).unwrap().ips, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(find("local", Families::V4).unwrap().ips.len(), 1, "loopback is always reachable");
        assert!(find("nobody", Families::Both).is_err());
        let evidence = hosts.evidence(clock::now()).unwrap().to_string();
        assert!(evidence.contains("skipped line 5") && evidence.contains("10.0.0.300"), "{evidence}");
    }
}
