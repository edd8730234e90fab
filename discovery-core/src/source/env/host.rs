//! The host in `<SERVICE>_SERVICE_HOST`.

use super::{address::stays, reports::Reports};
use crate::{
    Error, clock,
    endpoint::Endpoint,
    plan::NameKind,
    source::{BoxFuture, Evidence, Lookup, State, Update},
};

/// Looks up the host that a variable names. It stands for the Service: an answer without endpoints is final, and an
/// error names the variable.
#[derive(Debug)]
pub(super) struct HostLookup {
    lookup: Box<dyn Lookup>,
    /// The variable with its value.
    variable: String,
    /// The variables that were read.
    evidence: Vec<Evidence>,
    /// The endpoint that was reported last.
    reported: String,
    reports: Reports,
}

impl HostLookup {
    pub(super) fn new(lookup: Box<dyn Lookup>, variable: String, evidence: Vec<Evidence>) -> Self {
        Self { lookup, variable, evidence, reported: String::new(), reports: Reports::default() }
    }

    async fn answer(&mut self, early: &mut (dyn FnMut(Update) + Send)) -> Update {
        let mut update = self.lookup.ask(&mut |update| early(of_service(update))).await;
        update.state = match update.state {
            // The variable says that the Service is there, so that the Service itself exists.
            State::NotFound => State::Empty,
            State::Failed(error) => State::Failed(self.failure(&error.to_string(), error)),
            State::NotApplicable => {
                let reasons: Vec<String> = update.evidence.iter().map(ToString::to_string).collect();
                State::Failed(self.failure(&reasons.join(", "), Error::config("no source knows the host")))
            }
            state => state,
        };
        update.evidence.splice(..0, self.evidence.iter().cloned());
        if self.reports.left(clock::now()).is_some() {
            update.evidence.push(Evidence::new(&self.reported, stays(&self.variable)));
        }
        of_service(update)
    }

    fn failure(&self, reason: &str, cause: Error) -> Error {
        let text = format!("{}, and the host cannot be looked up: {reason}", self.variable);
        Error::with_source(cause.kind(), text, cause)
    }
}

impl Lookup for HostLookup {
    fn ask<'a>(&'a mut self, early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(self.answer(early))
    }

    fn changed(&mut self) -> BoxFuture<'_, ()> {
        self.lookup.changed()
    }

    /// The report itself brings the next query forward.
    fn on_unreachable(&mut self, endpoint: &Endpoint) {
        if self.reports.on_unreachable(clock::now()) {
            self.reported = endpoint.addr().to_string();
            tracing::warn!(endpoint = %self.reported, "unreachable: {}", stays(&self.variable));
        }
        self.lookup.on_unreachable(endpoint);
    }
}

/// The name that was asked for is that of a Service, wherever a variable says that it is.
fn of_service(update: Update) -> Update {
    update.with_name_kind(NameKind::Service)
}
