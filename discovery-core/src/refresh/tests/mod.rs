//! Simulated time, scripted answers.

mod early;
mod failure;
mod model;
mod negative;
mod property;
mod removal;
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

/// The one moment of which all others are told; its value does not matter.
#[expect(clippy::disallowed_methods, reason = "an `Instant` cannot be made otherwise")]
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

/// One target with its clock, its dice, and a record of the questions.
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

    /// A target that has answered with these endpoints and TTL 30 s.
    fn with_good(of: &[u8]) -> Self {
        let mut sim = Self::new();
        assert!(sim.ask(&ready(of)).is_some());
        sim
    }

    /// Goes to the next deadline, asks, and is answered at once.
    fn ask(&mut self, update: &Update) -> Option<View> {
        self.ask_within(update, Duration::ZERO)
    }

    /// Goes to the next deadline, asks, and is answered after `latency`.
    fn ask_within(&mut self, update: &Update, latency: Duration) -> Option<View> {
        self.begin();
        self.now += latency;
        self.answer(update)
    }

    fn begin(&mut self) {
        self.now = self.now.max(self.refresh.next_query_at().expect("another question"));
        self.asked.push(self.elapsed());
        self.refresh.on_query(self.now);
    }

    fn answer(&mut self, update: &Update) -> Option<View> {
        let seed = &mut self.seed;
        self.refresh.on_update(update, self.now, &mut || roll(seed))
    }

    /// How long until the next question.
    fn pause(&self) -> Duration {
        self.refresh.next_query_at().expect("another question").saturating_duration_since(self.now)
    }

    fn elapsed(&self) -> Duration {
        self.now.duration_since(self.start)
    }

    fn shown(&self) -> Vec<u8> {
        shown(self.refresh.view())
    }

    fn standing(&self) -> &Freshness {
        &self.refresh.view().standing
    }

    fn version(&self) -> u64 {
        self.refresh.view().set.version()
    }
}

/// Uniform in [0, 1): splitmix64.
fn roll(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
