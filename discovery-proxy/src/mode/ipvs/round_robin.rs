//! `rr` and `wrr`.
//!
//! Source: linux net/netfilter/ipvs/ip_vs_rr.c and ip_vs_wrr.c.

use super::schedule::{Dest, gcd_of_weights};

/// `rr`: goes on behind the destination chosen last, which a removal moves back by one.
#[derive(Debug, Default)]
pub(super) struct RoundRobin {
    /// The destination chosen last; `None` is the head of the list, before the first.
    last: Option<u64>,
}

impl RoundRobin {
    pub(super) fn schedule(&mut self, dests: &[Dest]) -> Option<usize> {
        let behind = position(dests, self.last).map_or(0, |at| at + 1);
        let at =
            (behind..dests.len()).chain(0..behind).find(|at| dests.get(*at).is_some_and(|dest| dest.weight > 0))?;
        self.last = dests.get(at).map(|dest| dest.id);
        Some(at)
    }

    pub(super) fn removed(&mut self, id: u64, at: usize, dests: &[Dest]) {
        if self.last == Some(id) {
            self.last = at.checked_sub(1).and_then(|before| dests.get(before)).map(|dest| dest.id);
        }
    }
}

/// `wrr`: walks the list again and again, each time for those with at least the current weight, which goes down from
/// the highest by what divides all weights.
#[derive(Debug, Default)]
pub(super) struct Weighted {
    /// The destination chosen last (`cl`); `None` is the head of the list.
    last: Option<u64>,
    /// Current weight (`cw`).
    current: i64,
    /// Where the current weight starts (`mw`); 0 when nothing can be chosen.
    highest: i64,
    /// By how much it goes down (`di`).
    step: i64,
}

impl Weighted {
    pub(super) fn changed(&mut self, dests: &[Dest]) {
        self.last = None;
        self.step = i64::from(gcd_of_weights(dests).unwrap_or(1));
        let highest = dests.iter().map(|dest| i64::from(dest.weight)).max().unwrap_or(0);
        // All weights 0: the kernel comes to 0 as well, by a step of 1.
        self.highest = highest - (self.step - 1);
        if self.current > self.highest || self.current == 0 {
            self.current = self.highest;
        } else if self.step > 1 {
            self.current = self.current / self.step * self.step + 1;
        }
    }

    pub(super) fn schedule(&mut self, dests: &[Dest]) -> Option<usize> {
        if self.highest <= 0 {
            return None;
        }
        let mut from = position(dests, self.last).map_or(0, |at| at + 1);
        // The destination of the highest weight is met after `highest / step` walks at the latest.
        loop {
            let heavy = |at: &usize| dests.get(*at).is_some_and(|dest| i64::from(dest.weight) >= self.current);
            if let Some(at) = (from..dests.len()).find(heavy) {
                self.last = dests.get(at).map(|dest| dest.id);
                return Some(at);
            }
            from = 0;
            self.current -= self.step;
            if self.current <= 0 {
                self.current = self.highest;
            }
        }
    }
}

fn position(dests: &[Dest], id: Option<u64>) -> Option<usize> {
    dests.iter().position(|dest| Some(dest.id) == id)
}
