//! The one task that sends. Since it sends one request after the other, nothing can follow the last one.

use std::{sync::Arc, time::Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    health::Health,
    machine::{Machine, Outcome, Step},
    state::RegistrationState,
};
use crate::wall::now;
use crate::{
    Error, Status,
    model::instance,
    registry::{Answer, Ask, Call},
    wall::Wall,
};

/// What the application asks of the task.
#[derive(Debug)]
pub(super) enum Command {
    Status(Status),
    Metadata(Vec<(String, Option<String>)>),
    /// To be answered when all before it has been taken.
    Heard(oneshot::Sender<()>),
    Shutdown(oneshot::Sender<Result<(), Error>>),
}

pub(super) struct Driver {
    pub(super) machine: Machine,
    pub(super) registry: Arc<dyn Ask>,
    pub(super) health: Option<Health>,
    pub(super) wall: Wall,
    pub(super) commands: mpsc::UnboundedReceiver<Command>,
    pub(super) told: watch::Sender<RegistrationState>,
}

impl Driver {
    /// Works until it is told to end, or nobody is left to tell it: then the pod is deregistered as well.
    pub(super) async fn run(mut self) {
        let done = loop {
            self.tell();
            let at = match self.machine.next(now()) {
                Step::Wait(at) => Some(at),
                step => {
                    self.perform(step).await;
                    None
                }
            };
            let command = tokio::select! {
                biased;
                command = self.commands.recv() => command,
                () = until(at) => continue,
            };
            match command {
                Some(Command::Status(status)) => self.machine.set_status(status, now(), self.wall.now()),
                Some(Command::Metadata(pairs)) => self.machine.set_metadata(pairs, self.wall.now()),
                Some(Command::Heard(heard)) => {
                    self.tell();
                    let _ = heard.send(());
                }
                Some(Command::Shutdown(done)) => break Some(done),
                None => break None,
            }
        };
        let result = self.deregister().await;
        if let Some(done) = done {
            // Who has stopped waiting does not want to know.
            let _ = done.send(result);
        }
    }

    async fn perform(&mut self, step: Step) {
        let step = match step {
            Step::Heartbeat { .. } if self.check_health().await => return,
            step => step,
        };
        let Some(call) = self.call(&step) else { return };
        let result = self.registry.ask(call.clone()).await;
        let (outcome, error) = match result {
            Ok(answer) => read(&step, &call, &answer),
            Err(error) => (Outcome::Failed, Some(error)),
        };
        self.log(&step, &outcome, error.as_ref());
        self.machine.state.error = error;
        self.machine.done(&step, outcome, now(), self.wall.now());
    }

    /// Asks the application before a heartbeat; true when that has changed what there is to do. It is not asked while it is starting or
    /// out of service.
    async fn check_health(&mut self) -> bool {
        let Some(health) = &self.health else { return false };
        let before = self.machine.state.status;
        if matches!(before, Status::Starting | Status::OutOfService) {
            return false;
        }
        let status = health.ask().await;
        if status == before {
            return false;
        }
        tracing::info!(id = %self.machine.record.id, %before, %status, "the health check says");
        self.machine.set_status(status, now(), self.wall.now());
        !matches!(self.machine.next(now()), Step::Heartbeat { .. })
    }

    fn call(&self, step: &Step) -> Option<Call> {
        let record = &self.machine.record;
        let (app, id, status) = (&record.app, &record.id, self.machine.state.status);
        Some(match step {
            Step::Register { dirty } => Call::register(app, record.body(status, *dirty)),
            Step::Heartbeat { dirty } => Call::heartbeat(app, id, status.as_str(), *dirty),
            Step::Verify => Call::one(app, id),
            Step::PutOverride(status) => Call::put_override(app, id, status.as_str()),
            Step::RemoveOverride(status) => Call::remove_override(app, id, status.as_str()),
            Step::Metadata(keys) => {
                let pairs = record.metadata.iter().filter(|(key, _)| keys.contains(*key));
                Call::metadata(app, id, pairs.map(|(key, value)| (key.as_str(), value.as_str())))
            }
            Step::Wait(_) => return None,
        })
    }

    /// The last request of all.
    async fn deregister(&mut self) -> Result<(), Error> {
        self.machine.state.status = Status::Down;
        let record = &self.machine.record;
        let result = if self.machine.may_be_known() {
            self.registry.ask(Call::cancel(&record.app, &record.id)).await.map(|_| ())
        } else {
            Ok(())
        };
        match &result {
            Ok(()) => tracing::info!(id = %record.id, "deregistered"),
            Err(error) => {
                let error = error.in_full();
                tracing::warn!(id = %record.id, %error, "not deregistered: the registry drops it when its lease is over");
            }
        }
        let state = &mut self.machine.state;
        (state.registered, state.verified, state.pending, state.ended) = (false, false, false, true);
        state.error = result.clone().err();
        self.tell();
        result
    }

    fn tell(&self) {
        self.told.send_replace(self.machine.state.clone());
    }

    /// Of one failure after the other only the first is worth a warning.
    fn log(&self, step: &Step, outcome: &Outcome, error: Option<&Error>) {
        let (id, state) = (&self.machine.record.id, &self.machine.state);
        match (step, outcome, error) {
            (_, _, Some(error)) if state.error.is_none() => {
                tracing::warn!(%id, error = %error.in_full(), "the registry could not be told");
            }
            (_, _, Some(error)) => tracing::debug!(%id, error = %error.in_full(), "the registry could not be told"),
            (Step::Register { .. }, ..) => tracing::info!(%id, status = %state.status, "registered"),
            (Step::Heartbeat { .. }, Outcome::Unknown, _) => {
                tracing::info!(%id, "the registry has forgotten this pod: told again")
            }
            (Step::Verify, Outcome::Held(held), _) if !self.machine.record.is_held_as(held) => {
                tracing::warn!(%id, address = ?held.ip_addr, "the registry holds another pod's record under this id: overwritten");
            }
            _ => tracing::debug!(%id, ?step, ?outcome, "told"),
        }
    }
}

/// What an answer means for a step.
fn read(step: &Step, call: &Call, answer: &Answer) -> (Outcome, Option<Error>) {
    let refused = || Some(answer.refusal(call, "the registry"));
    match (step, answer.status) {
        (Step::Verify, 200..300) => match instance(&answer.body) {
            Ok(held) => (Outcome::Held(Box::new(held)), None),
            Err(error) => (Outcome::Failed, Some(Error::unreadable(format!("the answer to {call}: {error}")))),
        },
        (_, 200..300) => (Outcome::Done, None),
        (Step::Register { .. }, _) => (Outcome::Failed, refused()),
        (_, 404) => (Outcome::Unknown, None),
        _ => (Outcome::Failed, refused()),
    }
}

/// `None`: at once.
async fn until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at.into()).await;
    }
}

#[cfg(test)]
mod tests;
