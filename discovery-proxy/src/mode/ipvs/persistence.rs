//! Session affinity of IPVS: a template for each client of a virtual server.
//!
//! Source: linux net/netfilter/ipvs/ip_vs_core.c (`ip_vs_sched_persist`), ip_vs_conn.c (`ip_vs_conn_expire`). A
//! template starts its time anew with every connection. At its end it goes on for another 60 s as long as one of its
//! connections lives, so that with connections in TIME_WAIT a timeout of 5 s lasts two minutes (issue 89358). It
//! belongs to the virtual server: another address of the same port knows nothing of it.

use std::time::{Duration, Instant};

/// Where a client goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Template {
    /// The destination's number.
    pub(super) dest: u64,
    expires: Instant,
    /// Connections that live.
    controlled: u32,
    /// When the last one ended, if none lives.
    ended: Option<Instant>,
}

/// How long a template with living connections goes on each time.
const AGAIN: Duration = Duration::from_secs(60);

impl Template {
    pub(super) fn new(dest: u64, now: Instant, timeout: Duration) -> Self {
        Self { dest, expires: now + timeout, controlled: 0, ended: None }
    }

    /// A connection came.
    pub(super) fn refresh(&mut self, now: Instant, timeout: Duration) {
        self.expires = now + timeout;
    }

    pub(super) fn opened(&mut self) {
        self.controlled += 1;
    }

    pub(super) fn closed(&mut self, now: Option<Instant>) {
        self.controlled = self.controlled.saturating_sub(1);
        if self.controlled == 0 {
            self.ended = now;
        }
    }

    /// Whether it still holds; moves its end as often as that has come with connections alive.
    pub(super) fn is_alive(&mut self, now: Instant) -> bool {
        while self.expires <= now {
            let lived = self.controlled > 0 || self.ended.is_some_and(|ended| ended > self.expires);
            if !lived {
                return false;
            }
            self.expires += AGAIN;
        }
        true
    }
}
