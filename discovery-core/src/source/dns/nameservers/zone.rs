//! Whether a nameserver has proved that it serves the cluster's zone.
//!
//! The first nameserver is the one that the kubelet, or the user, names for the cluster. A later one may be the node's
//! resolver, which may answer any name: a captive portal and a wildcard answer all of them with one address. The proof
//! is what such a nameserver does not have: the TXT record `dns-version.<domain>` with a version (kubernetes/dns
//! specification 1.1.0, section 2.2), or an SOA record of the domain in a negative answer. Neither is secret; against a
//! nameserver that imitates a cluster on purpose, only TLS between Services helps.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    name::ClusterDomain,
    source::dns::message::{Query, Response, Rtype},
};

/// How long a proof counts. A resolver at the same address may serve another network by then.
const PROVED_FOR: Duration = Duration::from_secs(300);

/// How long a nameserver without a proof is not asked for it again.
const UNPROVED_FOR: Duration = Duration::from_secs(30);

/// The cluster's zone.
#[derive(Clone, Debug)]
pub(in super::super) struct Zone(Arc<str>);

impl Zone {
    pub(in super::super) fn new(domain: &ClusterDomain) -> Self {
        Self::of(&domain.to_string())
    }

    /// The zone of the text, which is in lower case.
    pub(in super::super) fn of(domain: &str) -> Self {
        Self(domain.strip_suffix('.').unwrap_or(domain).into())
    }

    /// Whether the queried name is in the zone.
    pub(super) fn contains(&self, query: &Query) -> bool {
        query.name().strip_suffix(&*self.0).is_some_and(|within| within.is_empty() || within.ends_with('.'))
    }

    /// The query whose answer is the proof.
    pub(super) fn proof(&self) -> Query {
        Query::new(format!("dns-version.{}", self.0), Rtype::Txt)
    }

    /// Whether the response, to a query in the zone, proves that its nameserver serves the zone.
    pub(super) fn is_proved_by(&self, response: &Response) -> bool {
        response.has_version(self.proof().name()) || response.is_denied_by(&self.0)
    }
}

/// What a nameserver showed about the zone, and when.
#[derive(Debug, Default)]
pub(super) struct ZoneMemory(Option<(bool, Instant)>);

impl ZoneMemory {
    /// Whether the nameserver has proved the zone; `None` if that is not known, or not any more.
    pub(super) fn is_proved(&self, now: Instant) -> Option<bool> {
        let (proved, at) = self.0?;
        let lasts = if proved { PROVED_FOR } else { UNPROVED_FOR };
        (now.saturating_duration_since(at) < lasts).then_some(proved)
    }

    pub(super) fn on_answer(&mut self, proved: bool, now: Instant) {
        self.0 = Some((proved, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_zone_contains_the_names_below_its_domain_only() {
        let zone = Zone::of("cluster.local");
        for (name, inside) in [
            ("orders.shop.svc.cluster.local", true),
            ("dns-version.cluster.local", true),
            ("cluster.local", true),
            ("orders.shop.svc.notcluster.local", false),
            ("orders.svc.example.com", false),
        ] {
            assert_eq!(zone.contains(&Query::new(name, Rtype::A)), inside, "{name}");
        }
    }

    #[test]
    fn a_proof_counts_for_five_minutes_and_its_absence_for_half_a_minute() {
        let now = clock::now();
        let mut memory = ZoneMemory::default();
        assert_eq!(memory.is_proved(now), None);
        for (proved, lasts) in [(true, PROVED_FOR), (false, UNPROVED_FOR)] {
            memory.on_answer(proved, now);
            assert_eq!(memory.is_proved(now + lasts - Duration::from_millis(1)), Some(proved));
            assert_eq!(memory.is_proved(now + lasts), None);
        }
    }
}
