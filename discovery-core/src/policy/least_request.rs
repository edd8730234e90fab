//! The less busy of two.

use super::{Decision, LoadedEndpoints, PickArgs, Picker, Policy, sampler::Sampler};

/// Of two random endpoints the one with fewer requests in flight for its weight, where a recent failure
/// counts as a request in flight (see [`Load`](super::Load)).
///
/// The two are always different: if they could be the same, an endpoint that hangs would get `1/N^2` of the
/// requests for ever. They are drawn by weight and the first one wins a tie, so that weights hold without any
/// load too.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LeastRequest {}

impl LeastRequest {
    /// The policy; it has nothing to set.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl Policy for LeastRequest {
    fn picker(&self, slots: &LoadedEndpoints, _seed: u64) -> Box<dyn Picker> {
        Box::new(LeastRequestPicker { sampler: Sampler::new(slots), slots: slots.clone() })
    }
}

#[derive(Debug)]
struct LeastRequestPicker {
    slots: LoadedEndpoints,
    sampler: Sampler,
}

impl Picker for LeastRequestPicker {
    fn pick(&self, args: &mut PickArgs<'_>) -> Decision {
        if self.slots.is_empty() {
            return Decision::Wait;
        }
        match self.two(args) {
            None => Decision::from(None),
            Some((first, Some(second))) if self.is_busier(first, second, args) => Decision::Endpoint(second),
            Some((first, _)) => Decision::Endpoint(first),
        }
    }
}

impl LeastRequestPicker {
    fn two(&self, args: &mut PickArgs<'_>) -> Option<(usize, Option<usize>)> {
        if args.tried.is_empty() {
            return self.sampler.draw_two(args.rng);
        }
        let first = self.sampler.draw_untried(&self.slots, None, args)?;
        Some((first, self.sampler.draw_untried(&self.slots, Some(first), args)))
    }

    /// Compares load by weight, without a division.
    fn is_busier(&self, one: usize, other: usize, args: &PickArgs<'_>) -> bool {
        let busy = |at: usize| self.slots.get(at).map_or(0, |slot| u128::from(slot.load().value(|| args.now())));
        let weight = |at| u128::from(self.sampler.weight(at));
        busy(one) * weight(other) > busy(other) * weight(one)
    }
}
