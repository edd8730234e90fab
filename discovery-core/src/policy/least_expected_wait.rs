//! Least expected wait.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Instant,
};

use super::{Decision, LoadedEndpoints, PickArgs, Picker, Policy, Rng, rng::scale, sampler::Sampler, wait::Moment};

/// Picks the endpoint on which the request is expected to wait the least.
///
/// The expected wait is the latency that is estimated for the endpoint, times the number of requests that it has in
/// flight, plus one. Failed, dropped and overdue requests raise the estimate, which returns to the mean of all
/// endpoints over some 10 s without requests. An answer that is slow once, as during a garbage collection, keeps
/// requests away for a few seconds only.
///
/// * Up to 128 endpoints are all compared. Of more, 16 random ones are compared with the 8 that were best before.
/// * Where weights differ, 5 endpoints are drawn by weight and compared.
/// * Endpoints whose estimates differ by less than half, or by less than 0.1 ms, are equal, and one of them is
///   drawn: requests one after the other reach all of them.
///
/// A pick costs several times that of [`LeastRequest`](super::LeastRequest), because more endpoints are compared.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct LeastExpectedWait {}

impl LeastExpectedWait {
    /// Creates the policy, which has no settings.
    #[must_use]
    pub const fn new() -> Self {
        Self {}
    }
}

impl Policy for LeastExpectedWait {
    fn picker(&self, endpoints: &LoadedEndpoints, seed: u64) -> Box<dyn Picker> {
        let mut weights = endpoints.iter().map(|loaded| loaded.endpoint().weight());
        let first = weights.next();
        let search = if weights.any(|weight| Some(weight) != first) {
            Search::Weighted(Sampler::new(endpoints))
        } else if endpoints.len() <= SCAN_MAX {
            Search::Scan
        } else {
            let start = scale(seed, endpoints.len() as u64) as usize;
            Search::Sample(Best::new(start, endpoints.len()))
        };
        Box::new(LeastExpectedWaitPicker { endpoints: endpoints.clone(), search })
    }
}

#[derive(Debug)]
struct LeastExpectedWaitPicker {
    endpoints: LoadedEndpoints,
    search: Search,
}

#[derive(Debug)]
enum Search {
    Scan,
    Sample(Best),
    Weighted(Sampler),
}

impl Picker for LeastExpectedWaitPicker {
    fn pick(&self, args: &mut PickArgs<'_>) -> Decision {
        // Also for a single endpoint: the pick must know when it started.
        let _ = args.now();
        match self.endpoints.len() {
            0 => Decision::Wait,
            1 if args.tried.is_empty() => Decision::Endpoint(0),
            count => match &self.search {
                // An array of few candidates is quick to clear.
                Search::Scan if count <= FEW => self.scan::<FEW>(args),
                Search::Scan if count <= SOME => self.scan::<SOME>(args),
                Search::Scan => self.scan::<SCAN_MAX>(args),
                Search::Sample(best) => self.sample(best, count, args),
                Search::Weighted(sampler) => self.weighted(sampler, args),
            }
            .into(),
        }
    }
}

impl LeastExpectedWaitPicker {
    /// Compares all endpoints.
    fn scan<const MOST: usize>(&self, args: &mut PickArgs<'_>) -> Option<usize> {
        let mut choice = Choice::<MOST>::new(args.now());
        for at in 0..self.endpoints.len() {
            self.offer(&mut choice, at, args);
        }
        choice.draw(args.rng)
    }

    fn sample(&self, best: &Best, count: usize, args: &mut PickArgs<'_>) -> Option<usize> {
        let mut choice = Choice::<SAMPLES>::new(args.now());
        for slot in &best.0 {
            self.offer(&mut choice, slot.load(Relaxed) as usize, args);
        }
        for _ in 0..DRAWS {
            let at = args.rng.below(count);
            self.offer(&mut choice, at, args);
        }
        best.keep(&choice);
        choice.draw(args.rng).or_else(|| self.scan_many(args))
    }

    /// For a request that has tried all that were compared.
    #[cold]
    fn scan_many(&self, args: &mut PickArgs<'_>) -> Option<usize> {
        let count = self.endpoints.len();
        let start = args.rng.below(count);
        let is_untried = |at: &usize| self.endpoints.get(*at).is_some_and(|one| !args.tried.contains(one.identity()));
        (start..count).chain(0..start).find(is_untried)
    }

    fn weighted(&self, sampler: &Sampler, args: &mut PickArgs<'_>) -> Option<usize> {
        let mut choice = Choice::<FEW>::new(args.now());
        for _ in 0..WEIGHTED_DRAWS {
            let at = if args.tried.is_empty() {
                sampler.draw(None, args.rng)
            } else {
                sampler.draw_untried(&self.endpoints, None, args)
            };
            self.offer(&mut choice, at?, args);
        }
        // The first one drawn, so that the weights hold among equal endpoints.
        choice.first()
    }

