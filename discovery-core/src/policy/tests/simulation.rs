//! Ten endpoints in simulated time, some of which fail fast.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use super::*;

/// A closed loop of clients. Each sends its next request as soon as the previous one is answered.
struct Simulation {
    snapshot: Snapshot,
    rng: SplitMix64,
    now: Instant,
    /// When each client's request will be answered.
    answers: BinaryHeap<Reverse<(Instant, usize)>>,
    /// The endpoint and the pick of each client's request; `None` until it has sent its first one.
    flights: Vec<Option<(usize, Pick)>>,
    /// Whether failures are reported; if not, the policy is plain least request.
    reports: bool,
}

impl Simulation {
    fn new(clients: usize, reports: bool) -> Self {
        let answers = (0..clients).map(|client| Reverse((epoch(), client))).collect();
        let flights = (0..clients).map(|_| None).collect();
        let snapshot = snapshot(weighted(&[1; 10]), &LeastRequest::new());
        Self { snapshot, rng: SplitMix64::with_seed(11), now: epoch(), answers, flights, reports }
    }

    /// Runs for `time`. `fails(endpoint, coin)` decides which requests fail, with a coin of 0..100. Returns the share
    /// of requests that each endpoint got, and the share that failed.
    fn run(&mut self, time: Duration, fails: impl Fn(usize, usize) -> bool) -> ([f64; 10], f64) {
        let end = self.now + time;
        let (mut sent, mut failed) = ([0.0; 10], 0.0);
        while let Some(Reverse((at, client))) = self.answers.pop() {
            if at >= end {
                self.answers.push(Reverse((at, client)));
                break;
            }
            self.now = at;
            if let Some((endpoint, pick)) = self.flights[client].take() {
                // A failing endpoint answers at once, so the latency shows whether the request failed.
                let bad = pick.started().is_some_and(|started| at - started < GOOD);
                sent[endpoint] += 1.0;
                failed += f64::from(u8::from(bad));
                let outcome = if bad && self.reports { Outcome::Failure } else { Outcome::Success };
                pick.complete(outcome, at);
            }
            let tried = Tried::new();
            let mut args = PickArgs::new(&at, &mut self.rng, &tried);
            // Reads the time, so that the pick knows its start.
            let _ = args.now();
            let flight = self.snapshot.pick_indexed(&mut args).expect("there are always ten");
            let bad = fails(flight.0, self.rng.below(100));
            // A microsecond, so that even a failure takes some time.
            let takes = if bad { Duration::from_micros(1) } else { GOOD };
            self.flights[client] = Some(flight);
            self.answers.push(Reverse((at + takes, client)));
        }
        self.now = end;
        let all: f64 = sent.iter().sum();
        (sent.map(|sent| sent / all), failed / all)
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const GOOD: Duration = Duration::from_millis(5);

#[test]
fn an_endpoint_that_fails_fast_gets_almost_no_requests() {
    for (clients, time) in [(1, 100), (8, 20), (32, 20), (200, 6)] {
        let mut simulation = Simulation::new(clients, true);
        simulation.run(secs(1), |at, _| at == 3);
        let (shares, failed) = simulation.run(secs(time), |at, _| at == 3);
        assert!(failed < 0.01, "{clients} clients: {failed} failed");
        let good = shares.iter().enumerate().filter(|(at, _)| *at != 3);
        assert!(good.into_iter().all(|(_, share)| (0.105..0.118).contains(share)), "{clients} clients: {shares:?}");
    }
}

/// The baseline of the test above: without the penalty the failing endpoint wins whenever it is one of the two choices.
#[test]
fn without_a_penalty_an_endpoint_that_fails_fast_gets_double() {
    let (_, failed) = Simulation::new(32, false).run(secs(10), |at, _| at == 3);
    assert!((0.17..0.22).contains(&failed), "{failed}");
}

#[test]
fn a_recovered_endpoint_gets_requests_within_six_seconds() {
    for clients in [1, 32] {
        let mut simulation = Simulation::new(clients, true);
        simulation.run(secs(20), |at, _| at == 3);
        simulation.run(secs(6), |_, _| false);
        let (shares, failed) = simulation.run(secs(2), |_, _| false);
        assert!(failed == 0.0 && shares[3] > 0.08, "{clients} clients: {shares:?}");
    }
}

/// After an outage of all endpoints each has many recorded failures, which must not delay its recovery.
#[test]
fn all_endpoints_recover_after_a_total_outage() {
    let mut simulation = Simulation::new(32, true);
    simulation.run(Duration::from_millis(20), |_, _| true);
    simulation.run(secs(6), |_, _| false);
    let (shares, _) = simulation.run(secs(2), |_, _| false);
    assert!(shares.iter().all(|share| (0.08..0.12).contains(share)), "{shares:?}");
}

/// An endpoint that fails every second request gets much less than a tenth; a few failures everywhere change nothing.
#[test]
fn partial_failures_reduce_the_share() {
    let mut simulation = Simulation::new(32, true);
    simulation.run(secs(1), |at, coin| at == 3 && coin < 50);
    let (shares, _) = simulation.run(secs(20), |at, coin| at == 3 && coin < 50);
    assert!(shares[3] < 0.04, "{shares:?}");
    let (shares, _) = Simulation::new(32, true).run(secs(10), |_, coin| coin < 2);
    assert!(shares.iter().all(|share| (0.09..0.11).contains(share)), "{shares:?}");
}
