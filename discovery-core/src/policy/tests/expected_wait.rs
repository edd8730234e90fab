//! The policy `LeastExpectedWait`, in simulated time.

use std::time::Duration;

use super::*;

/// A client that sends its requests one after the other.
struct Sequential {
    snapshot: Snapshot,
    rng: SplitMix64,
    now: Instant,
    seen: Vec<f64>,
}

/// How a request ends, and after how long.
enum End {
    Answer(Outcome, Duration),
    Drop(Duration),
}

impl Sequential {
    fn new(weights: &[u32]) -> Self {
        let snapshot = snapshot(weighted(weights), &LeastExpectedWait::new());
        Self { snapshot, rng: SplitMix64::with_seed(5), now: epoch(), seen: vec![0.0; weights.len()] }
    }

    /// Sends `count` requests with a pause of 1 ms between them, and returns how many each endpoint got.
    fn send(&mut self, count: usize, mut end: impl FnMut(usize, &mut SplitMix64) -> End) -> Vec<f64> {
        self.seen.fill(0.0);
        for _ in 0..count {
            let tried = Tried::new();
            let (at, pick) =
                self.snapshot.pick_indexed(&mut PickArgs::new(&self.now, &mut self.rng, &tried)).expect("an endpoint");
            self.seen[at] += 1.0;
            match end(at, &mut self.rng) {
                End::Answer(outcome, takes) => {
                    self.now += takes;
                    pick.complete(outcome, self.now);
                }
                End::Drop(takes) => {
                    self.now += takes;
                    drop(pick);
                }
            }
            self.now += millis(1);
        }
        self.seen.clone()
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn good() -> End {
    End::Answer(Outcome::Success, millis(10))
}

/// An exponential latency with a mean of 10 ms.
fn exponential(rng: &mut SplitMix64) -> End {
    let unit = (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    End::Answer(Outcome::Success, Duration::from_secs_f64(-0.01 * (1.0 - unit).ln()))
}

#[test]
fn requests_one_after_the_other_spread_over_equal_endpoints() {
    let constant = Sequential::new(&[1; 10]).send(10_000, |_, _| good());
    assert!(constant.iter().all(|seen| (900.0..1100.0).contains(seen)), "{constant:?}");
    let noisy = Sequential::new(&[1; 10]).send(20_000, |_, rng| exponential(rng));
    let variance = noisy.iter().map(|seen| (seen / 2_000.0 - 1.0).powi(2)).sum::<f64>() / 10.0;
    assert!(variance.sqrt() <= 0.2, "{noisy:?}");
    let slightly_slower = Sequential::new(&[1; 4])
        .send(10_000, |at, _| End::Answer(Outcome::Success, Duration::from_micros(10_000 + 400 * at as u64)));
    assert!(slightly_slower.iter().all(|seen| (2000.0..3000.0).contains(seen)), "{slightly_slower:?}");
}

#[test]
fn an_endpoint_that_is_ten_times_slower_gets_few_requests() {
    let seen = Sequential::new(&[1; 10])
        .send(10_000, |at, _| if at == 3 { End::Answer(Outcome::Success, millis(100)) } else { good() });
    assert!(seen[3] < 50.0, "{seen:?}");
}

#[test]
fn an_endpoint_that_fails_fast_gets_almost_no_requests() {
    let mut client = Sequential::new(&[1; 10]);
    let fails = |at, _: &mut SplitMix64| if at == 3 { End::Answer(Outcome::Failure, millis(1)) } else { good() };
    let seen = client.send(10_000, fails);
    assert!(seen[3] <= 10.0, "{seen:?}");
    // It has recovered: it gets requests again within a minute.
    client.send(5_500, |_, _| good());
    let seen = client.send(2_000, |_, _| good());
    assert!(seen[3] > 100.0, "{seen:?}");
}

#[test]
fn an_endpoint_that_fails_every_second_request_gets_few() {
    let seen = Sequential::new(&[1; 10]).send(20_000, |at, rng| match at {
        3 if rng.below(2) == 0 => End::Answer(Outcome::Failure, millis(1)),
        _ => good(),
    });
    assert!(seen[3] / 2.0 <= 0.0025 * 20_000.0, "{seen:?}");
}

/// A garbage collection of 300 ms is over when the answer arrives: the endpoint is used again within 2 s.
#[test]
fn one_pause_does_not_poison_an_endpoint() {
    let pause = || End::Answer(Outcome::Success, millis(300));
    let mut client = Sequential::new(&[1; 10]);
    client.send(2_000, |_, _| good());
    let mut is_due = true;
    client.send(100, |at, _| if at == 3 && std::mem::take(&mut is_due) { pause() } else { good() });
    assert!(!is_due);
    // 182 requests take 2 s, of which the first 100 took more than half.
    client.send(100, |_, _| good());
    let seen = client.send(1_000, |_, _| good());
    assert!((70.0..130.0).contains(&seen[3]), "{seen:?}");
    // A second pause, much later, is a pause again.
    is_due = true;
    client.send(200, |at, _| if at == 3 && std::mem::take(&mut is_due) { pause() } else { good() });
    let seen = client.send(1_000, |_, _| good());
    assert!((70.0..130.0).contains(&seen[3]), "{seen:?}");
}

/// A pause delays all the requests that the endpoint has at that moment.
#[test]
fn one_pause_of_many_requests_does_not_poison_an_endpoint() {
    let mut client = Sequential::new(&[1; 10]);
    client.send(2_000, |_, _| good());
    let loaded = client.snapshot.loaded_endpoints()[3].clone();
    let picks: Vec<_> = (0..20).map(|_| Pick::start(loaded.clone(), Some(client.now))).collect();
    client.now += millis(300);
    picks.into_iter().for_each(|pick| pick.complete(Outcome::Success, client.now));
    // Half of the distance goes in 1.4 s: from 10 times the mean to 1.5 times in 6 s.
    client.send(600, |_, _| good());
    let seen = client.send(1_000, |_, _| good());
    assert!((70.0..130.0).contains(&seen[3]), "{seen:?}");
}

/// An endpoint that stays slow is tried twice in short order, and then rarely.
#[test]
fn a_slow_endpoint_is_confirmed_by_its_second_answer() {
    let mut client = Sequential::new(&[1; 10]);
    client.send(2_000, |_, _| good());
    let mut slow = |at, _: &mut SplitMix64| if at == 3 { End::Answer(Outcome::Success, millis(100)) } else { good() };
    client.send(1_000, &mut slow);
    let seen = client.send(9_000, &mut slow);
    assert!(seen[3] <= 5.0, "{seen:?}");
}

/// A dropped request has waited longer than the answer of a good endpoint takes.
#[test]
fn dropped_requests_teach() {
    let seen = Sequential::new(&[1; 10]).send(10_000, |at, _| if at == 3 { End::Drop(millis(1000)) } else { good() });
    assert!(seen[3] <= 20.0, "{seen:?}");
}

/// Callers that cancel early say nothing about the endpoint.
#[test]
fn requests_that_are_dropped_early_do_not_count() {
    let seen = Sequential::new(&[1; 4]).send(8_000, |at, _| if at == 3 { End::Drop(millis(1)) } else { good() });
    assert!(seen[3] > 1500.0, "{seen:?}");
}

#[test]
fn an_overloaded_endpoint_is_left_alone_for_as_long_as_it_asked() {
    let mut client = Sequential::new(&[1; 3]);
    let overloaded = Outcome::Overloaded { retry_after: Some(Duration::from_secs(20)) };
    let mut end = |at, _: &mut SplitMix64| if at == 1 { End::Answer(overloaded, millis(1)) } else { good() };
    client.send(100, &mut end);
    let seen = client.send(1_000, &mut end);
    assert_eq!(seen[1], 0.0, "{seen:?}");
}

#[test]
fn all_endpoints_are_used_while_all_fail() {
    let seen = Sequential::new(&[1; 5]).send(5_000, |_, _| End::Answer(Outcome::Failure, millis(1)));
    assert!(seen.iter().all(|seen| *seen > 500.0), "{seen:?}");
}

/// An endpoint that never answers is left out after its first requests, while they are still in flight.
#[test]
fn an_endpoint_that_never_answers_gets_no_more_requests() {
    let mut client = Sequential::new(&[1; 10]);
    client.send(100, |_, _| good());
    let mut hanging = Vec::new();
    let tried = Tried::new();
    for _ in 0..10_000 {
        let (at, pick) =
            client.snapshot.pick_indexed(&mut PickArgs::new(&client.now, &mut client.rng, &tried)).expect("one");
        client.now += millis(10);
        if at == 3 { hanging.push(pick) } else { pick.complete(Outcome::Success, client.now) }
    }
    assert!(hanging.len() <= 2, "{}", hanging.len());
}

#[test]
fn ten_thousand_endpoints_are_used_evenly_and_a_dead_one_is_avoided() {
    let mut client = Sequential::new(&vec![1; 200]);
    let seen = client.send(40_000, |_, _| good());
    assert!(seen.iter().all(|seen| (100.0..320.0).contains(seen)), "{seen:?}");
    let set: EndpointSet =
        (0..10_000_u32).map(|n| Endpoint::new((std::net::Ipv4Addr::from(0x0a00_0000 + n), 80).into())).collect();
    client.snapshot = snapshot(set, &LeastExpectedWait::new());
    client.seen = vec![0.0; 10_000];
    let seen =
        client.send(20_000, |at, _| if at % 10 == 3 { End::Answer(Outcome::Failure, millis(1)) } else { good() });
    let failed: f64 = seen.iter().skip(3).step_by(10).sum();
    // Without judgment 2,000; the first request to each of the 1,000 dead ones cannot know.
    assert!(failed <= 1_500.0, "{failed}");
}

#[test]
fn weights_hold_and_a_slow_endpoint_gets_less_than_its_weight() {
    let seen = Sequential::new(&[1, 100]).send(20_000, |_, _| good());
    assert!((0.005..0.02).contains(&(seen[0] / 20_000.0)), "{seen:?}");
    let seen = Sequential::new(&[1, 2, 1]).send(4_000, |at, _| match at {
        1 => End::Answer(Outcome::Success, millis(200)),
        _ => good(),
    });
    assert!(seen[1] < 400.0, "{seen:?}");
}
