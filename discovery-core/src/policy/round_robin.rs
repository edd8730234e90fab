//! Round robin.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Decision, LoadedEndpoints, PickArgs, Picker, Policy, Rng, SplitMix64};

/// Picks each endpoint in turn, regardless of weight and load.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RoundRobin {}

impl RoundRobin {
    /// Creates the policy, which has no settings.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl Policy for RoundRobin {
    fn picker(&self, endpoints: &LoadedEndpoints, seed: u64) -> Box<dyn Picker> {
        Box::new(RoundRobinPicker { endpoints: endpoints.clone(), circle: Circle::new(endpoints.len(), seed) })
    }
}

#[derive(Debug)]
struct RoundRobinPicker {
    endpoints: LoadedEndpoints,
    circle: Circle,
}

/// A hand on a circle of 2^64 points, of which each endpoint owns an equal part.
///
/// One addition moves the hand, and wraps by itself; one multiplication finds the owner of its position. Counting with
/// a division would take half as long again.
#[derive(Debug)]
struct Circle {
    hand: AtomicU64,
    count: u64,
    /// The size of one endpoint's part, rounded up. The hand starts in the middle of a part, and the rounding moves it
    /// into another part after 2^63 steps for each endpoint at the earliest.
    part: u64,
}

impl Circle {
    fn new(count: usize, seed: u64) -> Self {
        let count = count as u64;
        // A single endpoint owns all 2^64 points, which wraps to 0.
        let part = (u64::MAX / count.max(1)).wrapping_add(1);
        let first = SplitMix64::with_seed(seed).next_u64() % count.max(1);
        Self { hand: AtomicU64::new(first.wrapping_mul(part).wrapping_add(part / 2)), count, part }
    }

    /// Returns whose turn it is, and moves the hand on.
    fn turn(&self) -> usize {
        let hand = self.hand.fetch_add(self.part, Relaxed);
        ((u128::from(hand) * u128::from(self.count)) >> 64) as usize
    }

    /// Skips this many turns.
    fn skip(&self, turns: usize) {
        self.hand.fetch_add(self.part.wrapping_mul(turns as u64), Relaxed);
    }
}

impl Picker for RoundRobinPicker {
    fn pick(&self, args: &mut PickArgs<'_>) -> Decision {
        let count = self.endpoints.len();
        if count == 0 {
            return Decision::Wait;
        }
        let turn = self.circle.turn();
        if args.tried.is_empty() {
            return Decision::Endpoint(turn);
        }
        let Some(skipped) = self.first_untried(turn, args) else {
            return Decision::from(None);
        };
        // Otherwise the endpoint after a failing one would get the failing endpoint's turns on top of its own.
        if skipped > 0 {
            self.circle.skip(skipped);
        }
        Decision::Endpoint((turn + skipped) % count)
    }
}

impl RoundRobinPicker {
    /// The distance from `turn` to the next endpoint that has not been tried.
    fn first_untried(&self, turn: usize, args: &PickArgs<'_>) -> Option<usize> {
        let (before, after) = self.endpoints.split_at_checked(turn)?;
        after.iter().chain(before).position(|loaded| !args.tried.contains(loaded.identity()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_gets_its_turn_for_any_count() {
        for count in [1_usize, 2, 3, 5, 7, 10, 64, 100, 999, 10_000] {
            for seed in 0..5 {
                let circle = Circle::new(count, seed);
                let first = circle.turn();
                for nth in 1..=3 * count {
                    assert_eq!(circle.turn(), (first + nth) % count, "{count}");
                }
                circle.skip(2);
                assert_eq!(circle.turn(), (first + 3 * count + 3) % count);
            }
        }
    }

    #[test]
    fn turns_stay_even_after_2_to_the_40_rounds() {
        // As after 2^40 picks of each of 1000 endpoints.
        let circle = Circle::new(1000, 1);
        let before = circle.turn();
        circle.skip(1000 << 40);
        assert_eq!(circle.turn(), (before + 1) % 1000);
    }
}
