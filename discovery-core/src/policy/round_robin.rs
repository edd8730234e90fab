//! One after the other.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::{Decision, PickArgs, Picker, Policy, Rng, Slots, SplitMix64};

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
    fn picker(&self, slots: &Slots, seed: u64) -> Box<dyn Picker> {
        let first = SplitMix64::with_seed(seed).below(slots.len());
        Box::new(RoundRobinPicker { slots: slots.clone(), turn: AtomicUsize::new(first) })
    }
}

#[derive(Debug)]
struct RoundRobinPicker {
    slots: Slots,
    /// Counts up from a position in the set, so that it does not wrap in the life of a process.
    turn: AtomicUsize,
}

impl Picker for RoundRobinPicker {
    fn pick(&self, args: &mut PickArgs<'_>) -> Decision {
        let count = self.slots.len();
        if count == 0 {
            return Decision::Wait;
        }
        let turn = self.turn.fetch_add(1, Relaxed) % count;
        if args.tried.is_empty() {
            return Decision::Endpoint(turn);
        }
        let Some(skipped) = self.first_open(turn, args) else {
            return Decision::from(None);
        };
        // Else the endpoint behind one that fails would have its own turns and those of the other.
        if skipped > 0 {
            self.turn.fetch_add(skipped, Relaxed);
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
