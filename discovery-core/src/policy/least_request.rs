//! Power of two choices by requests in flight.

use super::{Decision, LoadedEndpoints, PickArgs, Picker, Policy, sampler::Sampler};

/// Power of two choices: picks the less loaded of two random endpoints.
///
/// The load is the number of requests in flight relative to the weight, and a recent failure counts as a request in
/// flight (see [`Load`](super::Load)).
///
/// The two endpoints are always different: if they could be the same, an endpoint that hangs would keep getting `1/N^2`
/// of the requests. They are drawn by weight and the first one wins a tie, so the weights hold without any load too.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LeastRequest {}

impl LeastRequest {
    /// Creates the policy, which has no settings.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl Policy for LeastRequest {
    fn picker(&self, endpoints: &LoadedEndpoints, _seed: u64) -> Box<dyn Picker> {
        Box::new(LeastRequestPicker { sampler: Sampler::new(endpoints), endpoints: endpoints.clone() })
    }
}

#[derive(Debug)]
struct LeastRequestPicker {
    endpoints: LoadedEndpoints,
    sampler: Sampler,
}

impl Picker for LeastRequestPicker {
    fn pick(&self, args: &mut PickArgs<'_>) -> Decision {
        if self.endpoints.is_empty() {
            return Decision::Wait;
        }
        match self.draw_two(args) {
            None => Decision::from(None),
            Some((first, Some(second))) if self.is_busier(first, second, args) => Decision::Endpoint(second),
            Some((first, _)) => Decision::Endpoint(first),
        }
    }
}

impl LeastRequestPicker {
    fn draw_two(&self, args: &mut PickArgs<'_>) -> Option<(usize, Option<usize>)> {
        if args.tried.is_empty() {
            return self.sampler.draw_two(args.rng);
        }
        let first = self.sampler.draw_untried(&self.endpoints, None, args)?;
        Some((first, self.sampler.draw_untried(&self.endpoints, Some(first), args)))
    }

    /// Compares, without a division, the loads relative to the weights as they would be with this request. An idle
    /// endpoint is never busier: it was drawn by weight, and the weight must not count twice.
    fn is_busier(&self, one: usize, other: usize, args: &PickArgs<'_>) -> bool {
        let load =
            |at: usize| self.endpoints.get(at).map_or(0, |loaded| u128::from(loaded.load().value(|| args.now())));
        let weight = |at| u128::from(self.sampler.weight(at));
        let (one_load, other_load) = (load(one), load(other));
        one_load > 0 && (one_load + 1) * weight(other) > (other_load + 1) * weight(one)
    }
}
