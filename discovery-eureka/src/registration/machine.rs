//! What a registration does next. Pure: the driver says what has come of each step, and what time it is.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use super::{record::Record, state::RegistrationState, updates::Updates};
use crate::{Instance, Status};

/// The first wait after a failure; each further one is twice as long.
const RETRY: Duration = Duration::from_secs(1);

/// How many times in a row a foreign record is overwritten at once; after that, once each interval. Two pods with one id would
/// otherwise do nothing else.
const CONFLICTS: u32 = 3;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send the record, as of this time.
    Register {
        dirty: u64,
    },
    Heartbeat {
        dirty: u64,
    },
    /// Read the record back.
    Verify,
    PutOverride(Status),
    RemoveOverride(Status),
    Metadata(BTreeSet<String>),
    Wait(Instant),
}

/// What came of a step.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Done,
    /// The registry does not know this pod.
    Unknown,
    Failed,
    /// What the registry holds, read back.
    Held(Box<Instance>),
}

#[derive(Debug)]
pub(super) struct Machine {
    pub(super) record: Record,
    pub(super) state: RegistrationState,
    /// When the record last changed; what the registry compares.
    dirty: u64,
    /// The change that the registry has taken.
    taken: Option<u64>,
    /// The status in what the registry has taken.
    taken_status: Status,
    override_put: bool,
    override_steps: VecDeque<Step>,
    metadata: BTreeSet<String>,
    verify: bool,
    beat_at: Instant,
    /// Nothing but heartbeats before then.
    hold_until: Instant,
    failures: u32,
    conflicts: u32,
    updates: Updates,
}

impl Machine {
    pub(super) fn new(record: Record, status: Status, now: Instant, wall: u64) -> Self {
        let updates = Updates::new(record.renewal, now);
        Self {
            record,
            state: RegistrationState { status, pending: true, ..RegistrationState::default() },
            dirty: wall,
            taken: None,
            taken_status: Status::Unknown,
            override_put: false,
            override_steps: VecDeque::new(),
            metadata: BTreeSet::new(),
            verify: false,
            beat_at: now,
            hold_until: now,
            failures: 0,
            conflicts: 0,
            updates,
        }
    }

    /// What to do now.
    pub(super) fn next(&self, now: Instant) -> Step {
        let step = if self.taken != Some(self.dirty) {
            Some(Step::Register { dirty: self.dirty })
        } else if let Some(step) = self.override_steps.front() {
            Some(step.clone())
        } else if !self.metadata.is_empty() {
            Some(Step::Metadata(self.metadata.clone()))
        } else if self.verify {
            Some(Step::Verify)
        } else {
            None
        };
        let registered = self.taken == Some(self.dirty);
        match step {
            Some(step) if self.hold_until <= now => step,
            // A registration renews the lease itself; and a heartbeat of a change that is not told yet is refused.
            _ if registered && self.beat_at <= now => Step::Heartbeat { dirty: self.dirty },
            Some(_) if registered => Step::Wait(self.hold_until.min(self.beat_at)),
            Some(_) => Step::Wait(self.hold_until),
            None => Step::Wait(self.beat_at),
        }
    }

    /// Takes what came of a step.
    pub(super) fn done(&mut self, step: &Step, outcome: Outcome, now: Instant, wall: u64) {
        self.state.requests += 1;
        // It may have arrived, whatever came back.
        self.override_put |= matches!(step, Step::PutOverride(_));
        match (step, outcome) {
            (_, Outcome::Failed) => self.failed(step, now, wall),
            (Step::Register { dirty }, Outcome::Done) => self.registered(*dirty, now),
            (Step::Register { .. }, _) => self.failed(step, now, wall),
            (Step::Heartbeat { .. }, Outcome::Done) => {
                // What a registry did in an outage is not known.
                self.verify |= self.failures > 0;
                self.answered(now);
                self.beat_at = now + self.record.renewal;
            }
            (Step::Verify, Outcome::Held(held)) => self.held(&held, now, wall),
            // Another of its nodes, as it may be, which does not have the record yet: the next heartbeat decides.
            (Step::Verify, _) => self.hold_until = now + self.record.renewal,
            (
                Step::Metadata(_) | Step::Heartbeat { .. } | Step::PutOverride(_) | Step::RemoveOverride(_),
                Outcome::Unknown,
            ) => {
                self.state.lost += 1;
                self.answered(now);
                self.change(wall);
            }
            (Step::Metadata(keys), _) => {
                self.metadata.retain(|key| !keys.contains(key));
                self.answered(now);
            }
            (Step::PutOverride(_), _) => self.override_done(step, now),
            (Step::RemoveOverride(_), _) => {
                self.override_put = false;
                self.override_done(step, now);
            }
            (Step::Wait(_), _) | (Step::Heartbeat { .. }, Outcome::Held(_)) => {}
        }
        self.tell();
    }

