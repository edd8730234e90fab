//! Random draws by weight.

use std::{ops::Range, sync::Arc};

use super::{LoadedEndpoint, PickArgs, Rng, rng::scale};

/// Draws indexes with probabilities in proportion to their weights, in constant time.
///
/// The weights lie side by side on a line. Each endpoint owns a range of it, and a draw is a point on the line. An
/// endpoint of weight 0 owns nothing: it is drawn only when the request has tried all others. If all weights are 0, they
/// count as equal.
#[derive(Debug)]
pub(super) struct Sampler {
    count: usize,
    /// `None` when all weights are equal: then endpoint `i` owns the point `i`.
    ranges: Option<WeightedRanges>,
}

impl Sampler {
    pub(super) fn new(endpoints: &[Arc<LoadedEndpoint>]) -> Self {
        let weights = || endpoints.iter().map(|loaded| loaded.endpoint().weight());
        let even = weights().min() == weights().max();
        Self { count: endpoints.len(), ranges: (!even).then(|| WeightedRanges::new(weights())) }
    }

    /// Draws two different indexes. The second one is `None` if no other endpoint has a weight, and the result is
    /// `None` without endpoints.
    pub(super) fn draw_two(&self, rng: &mut dyn Rng) -> Option<(usize, Option<usize>)> {
        if self.count == 1 {
            return Some((0, None));
        }
        if self.ranges.is_some() || self.count == 0 {
            let first = self.draw(None, rng)?;
            return Some((first, self.draw(Some(first), rng)));
        }
        // The remainder of the first draw is as random as the draw itself.
        let product = u128::from(rng.next_u64()) * self.count as u128;
        let (first, left_over) = ((product >> 64) as usize, product as u64);
        let second = scale(left_over, self.count as u64 - 1) as usize;
        Some((first, Some(second + usize::from(second >= first))))
    }

    /// Draws an index other than `except`; `None` if no other endpoint has a weight.
    pub(super) fn draw(&self, except: Option<usize>, rng: &mut dyn Rng) -> Option<usize> {
        let gap = except.map_or(0..0, |at| self.range(at));
        let left = self.total() - (gap.end - gap.start);
        if left == 0 {
            return None;
        }
        let point = scale(rng.next_u64(), left);
        Some(self.owner(if point < gap.start { point } else { point + (gap.end - gap.start) }))
    }

    /// As [`draw`](Self::draw), among the endpoints that the request has not tried.
    pub(super) fn draw_untried(
        &self,
        endpoints: &[Arc<LoadedEndpoint>],
        except: Option<usize>,
        args: &mut PickArgs<'_>,
    ) -> Option<usize> {
        let is_untried = |at: &usize| endpoints.get(*at).is_some_and(|one| !args.tried.contains(one.identity()));
        for _ in 0..QUICK_DRAWS {
            let Some(at) = self.draw(except, args.rng) else { break };
            if is_untried(&at) {
                return Some(at);
            }
        }
        // Few endpoints are left, if any: look at each.
        let untried = || (0..self.count).filter(|at| Some(*at) != except).filter(is_untried);
        let left = untried().map(|at| self.weight(at)).sum();
        if left == 0 {
            // Beside `except`, which has a weight, those of weight 0 do not compete.
            let count = if except.is_some() { 0 } else { untried().count() as u64 };
            return untried().nth(scale(args.rng.next_u64(), count) as usize).filter(|_| count > 0);
        }
        let mut point = scale(args.rng.next_u64(), left);
        untried().find(|at| {
            let weight = self.weight(*at);
            let found = point < weight;
            point = point.saturating_sub(weight);
            found
        })
    }

    /// The weight, or 1 when all are equal.
    pub(super) fn weight(&self, at: usize) -> u64 {
        let range = self.range(at);
        range.end - range.start
    }

    fn total(&self) -> u64 {
        self.ranges.as_ref().map_or(self.count as u64, WeightedRanges::total)
    }

    fn range(&self, at: usize) -> Range<u64> {
        self.ranges.as_ref().map_or(at as u64..at as u64 + 1, |ranges| ranges.range(at))
    }

    fn owner(&self, point: u64) -> usize {
        self.ranges.as_ref().map_or(point as usize, |ranges| ranges.owner(point))
    }
}

/// Ranges of unequal length.
#[derive(Debug)]
struct WeightedRanges {
    /// Where each range ends.
    ends: Box<[u64]>,
    /// The owner of every `2^shift`th point. Between two of them lies one further range on average.
    guide: Box<[usize]>,
    shift: u32,
}

impl WeightedRanges {
    fn new(weights: impl Iterator<Item = u32>) -> Self {
        let add = |end: &mut u64, weight| {
            *end += u64::from(weight);
            Some(*end)
        };
        let ends: Box<[u64]> = weights.scan(0, add).collect();
        let mut ranges = Self { ends, guide: Box::default(), shift: 0 };
        let per_range = ranges.total() / (ranges.ends.len() as u64).max(1);
        ranges.shift = per_range.max(1).ilog2();
        let mut at = 0;
        let owner = |step: u64| {
            while ranges.ends.get(at).is_some_and(|end| *end <= step << ranges.shift) {
                at += 1;
            }
            at
        };
        ranges.guide = (0..=ranges.total().saturating_sub(1) >> ranges.shift).map(owner).collect();
        ranges
    }

    fn total(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    fn range(&self, at: usize) -> Range<u64> {
        let end = |at: usize| self.ends.get(at).copied().unwrap_or(0);
        at.checked_sub(1).map_or(0, end)..end(at)
    }

    /// The first range that ends after the point. Of several equal ends this is the range that is not empty.
    fn owner(&self, point: u64) -> usize {
        let step = (point >> self.shift) as usize;
        let last = self.ends.len().saturating_sub(1);
        let from = self.guide.get(step).copied().unwrap_or(last);
        let to = self.guide.get(step + 1).copied().unwrap_or(last);
        from + self.ends.get(from..to).map_or(0, |ends| ends.partition_point(|end| *end <= point))
    }
}

/// With a tenth of the endpoints tried, one request in 10^8 draws only tried endpoints.
const QUICK_DRAWS: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// At the edges of every range the guide finds what a plain search finds.
        #[test]
        fn guide_finds_the_owner_of_every_range(
            weights in prop::collection::vec(prop_oneof![Just(0), Just(u32::MAX), 1_u32..5, any::<u32>()], 1..40),
        ) {
            prop_assume!(weights.iter().any(|weight| *weight > 0));
            let ranges = WeightedRanges::new(weights.iter().copied());
            prop_assert!(ranges.guide.len() <= 2 * weights.len());
            for (at, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0) {
                let range = ranges.range(at);
                prop_assert_eq!(range.end - range.start, u64::from(*weight));
                for point in [range.start, range.start + u64::from(*weight) / 2, range.end - 1] {
                    prop_assert_eq!(ranges.owner(point), at);
                }
            }
        }
    }
}
