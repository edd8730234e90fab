//! Ends a connection that carries nothing for too long.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::time::Sleep;

use super::{super::clock, pump::Pump};

/// Carries a connection until it ends, or has been idle in both directions for the limit. An idle connection is reset
/// on both sides.
#[derive(Debug)]
pub(super) struct UntilIdle {
    pump: Pump,
    limit: Duration,
    /// When a side was last ready for something.
    active: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl UntilIdle {
    pub(super) fn new(pump: Pump, limit: Duration) -> Self {
        Self { pump, limit, active: clock::now(), sleep: Box::pin(tokio::time::sleep(limit)) }
    }
}

impl Future for UntilIdle {
    /// Whether the connection was idle for too long.
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        // If the connection breaks, both sides see a reset, and nothing else waits for the result.
        if Pin::new(&mut self.pump).poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        let now = clock::now();
        // Before the timer has fired, only the sockets wake the task. The timer is not moved then: most connections end
        // long before it fires.
        if !self.sleep.is_elapsed() && self.sleep.as_mut().poll(cx).is_pending() {
            self.active = now;
            return Poll::Pending;
        }
        loop {
            let idle_at = self.active + self.limit;
            if idle_at <= now {
                self.pump.reset();
                return Poll::Ready(true);
            }
            self.sleep.as_mut().reset(idle_at.into());
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
