//! One after the other.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Decision, LoadedEndpoints, PickArgs, Picker, Policy, Rng, SplitMix64};

/// Each endpoint in its turn, whatever its weight and its load.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RoundRobin {}

impl RoundRobin {
    /// The policy; it has nothing to set.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl Policy for RoundRobin {
    fn picker(&self, slots: &LoadedEndpoints, seed: u64) -> Box<dyn Picker> {
        Box::new(RoundRobinPicker { slots: slots.clone(), circle: Circle::new(slots.len(), seed) })
    }
}

#[derive(Debug)]
struct RoundRobinPicker {
    slots: LoadedEndpoints,
    circle: Circle,
}

/// A hand on a circle of 2^64 points, of which each endpoint owns a part: to go on is one addition, which wraps by itself,
/// and to see where the hand is one multiplication. Counting and dividing would take half as long again.
#[derive(Debug)]
struct Circle {
    hand: AtomicU64,
    count: u64,
    /// The part of one endpoint, rounded up. The hand starts in the middle of a part, and the rounding takes it out of
    /// that after 2^63 steps for each endpoint at the earliest.
    part: u64,
}

impl Circle {
    fn new(count: usize, seed: u64) -> Self {
        let count = count as u64;
        // One endpoint owns all 2^64 points, which is 0.
        let part = (u64::MAX / count.max(1)).wrapping_add(1);
        let first = SplitMix64::with_seed(seed).next_u64() % count.max(1);
        Self { hand: AtomicU64::new(first.wrapping_mul(part).wrapping_add(part / 2)), count, part }
    }

    /// Takes the turn.
    fn turn(&self) -> usize {
        let hand = self.hand.fetch_add(self.part, Relaxed);
        ((u128::from(hand) * u128::from(self.count)) >> 64) as usize
    }

    /// Gives up so many turns.
    fn skip(&self, turns: usize) {
        self.hand.fetch_add(self.part.wrapping_mul(turns as u64), Relaxed);
    }
}

impl Picker for RoundRobinPicker {
    fn pick(&self, args: &mut PickArgs<'_>) -> Decision {
        let count = self.slots.len();
        if count == 0 {
            return Decision::Wait;
        }
        let turn = self.circle.turn();
        if args.tried.is_empty() {
            return Decision::Endpoint(turn);
        }
        let Some(skipped) = self.first_open(turn, args) else {
            return Decision::from(None);
        };
        // Else the endpoint behind one that fails would have its own turns and those of the other.
        if skipped > 0 {
            self.circle.skip(skipped);
        }
        Decision::Endpoint((turn + skipped) % count)
    }
}

impl RoundRobinPicker {
    /// How far from `turn` the next endpoint is that has not been tried.
    fn first_open(&self, turn: usize, args: &PickArgs<'_>) -> Option<usize> {
        let (before, after) = self.slots.split_at_checked(turn)?;
        after.iter().chain(before).position(|slot| !args.tried.contains(slot.identity()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_endpoint_has_its_turn_whatever_their_number_and_where_the_circle_closes() {
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
    fn the_turns_are_even_after_any_number_of_steps() {
        // As after 2^40 picks of each of 1000 endpoints.
        let circle = Circle::new(1000, 1);
        let before = circle.turn();
        circle.skip(1000 << 40);
        assert_eq!(circle.turn(), (before + 1) % 1000);
    }
}
