//! Simulated time and scripted answers. The F numbers refer to `docs/failure-modes.md`.

mod early;
mod failure;
mod fleet;
mod model;
mod negative;
mod property;
mod removal;
mod retention;
mod settings;
mod ttl;
mod urgent;

use std::time::{Duration, Instant};

use super::{Freshness, Refresh, RefreshSettings, View};
use crate::{
    Error,
    endpoint::Endpoint,
    source::{State, Update},
};

/// The moment that all other times are relative to; its value does not matter.
#[expect(clippy::disallowed_methods, reason = "there is no other way to make an `Instant`")]
fn epoch() -> Instant {
    Instant::now()
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn endpoint(last: u8) -> Endpoint {
    Endpoint::new(([10, 0, 0, last], 80).into())
}

fn ready(of: &[u8]) -> Update {
    Update::new(State::Ready(of.iter().map(|last| endpoint(*last)).collect())).with_ttl(secs(30))
}

fn not_found() -> Update {
    Update::new(State::NotFound).with_ttl(secs(30))
}

fn empty() -> Update {
    Update::new(State::Empty).with_ttl(secs(30))
}

fn failed() -> Update {
    Update::new(State::Failed(Error::transient("SERVFAIL")))
}

fn shown(view: &View) -> Vec<u8> {
    view.set
        .iter()
        .map(|e| match e.addr().ip() {
            std::net::IpAddr::V4(ip) => ip.octets()[3],
            std::net::IpAddr::V6(_) => 0,
        })
        .collect()
}

/// One target with its clock, its random numbers, and a record of its queries.
struct Sim {
    refresh: Refresh,
    start: Instant,
    now: Instant,
    seed: u64,
    asked: Vec<Duration>,
}

impl Sim {
    fn new() -> Self {
        Self::with(RefreshSettings::default())
    }

    fn with(settings: RefreshSettings) -> Self {
        let start = epoch();
        Self { refresh: Refresh::new(settings, start), start, now: start, seed: 1, asked: Vec::new() }
    }

    /// A target whose first answer had these endpoints and a TTL of 30 s.
    fn with_good(of: &[u8]) -> Self {
        let mut sim = Self::new();
        assert!(sim.ask(&ready(of)).is_some());
        sim
    }

    /// Moves to the next deadline, queries, and is answered at once.
    fn ask(&mut self, update: &Update) -> Option<View> {
        self.ask_within(update, Duration::ZERO)
    }

    /// Moves to the next deadline, queries, and is answered after `latency`.
    fn ask_within(&mut self, update: &Update, latency: Duration) -> Option<View> {
        self.begin();
        self.now += latency;
        self.answer(update)
    }

    fn begin(&mut self) {
        self.now = self.now.max(self.refresh.next_query_at().expect("another query"));
        self.asked.push(self.elapsed());
        self.refresh.on_query(self.now);
    }

    fn answer(&mut self, update: &Update) -> Option<View> {
        let seed = &mut self.seed;
        self.refresh.on_update(update, self.now, &mut || roll(seed))
    }

    /// The time until the next query.
    fn pause(&self) -> Duration {
        self.refresh.next_query_at().expect("another query").saturating_duration_since(self.now)
    }

    fn elapsed(&self) -> Duration {
        self.now.duration_since(self.start)
    }

    fn shown(&self) -> Vec<u8> {
        shown(self.refresh.view())
    }

    fn freshness(&self) -> &Freshness {
        &self.refresh.view().freshness
    }

    fn version(&self) -> u64 {
        self.refresh.view().set.version()
    }
}

/// A uniform number in [0, 1): splitmix64.
fn roll(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