    #[inline]
    fn offer<'a, const MOST: usize>(&'a self, choice: &mut Choice<'a, MOST>, at: usize, args: &PickArgs<'_>) {
        let Some(loaded) = self.endpoints.get(at) else { return };
        if !args.tried.is_empty() && args.tried.contains(loaded.identity()) {
            return;
        }
        let load = loaded.load();
        let estimate = load.wait().estimate_at(&mut choice.moment);
        choice.offer(Candidate { at: at as u32, in_flight: load.in_flight(), estimate });
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Candidate {
    at: u32,
    in_flight: u32,
    estimate: f32,
}

impl Candidate {
    fn cost(&self) -> f32 {
        self.estimate * (self.in_flight as f32 + 1.0)
    }
}

/// The endpoints that are compared, and the best of them.
struct Choice<'a, const MOST: usize> {
    candidates: [Candidate; MOST],
    count: usize,
    best: Candidate,
    cost: f32,
    moment: Moment<'a>,
}

impl<const MOST: usize> Choice<'_, MOST> {
    #[inline]
    fn new(now: Instant) -> Self {
        Self {
            candidates: [Candidate::default(); MOST],
            count: 0,
            best: Candidate::default(),
            cost: f32::INFINITY,
            moment: Moment::new(now),
        }
    }

    #[inline]
    fn offer(&mut self, candidate: Candidate) {
        let Some(slot) = self.candidates.get_mut(self.count) else { return };
        *slot = candidate;
        self.count += 1;
        let cost = candidate.cost();
        if cost < self.cost || self.count == 1 {
            (self.best, self.cost) = (candidate, cost);
        }
    }

    /// Whether a candidate is as good as the best one: not busier, and not clearly slower.
    fn is_equal(&self, candidate: &Candidate) -> bool {
        candidate.in_flight <= self.best.in_flight
            && candidate.estimate <= (self.best.estimate * EQUAL).max(self.best.estimate + EQUAL_SECONDS)
    }

    fn all(&self) -> &[Candidate] {
        self.candidates.get(..self.count).unwrap_or_default()
    }

    fn equals(&self) -> impl Iterator<Item = &Candidate> {
        self.all().iter().filter(|candidate| self.is_equal(candidate))
    }

    /// Draws one of the equal candidates.
    fn draw(&self, rng: &mut dyn Rng) -> Option<usize> {
        let count = self.equals().count();
        if count <= 1 {
            return self.first();
        }
        self.equals().nth(rng.below(count)).map(|candidate| candidate.at as usize)
    }

    /// The first one of the equal candidates.
    fn first(&self) -> Option<usize> {
        self.equals().next().map(|candidate| candidate.at as usize)
    }
}

/// The endpoints that were best at the last pick.
#[derive(Debug)]
struct Best([AtomicU32; REMEMBERED]);

impl Best {
    fn new(start: usize, count: usize) -> Self {
        Self(std::array::from_fn(|nth| AtomicU32::new(((start + nth) % count) as u32)))
    }

    /// Remembers the best candidates. Of equal ones the later ones stay, which are random, so that an idle client does
    /// not return to the same few.
    fn keep<const MOST: usize>(&self, choice: &Choice<'_, MOST>) {
        let all = choice.all();
        let (kept, drawn) = all.split_at(REMEMBERED.min(all.len()));
        let mut kept: [Candidate; REMEMBERED] = std::array::from_fn(|nth| kept.get(nth).copied().unwrap_or_default());
        for candidate in drawn {
            if kept.iter().any(|other| other.at == candidate.at) {
                continue;
            }
            let worst = kept.iter_mut().max_by(|a, b| a.cost().total_cmp(&b.cost()));
            if let Some(worst) = worst
                && candidate.cost() <= worst.cost() * EQUAL
            {
                *worst = *candidate;
            }
        }
        for (slot, candidate) in self.0.iter().zip(kept) {
            if slot.load(Relaxed) != candidate.at {
                slot.store(candidate.at, Relaxed);
            }
        }
    }
}

/// Up to so many endpoints are all compared: the pick takes a nanosecond or two for each.
const SCAN_MAX: usize = 128;
/// Of more endpoints, so many random ones are compared with those that are remembered.
const DRAWS: usize = 16;
const REMEMBERED: usize = 8;
const SAMPLES: usize = REMEMBERED + DRAWS;
const WEIGHTED_DRAWS: usize = 5;
/// The sizes of the arrays for fewer candidates; the smallest holds [`WEIGHTED_DRAWS`].
const FEW: usize = 8;
const SOME: usize = 32;
/// Estimates that differ by a smaller factor are equal: the means of 20 samples each of an exponential latency differ
/// by as much.
const EQUAL: f32 = 1.5;
/// Estimates that differ by less are equal, in seconds: the client's own scheduling takes as long.
const EQUAL_SECONDS: f32 = 1e-4;
