//! One nameserver, as the questions to it share it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::AbortHandle,
};

use super::super::gate::{Gate, SpareSocket};
use super::{
    edns::{EdnsMemory, Trial},
    health::{Health, Permission},
    round_trip::{RoundTrip, Transmissions},
    zone::ZoneMemory,
};

/// How many sockets the questions to one nameserver may open for retransmissions, beyond one for each question.
const SPARE_SOCKETS: usize = 16;

/// One nameserver.
#[derive(Debug)]
pub(super) struct Server {
    gate: Gate,
    state: Mutex<State>,
    spare: Arc<Semaphore>,
    /// The query that probes in the background. It ends with the nameserver.
    probe: Mutex<Option<Background>>,
}

#[derive(Debug, Default)]
struct State {
    health: Health,
    edns: EdnsMemory,
    zone: ZoneMemory,
    /// The round-trip times of names outside the cluster and of names in it. A CoreDNS answers the first from elsewhere
    /// and the second from memory; one slow host must not make a lost packet of a Service expensive.
    round_trips: [RoundTrip; 2],
    questions: u64,
}

impl Server {
    pub(super) fn new(gate: Gate) -> Self {
        let spare = Arc::new(Semaphore::new(SPARE_SOCKETS));
        Self { gate, state: Mutex::default(), spare, probe: Mutex::default() }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.gate.server()
    }

    /// Where questions wait for their places.
    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Whether no further question may send a packet before its `deadline`.
    pub(super) fn is_closed(&self, now: Instant, deadline: Instant) -> bool {
        self.state().health.is_closed(now, deadline)
    }

    pub(super) fn is_avoided(&self, now: Instant) -> bool {
        self.state().health.is_avoided(now)
    }

    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.state().health.is_silent(now)
    }

    pub(super) fn silent_at(&self) -> Option<Instant> {
        self.state().health.silent_at()
    }

    pub(super) fn silent_for(&self, now: Instant) -> Option<Duration> {
        self.state().health.silent_for(now)
    }

    /// Whether the nameserver has proved that it serves the cluster's zone; `None` if that is not known.
    pub(super) fn is_zone_proved(&self, now: Instant) -> Option<bool> {
        self.state().zone.is_proved(now)
    }

    pub(super) fn on_zone_answer(&self, proved: bool, now: Instant) {
        self.state().zone.on_answer(proved, now);
    }

    /// A question that began at `since` goes on to the next nameserver.
    pub(super) fn on_late(&self, since: Instant, now: Instant) {
        self.state().health.on_unanswered(since, now);
    }

    /// The permission for one question to send packets; `None` while the nameserver is silent and another one probes
    /// it.
    pub(super) fn begin(self: &Arc<Self>, now: Instant, deadline: Instant, max_packets: u32) -> Option<Permit> {
        let mut state = self.state();
        let question = state.next_question();
        let starts = match state.health.begin(question, now, deadline) {
            Permission::Now => now,
            Permission::At(later) => later,
            Permission::Never => return None,
        };
        Some(Permit { server: self.clone(), question, starts, deadline, max_packets })
    }

    /// The permission for one packet of a question that another nameserver answers, if a probe is due.
    pub(super) fn begin_probe(self: &Arc<Self>, now: Instant, deadline: Instant) -> Option<Permit> {
        let mut state = self.state();
        let question = state.next_question();
        let probes = state.health.begin_probe(question, now);
        probes.then(|| Permit { server: self.clone(), question, starts: now, deadline, max_packets: 1 })
    }

    /// Keeps the task that probes this nameserver until it ends or the nameserver is dropped.
    pub(super) fn probe_with(&self, task: AbortHandle) {
        *self.probe.lock().unwrap_or_else(PoisonError::into_inner) = Some(Background(task));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn next_question(&mut self) -> u64 {
        self.questions = self.questions.wrapping_add(1);
        self.questions
    }
}

#[derive(Debug)]
struct Background(AbortHandle);

impl Drop for Background {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Permits one question to send packets to one nameserver, and takes note of what comes back. Dropping it ends the
/// question.
#[derive(Debug)]
pub(super) struct Permit {
    server: Arc<Server>,
    question: u64,
    starts: Instant,
    deadline: Instant,
    max_packets: u32,
}

impl Permit {
    pub(super) fn server(&self) -> &Server {
        &self.server
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// When the first packet may be sent.
    pub(super) fn starts(&self) -> Instant {
        self.starts
    }

    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    pub(super) fn max_packets(&self) -> u32 {
        self.max_packets
    }

    /// Whether the question may send another packet now; otherwise when to ask again.
    pub(super) fn again(&self, sent: &Transmissions, now: Instant) -> Result<(), Instant> {
        match self.server.state().health.again(self.question, sent, now) {
            Permission::Now => Ok(()),
            Permission::At(later) => Err(later),
            Permission::Never => Err(self.deadline),
        }
    }

    /// How long a packet waits for its answer before it is sent again.
    pub(super) fn timeout(&self, in_cluster: bool) -> Duration {
        self.server.state().round_trips[usize::from(in_cluster)].timeout()
    }

    /// The right to open one more socket for this question, unless too many have one.
    pub(super) fn spare_socket(&self) -> Option<(OwnedSemaphorePermit, SpareSocket)> {
        let of_server = self.server.spare.clone().try_acquire_owned().ok()?;
        Some((of_server, SpareSocket::new()?))
    }

    pub(super) fn on_sent(&self, now: Instant) {
        self.server.state().health.on_sent(now);
    }

    /// The question only waits from now on: another one may probe.
    pub(super) fn on_last_sent(&self) {
        self.server.state().health.end(self.question);
    }

    /// A response arrived. `took` is the time since its packet was sent, over UDP.
    pub(super) fn on_heard(&self, in_cluster: bool, took: Option<Duration>, now: Instant) {
        let mut state = self.server.state();
        state.health.on_heard(now);
        if let Some(took) = took {
            state.round_trips[usize::from(in_cluster)].measured(took);
        }
    }

    pub(super) fn on_unanswered(&self, now: Instant) {
        self.server.state().health.on_unanswered(self.starts, now);
    }

    pub(super) fn on_refused(&self, now: Instant) {
        self.server.state().health.on_refused(now);
    }

    pub(super) fn is_edns_used(&self, now: Instant) -> bool {
        self.server.state().edns.is_used(now)
    }

    pub(super) fn is_edns_doubtful(&self, now: Instant) -> bool {
        self.server.state().edns.is_doubtful(now)
    }

    pub(super) fn on_edns_understood(&self, now: Instant) {
        self.server.state().edns.on_understood(now);
    }

    pub(super) fn on_edns_trial(&self, trial: Trial, now: Instant) {
        self.server.state().edns.on_trial(trial, now);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.server.state().health.end(self.question);
    }
}
