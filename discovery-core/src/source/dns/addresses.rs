//! The addresses of one name: A and AAAA are queried separately, at the same time, and published as they arrive.

#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{Either, select};

use super::{
    DnsSource,
    answer::Answer,
    message::{Records, Rtype},
    nameservers::QueryOutcome,
};
use crate::{Error, clock, endpoint::Endpoint, plan::Families, source::Evidence};

/// How long the addresses of the first family wait for the other family before they are published alone.
/// RFC 8305 section 3 recommends 50 ms in total; half of that leaves time for the way to the request.
const RESOLUTION_DELAY: Duration = Duration::from_millis(25);

/// If one family has addresses and the other has none, the other is queried only in every tenth round.
const EMPTY_FAMILY_EVERY: u32 = 10;

/// The addresses of a name.
#[derive(Debug, Default)]
pub(super) struct AddressSet {
    pub(super) ips: Vec<IpAddr>,
    /// The targets of the CNAMEs between the name and its addresses, in their order.
    pub(super) aliases: Vec<Arc<str>>,
    /// Why the query for one family failed, if it did; the last known addresses of that family are among `ips`.
    pub(super) failed: Option<Error>,
}

/// Why the addresses of a name are unknown.
#[derive(Debug)]
pub(super) struct AddressFailure {
    pub(super) error: Error,
    /// Whether A was answered with NXDOMAIN, so that only AAAA failed: the name most likely does not exist. The reverse
    /// says nothing, because some servers deny AAAA for every name.
    pub(super) a_denied: bool,
}

impl From<&Records> for AddressSet {
    fn from(records: &Records) -> Self {
        Self { ips: records.ips().collect(), aliases: records.aliases().to_vec(), failed: None }
    }
}

impl From<Error> for AddressFailure {
    fn from(error: Error) -> Self {
        Self { error, a_denied: false }
    }
}

impl From<AddressFailure> for Error {
    fn from(failure: AddressFailure) -> Self {
        failure.error
    }
}

/// What earlier rounds showed about the two address families of one name.
#[derive(Clone, Debug, Default)]
pub(super) struct AddressMemory {
    v4: FamilyMemory,
    v6: FamilyMemory,
}

/// Gets the addresses of the first family, with their TTL, while the other family is slow.
pub(super) type Early<'a> = &'a mut (dyn FnMut(&AddressSet, Duration) + Send);

impl DnsSource {
    /// Queries each wanted family once. If one family is slow, `early` gets the addresses of the other.
    pub(super) async fn addresses(
        &self,
        name: &str,
        memory: &mut AddressMemory,
        max_stale: Duration,
        evidence: &mut Vec<Evidence>,
        early: Early<'_>,
    ) -> Result<Answer<AddressSet>, AddressFailure> {
        let (wanted, skipped) = memory.wanted(self.families);
        let ask = |rtype: Rtype, memory: &AddressMemory| self.nameservers.query(name, rtype, memory.of(rtype).large);
        let mut outcomes = match *wanted.as_slice() {
            [one, other] => both(ask(one, memory), ask(other, memory), early).await,
            [one] => vec![ask(one, memory).await],
            _ => Vec::new(),
        };
        // Without records of the other family, the family that was skipped decides whether the name exists.
        if let Some(rtype) = skipped {
            if outcomes.iter().any(is_found) {
                memory.of_mut(rtype).on_skipped();
            } else {
                outcomes.push(ask(rtype, memory).await);
            }
        }
        let mut merged = Merged::default();
        for outcome in outcomes {
            merged.add(outcome, memory, clock::now(), max_stale, evidence);
        }
        let answer = merged.finish();
        if matches!(answer, Ok(Answer::NoData { .. })) {
            evidence.extend(not_asked(name, self.families));
        }
        answer
    }
}

/// A name without records of the only family that this process has may have records of the other one.
fn not_asked(name: &str, families: Families) -> Option<Evidence> {
    let rtype = match (families.v4(), families.v6()) {
        (true, false) => Rtype::Aaaa,
        (false, true) => Rtype::A,
        _ => return None,
    };
    let why = format!("not asked: the address families of this process are {families} (DISCOVERY_IP_FAMILIES)");
    Some(Evidence::new(format!("{rtype} {name}."), why))
}

fn is_found(outcome: &QueryOutcome) -> bool {
    matches!(outcome.result, Ok(Answer::Found { .. }))
}

/// Waits for both queries. If the second one is slow, `early` gets the addresses of the first.
///
/// By RFC 8020, NXDOMAIN for one type says that there are no records of the other type either. It is not relied on:
/// CoreDNS's `template ANY AAAA` and the resolvers of Docker and of VPNs answer one type with it although the name
/// exists.
async fn both<F: Future<Output = QueryOutcome>>(one: F, other: F, early: Early<'_>) -> Vec<QueryOutcome> {
    let (one, other) = (Box::pin(one), Box::pin(other));
    let (first, mut rest) = match select(one, other).await {
        Either::Left((first, rest)) | Either::Right((first, rest)) => (first, rest),
    };
    if let Ok(Answer::Found { value, ttl }) = &first.result {
        if let Ok(second) = tokio::time::timeout(RESOLUTION_DELAY, &mut rest).await {
            return vec![first, second];
        }
        let set = AddressSet::from(value);
        if !set.ips.is_empty() {
            early(&set, *ttl);
        }
    }
    let second = rest.await;
    vec![first, second]
}

/// The answers for both families, merged into one.
#[derive(Debug, Default)]
struct Merged {
    ips: Vec<IpAddr>,
    aliases: Vec<Arc<str>>,
    found: bool,
    exists: bool,
    a_denied: bool,
    ttl: Option<Duration>,
    negative_ttl: Option<Duration>,
    failed: Option<Error>,
}

