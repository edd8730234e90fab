//! The host in `<SERVICE>_SERVICE_HOST`.

use super::{address::stays, reports::Reports};
use crate::{
    clock,
    endpoint::Endpoint,
    source::{BoxFuture, Evidence, Lookup, Update, stand_in},
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
        let variable = &self.variable;
        let update = self.lookup.ask(&mut |update| early(stand_in(update, variable))).await;
        let mut update = stand_in(update, variable);
        update.evidence.splice(..0, self.evidence.iter().cloned());
        if self.reports.left(clock::now()).is_some() {
            update.evidence.push(Evidence::new(&self.reported, stays(&self.variable)));
        }
        update
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
