//! Weighted random.

use super::{Decision, LoadedEndpoints, PickArgs, Picker, Policy, sampler::Sampler};

/// Picks a random endpoint, with a probability in proportion to its weight.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Random {}

impl Random {
    /// Creates the policy, which has no settings.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl Policy for Random {
    fn picker(&self, endpoints: &LoadedEndpoints, _seed: u64) -> Box<dyn Picker> {
        Box::new(RandomPicker { sampler: Sampler::new(endpoints), endpoints: endpoints.clone() })
    }
}

#[derive(Debug)]
struct RandomPicker {
    endpoints: LoadedEndpoints,
    sampler: Sampler,
}

impl Picker for RandomPicker {
    fn pick(&self, args: &mut PickArgs<'_>) -> Decision {
        if self.endpoints.is_empty() {
            return Decision::Wait;
        }
        if args.tried.is_empty() {
            return self.sampler.draw(None, args.rng).into();
        }
        self.sampler.draw_untried(&self.endpoints, None, args).into()
    }
}
