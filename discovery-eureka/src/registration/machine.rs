//! Decides what a registration sends next. Pure: the driver passes in the outcome of each step, and the time.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Instant,
};

use super::{
    pace::Pace,
    record::Record,
    state::RegistrationState,
    step::{Outcome, Step, is_refusal},
};
use crate::{Error, Instance, Status};

/// How many times in a row a foreign record is overwritten at once. After that it is overwritten once per interval, so
/// that two pods with one id do not keep overwriting each other.
const MAX_CONFLICTS: u32 = 3;

/// The record is read back after this many heartbeats: an operator may have set an override in the registry.
const READ_BACK_AFTER: u32 = 4;

/// What the current status comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SetBy {
    Application,
    HealthCheck,
}

/// The state machine of one registration.
#[derive(Debug)]
pub(super) struct Machine {
    record: Record,
    state: RegistrationState,
    status_set_by: SetBy,
    /// The time of the latest health check, or of a status that the application set. The registration starts without
    /// a check.
    checked_at: Instant,
    /// The time of the record's latest change, which the registry compares.
    dirty: u64,
    /// The change that the registry accepted.
    accepted: Option<u64>,
    /// The status in the record that the registry accepted.
    accepted_status: Status,
    override_sent: bool,
    override_steps: VecDeque<Step>,
    /// The metadata keys to send.
    metadata: BTreeSet<String>,
    /// The record has to be read back.
    unverified: bool,
    /// The application wants the registry to list UP, whatever an operator set there.
    claims_up: bool,
    /// Heartbeats since the record was read back.
    heartbeats: u32,
    conflicts: u32,
    pace: Pace,
}

