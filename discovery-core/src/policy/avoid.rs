//! Picks that avoid endpoints to which no connection can be established.

use super::{Decision, LoadedEndpoints, PickArgs, level::Level, rng::scale};

/// What to pick instead of `first`, which is unreachable.
///
/// A usable endpoint of the first priority that has one. Where fewer than half of a priority are usable, all of its
/// endpoints are used (Envoy's panic threshold): the few that are left could not bear the load of all. Where none of
/// them is usable, `first` is as good as any other.
#[cold]
pub(super) fn unreachable(
    levels: &[Level],
    endpoints: &LoadedEndpoints,
    first: usize,
    args: &mut PickArgs<'_>,
) -> Decision {
    let chosen = endpoints.get(first).is_some_and(|loaded| loaded.load().may_try(args.now()));
    if chosen {
        return Decision::Endpoint(first);
    }
    for level in levels {
        let (mut known, mut usable, mut is_own) = (0_usize, 0_usize, false);
        level.each_member(endpoints.len(), |at| {
            known += 1;
            usable += usize::from(!is_unreachable(endpoints, at));
            is_own |= at == first;
        });
        if is_own && usable > 0 && usable * 2 < known {
            break;
        }
        if usable > 0
            && let Some(at) = draw(level, endpoints, args).or_else(|| scan(level, endpoints, args))
        {
            return Decision::Endpoint(at);
        }
    }
    Decision::Endpoint(first)
}

/// Lets the policy choose again: usually the next choice is usable.
fn draw(level: &Level, endpoints: &LoadedEndpoints, args: &mut PickArgs<'_>) -> Option<usize> {
    (0..DRAWS).find_map(|_| match level.choose(endpoints, args) {
        Decision::Endpoint(at) => (!is_unreachable(endpoints, at)).then_some(at),
        _ => None,
    })
}

/// Looks at each endpoint, from a random one on, for policies that choose the same one again and again.
fn scan(level: &Level, endpoints: &LoadedEndpoints, args: &mut PickArgs<'_>) -> Option<usize> {
    let start = scale(args.rng.next_u64(), endpoints.len() as u64) as usize;
    let is_usable = |at: usize| {
        let untried = endpoints.get(at).is_some_and(|loaded| !args.tried.contains(loaded.identity()));
        untried && !is_unreachable(endpoints, at)
    };
    let (mut after, mut before) = (None, None);
    level.each_member(endpoints.len(), |at| {
        let found = if at >= start { &mut after } else { &mut before };
        if found.is_none_or(|found| at < found) && is_usable(at) {
            *found = Some(at);
        }
    });
    after.or(before)
}

fn is_unreachable(endpoints: &LoadedEndpoints, at: usize) -> bool {
    endpoints.get(at).is_some_and(|loaded| loaded.load().is_unreachable())
}

/// With half of the endpoints usable, one pick in 65 536 needs the scan.
const DRAWS: usize = 16;
