//! What a target has taught about its two address families. Pure.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use super::record::Rtype;
use crate::plan::Families;

/// While one family has addresses and the other has none, the other is asked every tenth time only.
const EMPTY_FAMILY_EVERY: u32 = 10;

/// One family of one name.
#[derive(Clone, Debug, Default)]
pub(super) struct Family {
    /// The addresses of the last good answer, and when that was.
    last: Option<(Vec<IpAddr>, Instant)>,
    /// Refreshes since the family was first found to be empty.
    empty_for: u32,
    pub(super) large: bool,
}

impl Family {
    pub(super) fn found(&mut self, ips: Vec<IpAddr>, now: Instant) {
        self.last = Some((ips, now));
        self.empty_for = 0;
    }

    /// The first time after addresses may be one replica's mistake: it is asked again in the next round.
    pub(super) fn empty(&mut self) {
        self.empty_for = u32::from(self.last.take().is_none());
    }

    pub(super) fn skipped(&mut self) {
        self.empty_for = (self.empty_for + 1) % EMPTY_FAMILY_EVERY;
    }

    /// What still stands in for an answer that failed.
    pub(super) fn remembered(&self, now: Instant, max_stale: Duration) -> &[IpAddr] {
        match &self.last {
            Some((ips, at)) if now.saturating_duration_since(*at) <= max_stale => ips,
            _ => &[],
        }
    }

    /// The question of this family, as it is best asked.
    pub(super) fn question(&self, rtype: Rtype) -> (Rtype, bool) {
        (rtype, self.large)
    }

    fn is_known_empty(&self) -> bool {
        self.empty_for > 0
    }

    fn has_addresses(&self) -> bool {
        self.last.is_some()
    }
}

/// Both families of one name.
#[derive(Clone, Debug, Default)]
pub(super) struct FamilyMemory {
    pub(super) v4: Family,
    pub(super) v6: Family,
}

impl FamilyMemory {
    pub(super) fn of(&mut self, rtype: Rtype) -> &mut Family {
        if rtype == Rtype::Aaaa { &mut self.v6 } else { &mut self.v4 }
    }

    /// Which types to ask now, and which are left out because they were empty lately.
    pub(super) fn wanted(&self, families: Families) -> (Vec<Rtype>, Option<Rtype>) {
        match (families.v4(), families.v6()) {
            (true, true) if self.v4.has_addresses() && self.v6.is_known_empty() => (vec![Rtype::A], Some(Rtype::Aaaa)),
            (true, true) if self.v6.has_addresses() && self.v4.is_known_empty() => (vec![Rtype::Aaaa], Some(Rtype::A)),
            (true, true) => (vec![Rtype::A, Rtype::Aaaa], None),
            (false, true) => (vec![Rtype::Aaaa], None),
            _ => (vec![Rtype::A], None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f10_a_family_that_loses_its_addresses_is_asked_again_before_it_is_left_out() {
        let now = crate::clock::now();
        let mut memory = FamilyMemory::default();
        memory.v4.found(vec![[10, 0, 0, 1].into()], now);
        memory.v6.found(vec![std::net::Ipv6Addr::LOCALHOST.into()], now);
        memory.v6.empty();
        assert_eq!(memory.wanted(Families::Both).1, None);
        memory.v6.empty();
        assert_eq!(memory.wanted(Families::Both).1, Some(Rtype::Aaaa));
    }

    #[test]
    fn an_empty_family_is_asked_every_tenth_time() {
        let now = crate::clock::now();
        let mut memory = FamilyMemory::default();
        let mut asked = 0;
        for _ in 0..31 {
            let (wanted, skipped) = memory.wanted(Families::Both);
            memory.v4.found(vec![[10, 0, 0, 1].into()], now);
            if wanted.contains(&Rtype::Aaaa) {
                asked += 1;
                memory.v6.empty();
            }
            if let Some(rtype) = skipped {
                memory.of(rtype).skipped();
            }
        }
        assert_eq!(asked, 4, "rounds 1, 11, 21, 31");
    }
}
