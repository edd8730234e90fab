//! The task that sends. It sends one request after another, so that no request can follow the last one.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration, time::Instant};

use bytes::Bytes;
use http::Response;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    machine::Machine,
    record::Record,
    state::RegistrationState,
    step::{Outcome, Step},
};
use crate::{
    Error, Status,
    clock::{WallClock, now},
    model::instance,
    registry::{Call, Transport},
};

/// How long a health check may take: it delays the heartbeat that follows.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// A request of the application to the task.
#[derive(Debug)]
pub(super) enum Command {
    Status(Status),
    Metadata(Vec<(String, Option<String>)>),
    /// Acknowledged once all earlier commands have been taken in.
    Flush(oneshot::Sender<()>),
    Shutdown(oneshot::Sender<Result<(), Error>>),
}

/// What the application configured besides the record.
pub(super) struct Behavior {
    health: Option<HealthCheck>,
    /// Deregister when the registration ends.
    unregister: bool,
}

impl Behavior {
    pub(super) fn new(health: Option<HealthCheck>, unregister: bool) -> Self {
        Self { health, unregister }
    }
}

pub(super) struct Driver {
    machine: Machine,
    registry: Arc<dyn Transport>,
    behavior: Behavior,
    wall: WallClock,
    commands: mpsc::UnboundedReceiver<Command>,
    state: watch::Sender<RegistrationState>,
}

impl Driver {
    /// Starts the task; returns the sender of its commands, and its state.
    pub(super) fn spawn(
        record: Record,
        status: Status,
        registry: Arc<dyn Transport>,
        behavior: Behavior,
    ) -> (mpsc::UnboundedSender<Command>, watch::Receiver<RegistrationState>) {
        let wall = WallClock::new();
        let machine = Machine::new(record, status, now(), wall.now());
        let (sender, commands) = mpsc::unbounded_channel();
        let (state, receiver) = watch::channel(machine.state().clone());
        tokio::spawn(Self { machine, registry, behavior, wall, commands, state }.run());
        (sender, receiver)
    }

