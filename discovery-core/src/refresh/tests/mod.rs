//! The rules, one test each, driven by simulated time; names begin with the failure mode of the DNS contract
//! that a rule is for.

mod answers;
mod failures;
mod pace;
mod random;

use std::time::{Duration, Instant};

use super::{Refresh, RefreshSettings, Standing, View};
use crate::{
    Error,
    endpoint::{Endpoint, Identity},
    source::{State, Update},
};

/// The one clock read of these tests: a start to count from.
#[expect(clippy::disallowed_methods, reason = "an `Instant` cannot be made otherwise")]
fn epoch() -> Instant {
    Instant::now()
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn endpoint(last: u8) -> Endpoint {
    Endpoint::new(([10, 0, 0, last], 80).into())
}

fn identity(last: u8) -> Identity {
    endpoint(last).identity().clone()
}

/// A machine with its clock; `step` lets the machine ask at the time that it wants to.
struct Machine {
    refresh: Refresh,
    now: Instant,
    start: Instant,
    jitter: f64,
    asked: Vec<Duration>,
}

impl Machine {
    fn new() -> Self {
        Self::with(RefreshSettings::new())
    }

    fn with(settings: RefreshSettings) -> Self {
        let now = epoch();
        Self { refresh: Refresh::new(settings), now, start: now, jitter: 0.5, asked: Vec::new() }
    }

    fn after(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    /// Asks now and answers at once.
    fn answer(&mut self, state: State, ttl: Option<Duration>) -> Option<View> {
        self.refresh.on_ask(self.now);
        self.asked.push(self.now - self.start);
        let update = match ttl {
            Some(ttl) => Update::new(state).with_ttl(ttl),
            None => Update::new(state),
        };
        let jitter = self.jitter;
        let view = self.refresh.on_update(&update, self.now, &mut || jitter);
        if let Some(at) = self.refresh.ask_at() {
            assert!(at >= self.now, "it wants to ask in the past");
        }
        view
    }

    fn ready(&mut self, of: &[u8]) -> Option<View> {
        self.ready_for(of, secs(5))
    }

    fn ready_for(&mut self, of: &[u8], ttl: Duration) -> Option<View> {
        self.answer(State::Ready(of.iter().map(|last| endpoint(*last)).collect()), Some(ttl))
    }

    fn fails(&mut self) -> Option<View> {
        self.answer(State::Failed(Error::transient("SERVFAIL")), None)
    }

    /// Lets time pass until it wants to ask.
    fn sleep(&mut self) -> Duration {
        let at = self.refresh.ask_at().expect("it wants to ask");
        let slept = at - self.now;
        self.now = at;
        slept
    }

    fn shown(&self) -> Vec<u8> {
        self.refresh
            .view()
            .set
            .iter()
            .map(|e| match e.addr().ip() {
                std::net::IpAddr::V4(ip) => ip.octets()[3],
                std::net::IpAddr::V6(_) => 0,
            })
            .collect()
    }

    fn version(&self) -> u64 {
        self.refresh.view().set.version()
    }
}