    /// Another status. OUT_OF_SERVICE is an override, since a registry ignores a registration that would change UP to it or
    /// back; everything else is registered.
    pub(super) fn set_status(&mut self, status: Status, now: Instant, wall: u64) {
        if status == Status::Unknown || status == self.state.status {
            return;
        }
        self.state.status = status;
        self.override_steps.clear();
        if status == Status::OutOfService {
            self.override_steps.push_back(Step::PutOverride(status));
        } else {
            if self.override_put || self.taken_status == Status::OutOfService {
                // A server takes an override only where it changes the status, so that there is none for a record that was
                // registered out of service: this one changes it, and is taken away again.
                self.override_steps.extend([Step::PutOverride(status), Step::RemoveOverride(status)]);
            }
            // UP is what the override itself brings about.
            if self.override_steps.is_empty() || status != Status::Up {
                self.change(wall);
            }
        }
        // What came too often waits for the next periodic run.
        if self.failures == 0 && !self.updates.take(now) {
            self.hold_until = self.beat_at;
        }
        self.tell();
    }

    /// Sets pieces of metadata, and takes out those without a value.
    pub(super) fn set_metadata(&mut self, pairs: Vec<(String, Option<String>)>, wall: u64) {
        for (key, value) in pairs {
            match value {
                Some(value) => {
                    self.metadata.insert(key.clone());
                    self.record.metadata.insert(key, value);
                }
                None => {
                    self.metadata.remove(&key);
                    if self.record.metadata.remove(&key).is_some() {
                        // A registry only adds; a registration replaces.
                        self.change(wall);
                    }
                }
            }
        }
        self.tell();
    }

    /// Whether a request has ever been sent, so that the registry may know of this pod.
    pub(super) fn may_be_known(&self) -> bool {
        self.state.requests > 0
    }

    fn registered(&mut self, dirty: u64, now: Instant) {
        self.taken = Some(dirty);
        self.taken_status = self.state.status;
        // All of it was in the record.
        self.metadata.clear();
        self.verify = true;
        // A registry that has forgotten this pod has forgotten the override as well.
        if self.state.status == Status::OutOfService {
            self.override_steps = VecDeque::from([Step::PutOverride(Status::OutOfService)]);
        }
        self.answered(now);
        self.beat_at = now + self.record.renewal;
    }

    fn held(&mut self, held: &Instance, now: Instant, wall: u64) {
        self.answered(now);
        if self.record.is_held_as(held) {
            self.verify = false;
            self.conflicts = 0;
            self.state.verified = true;
            return;
        }
        self.state.conflicts += 1;
        self.conflicts += 1;
        // The registry keeps what is younger, by its writer's clock.
        self.change(wall.max(held.last_dirty.unwrap_or(0).saturating_add(1)));
        if self.conflicts >= CONFLICTS {
            self.hold_until = self.beat_at.max(now + RETRY.min(self.record.renewal));
        }
    }

    fn override_done(&mut self, step: &Step, now: Instant) {
        if self.override_steps.front() == Some(step) {
            self.override_steps.pop_front();
        }
        self.answered(now);
    }

    /// The record has changed, and has to be registered.
    fn change(&mut self, wall: u64) {
        self.dirty = wall.max(self.dirty.saturating_add(1));
        self.state.verified = false;
    }

    fn answered(&mut self, now: Instant) {
        self.failures = 0;
        self.hold_until = now;
    }

    fn failed(&mut self, step: &Step, now: Instant, wall: u64) {
        if matches!(step, Step::Metadata(_)) {
            // A registration says the same, also to a server that answers 500 for an instance that it does not know.
            self.change(wall);
        }
        let again = now + self.pause();
        self.failures = self.failures.saturating_add(1);
        self.hold_until = again;
        if matches!(step, Step::Heartbeat { .. }) {
            self.beat_at = again;
        }
    }

    /// Never longer than a third of the lease, so that it holds through two failures.
    fn pause(&self) -> Duration {
        let most = self.record.renewal.min(self.record.lease / 3);
        RETRY.saturating_mul(1 << self.failures.min(16)).min(most)
    }

    fn tell(&mut self) {
        self.state.registered = self.taken == Some(self.dirty);
        self.state.pending =
            !self.state.registered || !self.override_steps.is_empty() || !self.metadata.is_empty() || self.verify;
    }
}

#[cfg(test)]
pub(super) mod tests;
