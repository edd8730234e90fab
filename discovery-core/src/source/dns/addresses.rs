//! A and AAAA of one name: asked apart, at the same time, and published as they come.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use futures_util::future::{Either, select};

use super::{
    ask::{Asked, Asker, Outcome},
    families::FamilyMemory,
    record::{Record, Rtype},
};
use crate::{Error, clock, plan::Families, source::Evidence};

/// How long the first family's addresses wait for the other family before they are published alone.
/// RFC 8305 section 3 recommends 50 ms in all; half of it leaves room for the way to the request.
const RESOLUTION_DELAY: Duration = Duration::from_millis(25);

/// What is known of a name after one round of questions.
#[derive(Debug)]
pub(super) enum Addresses {
    /// `failed` tells of the family that could not be asked; its last addresses are among `ips`.
    Found {
        ips: Vec<IpAddr>,
        ttl: Duration,
        failed: Option<Error>,
    },
    NoData {
        ttl: Duration,
    },
    NxDomain {
        ttl: Duration,
    },
    Failed(Error),
}

/// Asks for the addresses of one name.
#[derive(Debug)]
pub(super) struct AddressQuestion<'a> {
    pub(super) asker: &'a Asker,
    pub(super) name: &'a str,
    pub(super) families: Families,
    pub(super) max_stale: Duration,
}

impl AddressQuestion<'_> {
    /// Asks once for each family that is wanted; `early` is told one family's addresses when the other is
    /// slow.
    pub(super) async fn ask(
        &self,
        memory: &mut FamilyMemory,
        evidence: &mut Vec<Evidence>,
        early: &mut (dyn FnMut(&[IpAddr], Duration) + Send),
    ) -> Addresses {
        let (wanted, skipped) = memory.wanted(self.families);
        let mut all = match *wanted.as_slice() {
            [one, other] => {
                let (one, other) = (memory.of(one).question(one), memory.of(other).question(other));
                self.both(one, other, early).await
            }
            [one] => vec![self.single(memory.of(one).question(one)).await],
            _ => Vec::new(),
        };
        let denied = all.iter().any(|asked| matches!(asked.result, Ok(Outcome::NxDomain { .. })));
        if let Some(rtype) = skipped.filter(|_| !denied) {
            if all.iter().any(|asked| matches!(asked.result, Ok(Outcome::Found { .. }))) {
                memory.of(rtype).skipped();
            } else {
                all.push(self.single(memory.of(rtype).question(rtype)).await);
            }
        }
        let mut gathered = Gathered::default();
        for asked in all {
            gathered.add(asked, memory, clock::now(), self.max_stale, evidence);
        }
        gathered.finish()
    }

    async fn single(&self, (rtype, large): (Rtype, bool)) -> Asked {
        self.asker.ask(self.name, rtype, large).await
    }

    async fn both(
        &self,
        one: (Rtype, bool),
        other: (Rtype, bool),
        early: &mut (dyn FnMut(&[IpAddr], Duration) + Send),
    ) -> Vec<Asked> {
        let (one, other) = (Box::pin(self.single(one)), Box::pin(self.single(other)));
        let (first, mut rest) = match select(one, other).await {
            Either::Left((first, rest)) | Either::Right((first, rest)) => (first, rest),
        };
        // A name without any record has none of the other type either (RFC 8020). Only the A question is taken
        // at its word: some servers deny AAAA in this way.
        if first.rtype == Rtype::A && matches!(first.result, Ok(Outcome::NxDomain { .. })) {
            return vec![first];
        }
        if let Ok(Outcome::Found { records, ttl, .. }) = &first.result {
            if let Ok(second) = tokio::time::timeout(RESOLUTION_DELAY, &mut rest).await {
                return vec![first, second];
            }
            early(&usable(records), *ttl);
        }
        let second = rest.await;
        vec![first, second]
    }
}

/// The addresses that a request can be sent to: `0.0.0.0` and `::` would lead back to this machine.
pub(super) fn usable(records: &[Record]) -> Vec<IpAddr> {
    records.iter().filter_map(|record| record.data.ip()).filter(|ip| !ip.is_unspecified()).collect()
}

#[derive(Debug, Default)]
struct Gathered {
    ips: Vec<IpAddr>,
    found: bool,
    exists: bool,
    denied: bool,
    ttl: Option<Duration>,
    negative: Option<Duration>,
    failed: Option<Error>,
}

impl Gathered {
    fn add(
        &mut self,
        asked: Asked,
        memory: &mut FamilyMemory,
        now: Instant,
        max_stale: Duration,
        evidence: &mut Vec<Evidence>,
    ) {
        let family = memory.of(asked.rtype);
        // After a failure UDP has its turn again: it may be TCP that does not get through, and the answer small by now.
        family.large = asked.result.is_ok() && asked.large;
        evidence.extend(asked.evidence);
        match asked.result {
            Ok(Outcome::Found { records, ttl, .. }) => {
                let ips = usable(&records);
                self.found |= !ips.is_empty();
                self.exists = true;
                self.ips.extend(&ips);
                self.ttl = Some(self.ttl.map_or(ttl, |least| least.min(ttl)));
                family.found(ips, now);
            }
            Ok(Outcome::NoData { ttl }) => {
                self.exists = true;
                self.negative = Some(self.negative.map_or(ttl, |least| least.min(ttl)));
                family.empty();
            }
            Ok(Outcome::NxDomain { ttl }) => {
                self.denied = true;
                self.negative = Some(self.negative.map_or(ttl, |least| least.min(ttl)));
                family.empty();
            }
            Err(error) => {
                self.ips.extend(family.remembered(now, max_stale));
                self.failed = Some(error);
            }
        }
    }

    fn finish(self) -> Addresses {
        let ttl = self.ttl.or(self.negative).unwrap_or_default();
        match (self.found, self.failed) {
            (true, failed) => Addresses::Found { ips: self.ips, ttl, failed },
            // What failed could not have been found.
            (false, Some(_)) if self.denied => Addresses::NxDomain { ttl },
            (false, Some(error)) => Addresses::Failed(error),
            (false, None) if self.exists => Addresses::NoData { ttl },
            (false, None) => Addresses::NxDomain { ttl },
        }
    }
}