    /// Runs until a shutdown, or until the handle is dropped. Deregisters the pod in both cases, unless it stays
    /// registered on shutdown.
    async fn run(mut self) {
        let done = loop {
            self.publish();
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
                Some(Command::Flush(flushed)) => {
                    self.publish();
                    let _ = flushed.send(());
                }
                Some(Command::Shutdown(done)) => break Some(done),
                None => break None,
            }
        };
        let result = if self.behavior.unregister { self.deregister().await } else { self.leave() };
        if let Some(done) = done {
            // Fails only if the caller no longer waits for the result.
            let _ = done.send(result);
        }
    }

    async fn perform(&mut self, step: Step) {
        if self.check_health(&step).await {
            return;
        }
        let Some(call) = self.machine.record().call(&step, self.machine.state().status) else { return };
        let outcome = match self.registry.send(call.clone()).await {
            Ok(response) => outcome(&step, &call, &response),
            Err(error) => Outcome::Failed(error),
        };
        self.log(&step, &outcome);
        self.machine.done(&step, outcome, now(), self.wall.now());
    }

    /// Runs the health check if it is due before `step`; returns true if the result changed the next step.
    async fn check_health(&mut self, step: &Step) -> bool {
        let Some(health) = self.behavior.health.as_ref().filter(|_| self.machine.is_check_due(step, now())) else {
            return false;
        };
        let before = self.machine.state().status;
        let status = health.run().await;
        if !self.machine.on_health(status, now(), self.wall.now()) {
            return false;
        }
        tracing::info!(id = %self.machine.record().id(), %before, %status, "the health check changed the status");
        self.machine.next(now()) != *step
    }

    /// Sends the last request.
    async fn deregister(&mut self) -> Result<(), Error> {
        let record = self.machine.record();
        let (app, id) = (record.app().to_owned(), record.id().to_owned());
        let result = if self.machine.may_be_known() {
            let call = Call::Deregister { app, id: id.clone() };
            let response = self.registry.send(call.clone()).await;
            response.and_then(|response| match response.status().as_u16() {
                200..300 | 404 => Ok(()),
                _ => Err(call.rejection(&response, "the registry")),
            })
        } else {
            Ok(())
        };
        match &result {
            Ok(()) => tracing::info!(%id, "deregistered"),
            Err(error) => {
                tracing::warn!(%id, %error, "deregistration failed: the pod stays listed until its lease expires");
            }
        }
        self.machine.end(&result);
        self.publish();
        result
    }

    /// Ends without a request: the record stays until its lease expires.
    fn leave(&mut self) -> Result<(), Error> {
        tracing::info!(id = %self.machine.record().id(), "ended without deregistering, as configured");
        self.machine.leave();
        self.publish();
        Ok(())
    }

    fn publish(&self) {
        self.state.send_replace(self.machine.state().clone());
    }

    /// Logs an override that the registry did not list when the record was read back before.
    fn log_override(&self, outcome: &Outcome) {
        let (record, state) = (self.machine.record(), self.machine.state());
        let Outcome::Held(held) = outcome else { return };
        let listed = held.status;
        let is_override = record.matches(held) && !matches!(listed, Status::Unknown) && listed != state.status;
        if is_override && state.listed != Some(listed) {
            let (id, status) = (record.id(), state.status);
            tracing::warn!(%id, %status, %listed, "the registry lists another status, perhaps an operator's override");
        }
    }

    /// Logs a warning for the first failure of a series only.
    fn log(&self, step: &Step, outcome: &Outcome) {
        self.log_override(outcome);
        let (id, state) = (self.machine.record().id(), self.machine.state());
        match (step, outcome) {
            (_, Outcome::Failed(error)) if state.error.is_none() => {
                tracing::warn!(%id, %error, "request to the registry failed, retrying");
            }
            (_, Outcome::Failed(error)) => tracing::debug!(%id, %error, "request to the registry failed, retrying"),
            (Step::Register { .. }, _) => tracing::info!(%id, status = %state.status, "registered"),
            (Step::Heartbeat { .. }, Outcome::Unknown) => {
                tracing::info!(%id, "the registry does not know this pod (404), registering it again");
            }
            (Step::Verify, Outcome::Held(held)) if !self.machine.record().matches(held) => {
                let address = &held.ip_addr;
                tracing::warn!(%id, ?address, "the registry holds another pod's record under this id, overwriting it");
            }
            _ => tracing::debug!(%id, ?step, ?outcome, "request to the registry completed"),
        }
    }
}

/// Interprets the response to a step.
fn outcome(step: &Step, call: &Call, response: &Response<Bytes>) -> Outcome {
    let rejection = || Outcome::Failed(call.rejection(response, "the registry"));
    match (step, response.status().as_u16()) {
        (Step::Verify, 200..300) => match instance(response.body()) {
            Ok(held) => Outcome::Held(Box::new(held)),
            Err(error) => Outcome::Failed(call.not_understood(&response.clone().into_parts().0, error)),
        },
        (_, 200..300) => Outcome::Done,
        (Step::Register { .. }, _) => rejection(),
        (_, 404) => Outcome::Unknown,
        _ => rejection(),
    }
}

/// Sleeps until `at`; `None` is now.
async fn until(at: Option<Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at.into()).await;
    }
}

type Check = dyn Fn() -> Pin<Box<dyn Future<Output = Status> + Send>> + Send + Sync;

/// The application's health check.
#[derive(Clone)]
pub(super) struct HealthCheck(Arc<Check>);

impl HealthCheck {
    pub(super) fn new<F: Future<Output = Status> + Send + 'static>(
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move || Box::pin(check())))
    }

    /// Runs the check; DOWN if it panics or times out.
    async fn run(&self) -> Status {
        let check = self.0.clone();
        let mut task = tokio::spawn(async move { check().await });
        match tokio::time::timeout(HEALTH_TIMEOUT, &mut task).await {
            Ok(Ok(status)) => status,
            Ok(Err(_)) => {
                tracing::warn!("the health check panicked: status DOWN");
                Status::Down
            }
            Err(_) => {
                task.abort();
                tracing::warn!("the health check timed out after {HEALTH_TIMEOUT:?}: status DOWN");
                Status::Down
            }
        }
    }
}

impl fmt::Debug for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthCheck").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
