use tokio::sync::watch;

/// What a [`FakePod`](crate::FakePod) has seen since it was first started; a restart does not reset it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Connections accepted.
    pub connections: usize,
    /// Connections open now.
    pub open: usize,
    /// Requests received.
    pub requests: usize,
    /// Requests received and not answered yet.
    pub in_flight: usize,
    /// Requests answered, with whatever status. A request cut off by its client is not answered.
    pub served: usize,
}

/// Counts one connection while it lives.
pub(super) struct OpenConnection(watch::Sender<Counters>);

impl OpenConnection {
    pub(super) fn new(counters: watch::Sender<Counters>) -> Self {
        counters.send_modify(|c| {
            c.connections += 1;
            c.open += 1;
        });
        Self(counters)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.send_modify(|c| c.open -= 1);
    }
}

/// Counts one request while it is worked on.
pub(super) struct InFlight(watch::Sender<Counters>);

impl InFlight {
    pub(super) fn new(counters: watch::Sender<Counters>) -> Self {
        counters.send_modify(|c| {
            c.requests += 1;
            c.in_flight += 1;
        });
        Self(counters)
    }

    pub(super) fn answered(self) {
        self.0.send_modify(|c| c.served += 1);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.send_modify(|c| c.in_flight -= 1);
    }
}
