//! The address that variables give.

use std::{future::ready, time::Duration};

use super::reports::Reports;
use crate::{
    clock,
    endpoint::Endpoint,
    source::{BoxFuture, Evidence, Lookup, State, Update},
};

/// How soon the later sources are asked again while none of them has endpoints: the longest backoff of a negative
/// answer.
const ASK_LATER_SOURCES: Duration = Duration::from_secs(5);

/// Who set the variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Author {
    /// The whole family is there: the kubelet wrote it when it started the pod, and the Service may have changed since.
    Kubelet,
    /// An override, which stays in use whatever requests report.
    Operator,
}

/// Answers with the address in the variables, until requests report that it is unreachable.
#[derive(Debug)]
pub(super) struct AddressLookup {
    ready: Update,
    author: Author,
    /// The variable with its value.
    variable: String,
    /// The endpoint that the last report was about.
    reported: String,
    reports: Reports,
    /// A report has arrived since the last answer.
    news: bool,
    /// The last answer was given while a report counted.
    under_report: bool,
}

impl AddressLookup {
    pub(super) fn new(ready: Update, author: Author, variable: String) -> Self {
        Self {
            ready,
            author,
            variable,
            reported: String::new(),
            reports: Reports::default(),
            news: false,
            under_report: false,
        }
    }

    /// The address, with a remark while a report counts. Variables of the kubelet do not apply then.
    fn answer(&mut self) -> Update {
        let left = self.reports.left(clock::now());
        (self.news, self.under_report) = (false, left.is_some());
        let mut update = self.ready.clone();
        let Some(left) = left else { return update };
        let remark = match self.author {
            Author::Kubelet => {
                update.state = State::NotApplicable;
                format!(
                    "unreachable: {}, which the kubelet wrote when the pod started, and the Service may have another \
                     address now; the variables give way to the next source for {left:.0?}",
                    self.variable
                )
            }
            Author::Operator => stays(&self.variable),
        };
        update.with_evidence([Evidence::new(&self.reported, remark)])
    }
}

impl Lookup for AddressLookup {
    fn ask<'a>(&'a mut self, _early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(ready(self.answer()))
    }

    fn changed(&mut self) -> BoxFuture<'_, ()> {
        if self.news {
            return Box::pin(ready(()));
        }
        match self.reports.left(clock::now()) {
            Some(left) if self.under_report => Box::pin(tokio::time::sleep(left)),
            None if self.under_report => Box::pin(ready(())),
            _ => Box::pin(std::future::pending()),
        }
    }

    fn on_unreachable(&mut self, endpoint: &Endpoint) {
        if !self.reports.on_unreachable(clock::now()) {
            return;
        }
        self.news = true;
        self.reported = endpoint.addr().to_string();
        let (endpoint, variable) = (&self.reported, &self.variable);
        match self.author {
            Author::Kubelet => tracing::warn!(%endpoint, %variable, "variables give way: their address is unreachable"),
            Author::Operator => tracing::warn!(%endpoint, "unreachable: {}", stays(variable)),
        }
    }

    fn last_resort(&mut self) -> Option<Update> {
        let gave_way = self.author == Author::Kubelet && self.under_report;
        let remark = "unreachable, but no later source has endpoints: the address of the variables stays in use";
        let update = || self.ready.clone().with_evidence([Evidence::new(&self.reported, remark)]);
        gave_way.then(|| update().with_ttl(ASK_LATER_SOURCES))
    }
}

/// What an operator needs to know who named an address that is unreachable.
pub(super) fn stays(variable: &str) -> String {
    format!(
        "unreachable: {variable}, an override that stays in use; start a server there, or correct or unset the variable"
    )
}