impl Merged {
    fn add(
        &mut self,
        outcome: QueryOutcome,
        memory: &mut AddressMemory,
        now: Instant,
        max_stale: Duration,
        evidence: &mut Vec<Evidence>,
    ) {
        let family = memory.of_mut(outcome.rtype);
        // After a failure UDP is tried again: TCP may be what is blocked, and the response may be small by now.
        family.large = outcome.result.is_ok() && outcome.large;
        evidence.extend(outcome.evidence);
        let shortest = |known: Option<Duration>, ttl| Some(known.map_or(ttl, |known: Duration| known.min(ttl)));
        match outcome.result {
            Ok(Answer::Found { value, ttl }) => {
                let AddressSet { ips, aliases, .. } = AddressSet::from(&value);
                if self.aliases.is_empty() {
                    self.aliases = aliases;
                }
                self.found |= !ips.is_empty();
                self.exists = true;
                self.ips.extend(&ips);
                self.ttl = shortest(self.ttl, ttl);
                family.on_found(ips, now);
            }
            Ok(Answer::NoData { ttl }) => {
                self.exists = true;
                self.negative_ttl = shortest(self.negative_ttl, ttl);
                family.on_empty();
            }
            Ok(Answer::NxDomain { ttl }) => {
                self.a_denied |= outcome.rtype == Rtype::A;
                self.negative_ttl = shortest(self.negative_ttl, ttl);
                family.on_empty();
            }
            Err(error) => {
                self.ips.extend(family.last_known(now, max_stale));
                self.failed = Some(error);
            }
        }
    }

    /// A name does not exist when every family that was queried says so. NXDOMAIN of one beside records of the other is
    /// NODATA; beside a failure of the other it is a failure.
    fn finish(self) -> Result<Answer<AddressSet>, AddressFailure> {
        let ttl = self.ttl.or(self.negative_ttl).unwrap_or_default();
        match (self.found, self.failed) {
            (true, failed) => {
                Ok(Answer::Found { value: AddressSet { ips: self.ips, aliases: self.aliases, failed }, ttl })
            }
            (false, Some(error)) => Err(AddressFailure { error, a_denied: self.a_denied }),
            (false, None) if self.exists => Ok(Answer::NoData { ttl }),
            (false, None) => Ok(Answer::NxDomain { ttl }),
        }
    }
}

impl AddressMemory {
    fn of(&self, rtype: Rtype) -> &FamilyMemory {
        if rtype == Rtype::Aaaa { &self.v6 } else { &self.v4 }
    }

    fn of_mut(&mut self, rtype: Rtype) -> &mut FamilyMemory {
        if rtype == Rtype::Aaaa { &mut self.v6 } else { &mut self.v4 }
    }

    /// Returns the types to query in this round, and the type that is skipped because it was empty recently.
    fn wanted(&self, families: Families) -> (Vec<Rtype>, Option<Rtype>) {
        match (families.v4(), families.v6()) {
            (true, true) if self.v4.has_addresses() && self.v6.is_known_empty() => (vec![Rtype::A], Some(Rtype::Aaaa)),
            (true, true) if self.v6.has_addresses() && self.v4.is_known_empty() => (vec![Rtype::Aaaa], Some(Rtype::A)),
            (true, true) => (vec![Rtype::A, Rtype::Aaaa], None),
            (false, true) => (vec![Rtype::Aaaa], None),
            _ => (vec![Rtype::A], None),
        }
    }
}

/// What earlier rounds showed about one address family of one name.
#[derive(Clone, Debug, Default)]
struct FamilyMemory {
    /// The addresses of the last positive answer, and its arrival.
    last: Option<(Vec<IpAddr>, Instant)>,
    /// The number of rounds since the family was first found empty; 0 if it is not known to be empty.
    empty_for: u32,
    /// Whether the last response was too large for UDP.
    large: bool,
}

impl FamilyMemory {
    fn on_found(&mut self, ips: Vec<IpAddr>, now: Instant) {
        self.last = Some((ips, now));
        self.empty_for = 0;
    }

    /// The first empty answer after addresses may be one replica's mistake, so the next round queries the family again.
    fn on_empty(&mut self) {
        self.empty_for = u32::from(self.last.take().is_none());
    }

    fn on_skipped(&mut self) {
        self.empty_for = (self.empty_for + 1) % EMPTY_FAMILY_EVERY;
    }

    /// Returns the addresses that replace the answer of a failed query.
    fn last_known(&self, now: Instant, max_stale: Duration) -> &[IpAddr] {
        match &self.last {
            Some((ips, at)) if now.saturating_duration_since(*at) <= max_stale => ips,
            _ => &[],
        }
    }

    fn is_known_empty(&self) -> bool {
        self.empty_for > 0
    }

    fn has_addresses(&self) -> bool {
        self.last.is_some()
    }
}

/// Returns one endpoint for each address, however often it is listed. Exactly one address of each family is one endpoint
/// with both.
pub(super) fn endpoints(ips: &[IpAddr], port: u16) -> Vec<Endpoint> {
    let mut ips: Vec<IpAddr> = ips.iter().map(IpAddr::to_canonical).collect();
    ips.sort_unstable();
    ips.dedup();
    let at = |ip: &IpAddr| SocketAddr::new(*ip, port);
    match ips.as_slice() {
        [v4 @ IpAddr::V4(_), v6 @ IpAddr::V6(_)] => vec![Endpoint::new(at(v4)).with_addr(at(v6))],
        ips => ips.iter().map(|ip| Endpoint::new(at(ip))).collect(),
    }
}
