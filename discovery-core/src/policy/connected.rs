//! Which endpoints come first while some of them are retained.

use super::{
    Decision, LoadedEndpoints, PickArgs,
    level::{Group, is_all_tried},
};

/// The endpoints of a priority with connections that work, used first while the priority has retained endpoints.
///
/// A large site answers each query with a few of its many addresses. If requests went to the addresses of the newest
/// answer, each answer would cost new connections. So a request goes to an endpoint that has a connection to spare, and
/// to the newest answer only if no endpoint has one (Envoy `LOGICAL_DNS`: a connection that works is kept, a new one
/// uses the newest answer). The number of connections follows the number of concurrent requests.
///
/// An endpoint has a connection to spare while it has fewer requests in flight than it once had at the same time, unless
/// its last request failed. The retained endpoints are tried in a fixed order: requests one after the other need one of
/// them, and the others become idle and leave.
#[derive(Debug)]
pub(super) struct Connected {
    /// The endpoints of the newest answer that requests have succeeded on.
    named: Group,
    /// The retained endpoints, as indexes in the whole set.
    retained: Box<[usize]>,
}

impl Connected {
    /// Splits off the retained endpoints and returns the others. Without either kind, all endpoints are alike.
    pub(super) fn split(
        endpoints: &LoadedEndpoints,
        indexes: Vec<usize>,
        group: &mut impl FnMut(Vec<usize>) -> Group,
    ) -> (Option<Self>, Vec<usize>) {
        let is_retained = |at: &usize| endpoints.get(*at).is_some_and(|one| one.endpoint().is_retained());
        let retained = indexes.iter().filter(|at| is_retained(at)).count();
        if retained == 0 || retained == indexes.len() {
            return (None, indexes);
        }
        let (retained, others): (Vec<_>, Vec<_>) = indexes.into_iter().partition(is_retained);
        let works = |at: &usize| endpoints.get(*at).is_some_and(|one| one.load().works());
        let named = group(others.iter().copied().filter(works).collect());
        (Some(Self { named, retained: retained.into() }), others)
    }

    /// The indexes of the retained endpoints.
    pub(super) fn retained(&self) -> impl Iterator<Item = usize> {
        self.retained.iter().copied()
    }

    /// Chooses an endpoint with a connection to spare, else one of `others`, else any retained one.
    pub(super) fn choose(
        &self,
        endpoints: &LoadedEndpoints,
        args: &mut PickArgs<'_>,
        others: impl FnOnce(&mut PickArgs<'_>) -> Decision,
    ) -> Decision {
        if let Decision::Endpoint(at) = self.named.choose(args)
            && has_spare(endpoints, at, args)
        {
            return Decision::Endpoint(at);
        }
        let mut retained = self.retained.iter().copied().filter(|at| is_untried(endpoints, *at, args));
        if let Some(at) = retained.clone().find(|at| has_spare(endpoints, *at, args)) {
            return Decision::Endpoint(at);
        }
        let last = retained.next();
        match (others(args), last) {
            (decision, Some(at)) if is_all_tried(&decision) => Decision::Endpoint(at),
            (decision, _) => decision,
        }
    }
}

fn has_spare(endpoints: &LoadedEndpoints, at: usize, args: &PickArgs<'_>) -> bool {
    endpoints
        .get(at)
        .map(|loaded| loaded.load())
        .is_some_and(|load| load.works() && load.in_flight() < load.peak() && load.penalty(|| args.now()) == 0)
}

fn is_untried(endpoints: &LoadedEndpoints, at: usize, args: &PickArgs<'_>) -> bool {
    endpoints.get(at).is_some_and(|loaded| !args.tried.contains(loaded.identity()))
}
