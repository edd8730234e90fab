//! The reading of a name as a host that stands in the hosts file.

use std::time::Duration;

use super::{DnsSource, addresses::endpoints};
use crate::{
    clock,
    plan::HostsReading,
    source::{
        Evidence, State,
        hosts::{HOSTS_TTL, Listing},
    },
};

/// What the hosts file says about the name of one lookup.
#[derive(Debug)]
pub(super) struct ListedHost {
    reading: Option<HostsReading>,
    /// What the file says in this round.
    listing: Option<Listing>,
    /// The last answer with endpoints was that of the hosts file.
    pub(super) won: bool,
}

impl ListedHost {
    pub(super) fn new(reading: Option<HostsReading>) -> Self {
        Self { reading, listing: None, won: false }
    }

    /// Looks the name up in the file at the start of a round.
    pub(super) fn read(&mut self, source: &DnsSource, evidence: &mut Vec<Evidence>) {
        let found = |reading: &HostsReading| source.hosts.find(&reading.name, source.families, clock::now());
        self.listing = match self.reading.as_ref().map(found) {
            Some(Ok(listing)) => Some(listing),
            Some(Err(reasons)) => {
                evidence.extend(reasons);
                None
            }
            None => None,
        };
        self.won &= self.is_listed();
    }

    pub(super) fn is_listed(&self) -> bool {
        self.listing.is_some()
    }

    /// Whether the file has the name, and comes before the candidate at index `at`.
    pub(super) fn is_before(&self, at: usize) -> bool {
        self.is_listed() && self.reading.as_ref().is_some_and(|reading| at >= reading.before)
    }

    /// Returns the answer of the file, if it has the name. An entry without a usable address blocks the name: DNS is not
    /// queried for it.
    pub(super) fn answer(&mut self, port: u16, evidence: &mut Vec<Evidence>) -> Option<(State, Duration)> {
        let listing = self.listing.take()?;
        evidence.extend(listing.evidence);
        self.won = true;
        let state = match listing.ips.as_slice() {
            [] => State::Empty,
            ips => State::Ready(endpoints(ips, port)),
        };
        Some((state, HOSTS_TTL))
    }
}