impl Machine {
    pub(super) fn new(record: Record, status: Status, now: Instant, wall: u64) -> Self {
        let pace = Pace::new(record.renewal(), record.lease(), now);
        Self {
            record,
            state: RegistrationState { status, pending: true, ..RegistrationState::default() },
            status_set_by: SetBy::Application,
            checked_at: now,
            dirty: wall,
            accepted: None,
            accepted_status: Status::Unknown,
            override_sent: false,
            override_steps: VecDeque::new(),
            metadata: BTreeSet::new(),
            unverified: false,
            claims_up: false,
            heartbeats: 0,
            conflicts: 0,
            pace,
        }
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    pub(super) fn state(&self) -> &RegistrationState {
        &self.state
    }

    /// Returns what to do now.
    pub(super) fn next(&self, now: Instant) -> Step {
        let registered = self.is_registered();
        let (paused_until, heartbeat_at) = (self.pace.paused_until(), self.pace.heartbeat_at());
        match self.pending_step() {
            Some(step) if paused_until <= now => step,
            // A registration renews the lease as well, and the registry rejects a heartbeat with a change that it has
            // not accepted yet.
            _ if registered && heartbeat_at <= now => Step::Heartbeat { dirty: self.dirty },
            Some(_) if registered => Step::Wait(paused_until.min(heartbeat_at)),
            Some(_) => Step::Wait(paused_until),
            None => Step::Wait(heartbeat_at),
        }
    }

    /// Takes in the outcome of a step.
    pub(super) fn done(&mut self, step: &Step, outcome: Outcome, now: Instant, wall: u64) {
        self.state.requests += 1;
        // Without a response the request may have arrived.
        let refused = outcome.is_refusal();
        self.override_sent |= matches!(step, Step::PutOverride(_)) && !refused;
        self.state.error = match &outcome {
            Outcome::Failed(error) => Some(error.clone()),
            _ => None,
        };
        match (step, outcome) {
            (_, Outcome::Failed(_)) => self.on_failure(step, now, wall),
            (Step::Register { dirty }, Outcome::Done) => self.on_registered(*dirty, now),
            (Step::Register { .. }, _) => self.on_failure(step, now, wall),
            (Step::Heartbeat { .. }, Outcome::Done) => self.on_heartbeat(now),
            (Step::Verify, Outcome::Held(held)) => self.on_verified(&held, now, wall),
            // Perhaps another registry node that does not have the record yet: the next heartbeat decides.
            (Step::Verify, _) => self.pace.pause(now),
            (
                Step::Metadata(_) | Step::Heartbeat { .. } | Step::PutOverride(_) | Step::RemoveOverride(_),
                Outcome::Unknown,
            ) => {
                self.state.lost += 1;
                self.pace.on_success(now);
                self.change(wall);
            }
            (Step::Metadata(keys), _) => {
                self.metadata.retain(|key| !keys.contains(key));
                self.pace.on_success(now);
            }
            (Step::PutOverride(_), _) => self.on_override(step, now),
            (Step::RemoveOverride(_), _) => {
                self.override_sent = false;
                self.on_override(step, now);
            }
            (Step::Wait(_), _) | (Step::Heartbeat { .. }, Outcome::Held(_)) => {}
        }
        self.update_state();
    }

    /// Returns whether the health check runs before `step`. It runs before each heartbeat, and once per interval while
    /// no heartbeats are sent because the registry has not accepted the record. A status that the application set to
    /// STARTING or OUT_OF_SERVICE is kept without a check.
    pub(super) fn is_check_due(&self, step: &Step, now: Instant) -> bool {
        let kept = self.status_set_by == SetBy::Application
            && matches!(self.state.status, Status::Starting | Status::OutOfService);
        let due = match step {
            // An override that the result required may have been sent before this heartbeat.
            Step::Heartbeat { .. } => self.checked_at < self.pace.heartbeat_at(),
            Step::Register { .. } => now.saturating_duration_since(self.checked_at) >= self.record.renewal(),
            _ => false,
        };
        due && !kept
    }

    /// Takes in the result of the health check; returns whether it changed the status.
    pub(super) fn on_health(&mut self, status: Status, now: Instant, wall: u64) -> bool {
        self.checked_at = now;
        if status == Status::Unknown || status == self.state.status {
            return false;
        }
        self.status_set_by = SetBy::HealthCheck;
        self.claims_up = false;
        self.change_status(status, now, wall);
        true
    }

    /// Sets the status that the application wants. UP also removes an override that an operator set.
    pub(super) fn set_status(&mut self, status: Status, now: Instant, wall: u64) {
        if status == Status::Unknown {
            return;
        }
        self.status_set_by = SetBy::Application;
        self.claims_up = status == Status::Up;
        if status != self.state.status {
            // Sent before the next check.
            self.checked_at = now;
            self.change_status(status, now, wall);
        } else if self.claims_up {
            // The registry may list another status by now.
            self.unverified = true;
            self.pace.limit_update(self.state.error.as_ref().is_some_and(is_refusal), now);
            self.update_state();
        }
    }

    /// Changes the status. OUT_OF_SERVICE is sent as an override, because a registry ignores a registration that
    /// changes UP to OUT_OF_SERVICE or back. Any other status is registered.
    fn change_status(&mut self, status: Status, now: Instant, wall: u64) {
        self.state.status = status;
        self.override_steps.clear();
        if status == Status::OutOfService {
            self.override_steps.push_back(Step::PutOverride(status));
        } else {
            if self.override_sent || self.accepted_status == Status::OutOfService {
                // A server stores an override only if it changes the status, so a record registered as OUT_OF_SERVICE
                // has none. Putting this status changes it, and removing the override leaves it in place.
                self.override_steps.extend([Step::PutOverride(status), Step::RemoveOverride(status)]);
            }
            // For UP, the override alone is enough.
            if self.override_steps.is_empty() || status != Status::Up {
                self.change(wall);
            }
        }
        self.pace.limit_update(self.state.error.as_ref().is_some_and(is_refusal), now);
        self.update_state();
    }

    /// Sets metadata entries, and removes those without a value.
    pub(super) fn set_metadata(&mut self, pairs: Vec<(String, Option<String>)>, wall: u64) {
        for (key, value) in pairs {
            let removes = value.is_none();
            let changed = self.record.set_metadata(&key, value);
            if removes {
                self.metadata.remove(&key);
                if changed {
                    // The metadata request only adds entries; a registration replaces all of them.
                    self.change(wall);
                }
            } else {
                self.metadata.insert(key);
            }
        }
        self.update_state();
    }

    /// Returns whether the registry may know this pod, because a request was sent.
    pub(super) fn may_be_known(&self) -> bool {
        self.state.requests > 0
    }

    /// Ends the registration, with the outcome of the deregistration.
    pub(super) fn end(&mut self, result: &Result<(), Error>) {
        let state = &mut self.state;
        state.status = Status::Down;
        (state.registered, state.verified, state.pending, state.ended) = (false, false, false, true);
        state.error = result.clone().err();
        state.deregistered = result.is_ok();
    }

    /// Ends the registration, and leaves the record in the registry.
    pub(super) fn leave(&mut self) {
        (self.state.pending, self.state.ended) = (false, true);
    }

    fn is_registered(&self) -> bool {
        self.accepted == Some(self.dirty)
    }

    fn pending_step(&self) -> Option<Step> {
        if !self.is_registered() {
            Some(Step::Register { dirty: self.dirty })
        } else if let Some(step) = self.override_steps.front() {
            Some(step.clone())
        } else if !self.metadata.is_empty() {
            Some(Step::Metadata(self.metadata.clone()))
        } else {
            (self.unverified || self.heartbeats >= READ_BACK_AFTER).then_some(Step::Verify)
        }
    }

    fn on_registered(&mut self, dirty: u64, now: Instant) {
        self.accepted = Some(dirty);
        self.state.registrations += 1;
        self.accepted_status = self.state.status;
        // The record contains all metadata.
        self.metadata.clear();
        self.unverified = true;
        // A registry that lost this pod has lost the override as well.
        if self.state.status == Status::OutOfService {
            self.override_steps = VecDeque::from([Step::PutOverride(Status::OutOfService)]);
        }
        self.pace.on_renewal(now);
    }

    fn on_heartbeat(&mut self, now: Instant) {
        // After an outage the registry may hold anything.
        self.unverified |= self.pace.is_failing();
        self.heartbeats += 1;
        self.pace.on_renewal(now);
    }

    fn on_verified(&mut self, held: &Instance, now: Instant, wall: u64) {
        self.pace.on_success(now);
        if self.record.matches(held) {
            (self.unverified, self.heartbeats, self.conflicts) = (false, 0, 0);
            self.state.verified = true;
            self.on_listed(held.status);
            return;
        }
        self.state.conflicts += 1;
        self.conflicts += 1;
        // The registry keeps the later record, by the clock of its writer.
        self.change(wall.max(held.last_dirty.unwrap_or(0).saturating_add(1)));
        if self.conflicts >= MAX_CONFLICTS {
            self.pace.pause_until_heartbeat(now);
        }
    }

    /// Takes in the status that the registry lists.
    fn on_listed(&mut self, listed: Status) {
        self.state.listed = Some(listed);
        let claims_up = std::mem::take(&mut self.claims_up);
        if claims_up && !matches!(listed, Status::Up | Status::Unknown) {
            self.override_steps.extend([Step::PutOverride(Status::Up), Step::RemoveOverride(Status::Up)]);
        }
    }

    fn on_override(&mut self, step: &Step, now: Instant) {
        if let Step::PutOverride(status) | Step::RemoveOverride(status) = step {
            self.state.listed = Some(*status);
            self.claims_up &= !matches!(step, Step::RemoveOverride(_));
        }
        if self.override_steps.front() == Some(step) {
            self.override_steps.pop_front();
        }
        self.pace.on_success(now);
    }

    fn on_failure(&mut self, step: &Step, now: Instant, wall: u64) {
        if matches!(step, Step::Metadata(_)) {
            // A registration carries the same metadata, and also works with a server that responds with 500 to metadata
            // for an unknown instance.
            self.change(wall);
        }
        self.pace.on_failure(matches!(step, Step::Heartbeat { .. }), now);
    }

    /// Marks the record as changed, so that it is registered again.
    fn change(&mut self, wall: u64) {
        self.dirty = wall.max(self.dirty.saturating_add(1));
        self.state.verified = false;
        self.state.listed = None;
    }

    fn update_state(&mut self) {
        self.state.registered = self.is_registered();
        // Reading the record back now and then changes nothing, so nothing has to wait for it.
        let is_routine = |step: &Step| *step == Step::Verify && !self.unverified;
        self.state.pending = self.pending_step().is_some_and(|step| !is_routine(&step));
    }
}

#[cfg(test)]
mod tests;
