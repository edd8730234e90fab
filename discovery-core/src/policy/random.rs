//! Any of them.

use super::{Decision, LoadedEndpoints, PickArgs, Picker, Policy, sampler::Sampler};

/// A random endpoint, with the probability of its weight.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Random {}

impl Random {
    /// The policy; it has nothing to set.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl Policy for Random {
    fn picker(&self, slots: &LoadedEndpoints, _seed: u64) -> Box<dyn Picker> {
        Box::new(RandomPicker { sampler: Sampler::new(slots), slots: slots.clone() })
    }
}

#[derive(Debug)]
struct RandomPicker {
    slots: LoadedEndpoints,
    sampler: Sampler,
}

impl Picker for RandomPicker {
    fn pick(&self, args: &mut PickArgs<'_>) -> Decision {
        if self.slots.is_empty() {
            return Decision::Wait;
        }
        if args.tried.is_empty() {
            return self.sampler.draw(None, args.rng).into();
        }
        self.sampler.draw_untried(&self.slots, None, args).into()
    }
}
