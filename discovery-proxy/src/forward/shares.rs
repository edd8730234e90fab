//! Who may have how many of a bounded number of flows, so that one client cannot lock out the others.
//!
//! Two rules, both of which leave a lone client or Service most of the bound:
//!
//! * once half of the bound is taken, a source address that has a quarter of it gets no more;
//! * the last eighth of the bound is for Services that have few flows.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many flows of a Service may use the last eighth of the bound.
const MINIMUM: usize = 16;

/// The flows of each source address and of each Service.
#[derive(Debug)]
pub(super) struct Shares {
    max: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    /// Uses the standard hasher, because clients choose the keys.
    by_source: HashMap<IpAddr, usize>,
    by_service: HashMap<SocketAddr, usize>,
}

/// Why a flow gets no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The source address has its share.
    Source,
    /// The rest of the bound is for other Services, or nothing is left.
    Full,
}

/// The place of one flow, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Arc<Shares>,
    source: IpAddr,
    service: SocketAddr,
}

impl Shares {
    pub(super) fn new(max: u32) -> Self {
        Self { max: max as usize, counts: Mutex::default() }
    }

    /// Takes a place for a flow from `source` to `service`.
    pub(super) fn take(self: &Arc<Self>, source: IpAddr, service: SocketAddr) -> Result<Share, Refusal> {
        let source = source.to_canonical();
        let mut counts = self.lock();
        counts.check(self.max, source, service)?;
        counts.all += 1;
        *counts.by_source.entry(source).or_default() += 1;
        *counts.by_service.entry(service).or_default() += 1;
        Ok(Share { shares: self.clone(), source, service })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn check(&self, max: usize, source: IpAddr, service: SocketAddr) -> Result<(), Refusal> {
        let of_source = self.by_source.get(&source).copied().unwrap_or_default();
        // A bound of few flows has no shares to give.
        if max >= MINIMUM && self.all >= max / 2 && of_source >= max / 4 {
            return Err(Refusal::Source);
        }
        let of_service = self.by_service.get(&service).copied().unwrap_or_default();
        let for_all = if of_service < MINIMUM { max } else { max - max / 8 };
        if self.all >= for_all { Err(Refusal::Full) } else { Ok(()) }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.shares.lock();
        counts.all = counts.all.saturating_sub(1);
        release(&mut counts.by_source, &self.source);
        release(&mut counts.by_service, &self.service);
    }
}

fn release<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    fn service(n: u8) -> SocketAddr {
        ([10, 96, 0, n], 80).into()
    }

    /// Takes as many places as there are.
    fn flood(shares: &Arc<Shares>, from: u8, to: u8) -> (Vec<Share>, Refusal) {
        let mut taken = Vec::new();
        loop {
            match shares.take(source(from), service(to)) {
                Ok(share) => taken.push(share),
                Err(refusal) => return (taken, refusal),
            }
        }
    }

    #[test]
    fn one_source_takes_half_of_the_bound_and_several_a_quarter_each_of_the_rest() {
        let shares = Arc::new(Shares::new(800));
        let (first, refusal) = flood(&shares, 1, 1);
        assert_eq!((first.len(), refusal), (400, Refusal::Source));
        let (second, refusal) = flood(&shares, 2, 1);
        assert_eq!((second.len(), refusal), (200, Refusal::Source));
        let (third, refusal) = flood(&shares, 3, 1);
        assert_eq!((third.len(), refusal), (100, Refusal::Full), "an eighth is for other Services");
        let (fourth, _) = flood(&shares, 4, 2);
        assert_eq!(fourth.len(), MINIMUM);
        drop((first, second, third, fourth));
        assert_eq!(flood(&shares, 1, 1).0.len(), 400, "places are returned");
    }

    #[test]
    fn the_counts_of_sources_that_left_are_forgotten() {
        let shares = Arc::new(Shares::new(64));
        drop(shares.take(source(1), service(1)));
        let counts = shares.lock();
        assert!(counts.all == 0 && counts.by_source.is_empty() && counts.by_service.is_empty());
    }

    #[test]
    fn a_small_bound_is_only_a_bound() {
        for max in 1..8 {
            assert_eq!(flood(&Arc::new(Shares::new(max)), 1, 1).0.len(), max as usize, "{max}");
        }
    }
}
