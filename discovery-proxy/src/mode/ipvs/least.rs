//! `lc`, `wlc`, `sed` and `nq`. Of equals, the first in list order.
//!
//! Source: linux net/netfilter/ipvs/ip_vs_lc.c, ip_vs_wlc.c, ip_vs_sed.c, ip_vs_nq.c.

use super::schedule::Dest;

/// `lc`: the smallest overhead.
pub(super) fn connection(dests: &[Dest]) -> Option<usize> {
    least(dests, |dest| (overhead(dest), 1))
}

/// `wlc`: the smallest overhead for its weight.
pub(super) fn weighted_connection(dests: &[Dest]) -> Option<usize> {
    least(dests, |dest| (overhead(dest), u64::from(dest.weight)))
}

/// `sed`: the fewest active connections, this one included, for its weight.
pub(super) fn expected_delay(dests: &[Dest]) -> Option<usize> {
    least(dests, |dest| (u64::from(dest.active) + 1, u64::from(dest.weight)))
}

/// `nq`: the first that is idle; else as `sed`.
pub(super) fn never_queue(dests: &[Dest]) -> Option<usize> {
    let idle = dests.iter().position(|dest| dest.weight > 0 && dest.active == 0);
    idle.or_else(|| expected_delay(dests))
}

/// An active connection is worth 256 of those that are closing.
fn overhead(dest: &Dest) -> u64 {
    u64::from(dest.active) * 256 + u64::from(dest.inactive)
}

/// The smallest fraction, compared without dividing.
fn least(dests: &[Dest], load: impl Fn(&Dest) -> (u64, u64)) -> Option<usize> {
    let mut open = dests.iter().enumerate().filter(|(_, dest)| dest.weight > 0);
    let better = |best: (usize, (u64, u64)), (at, dest): (usize, &Dest)| {
        let (best_load, best_weight) = best.1;
        let (this_load, this_weight) = load(dest);
        if best_load * this_weight > this_load * best_weight { (at, (this_load, this_weight)) } else { best }
    };
    let (first, dest) = open.next()?;
    Some(open.fold((first, load(dest)), better).0)
}
