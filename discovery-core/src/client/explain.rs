//! Why a target has the endpoints that it has.

use std::{fmt, sync::Arc};

use crate::{
    endpoint::EndpointSet,
    name::Target,
    plan::NameKind,
    source::{Evidence, State},
};

/// How many endpoints are listed by name.
const LISTED: usize = 12;

/// What was asked, what each source answered, and why this one won. Its `Display` is for people.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The target.
    pub target: Target,
    /// Where the context comes from: namespace, cluster domain, nameservers.
    pub context: Vec<Evidence>,
    /// What each source said in the last round, in the order of asking.
    pub steps: Vec<Step>,
    /// The source that won the last round.
    pub winner: Option<&'static str>,
    /// How the name was read, where a source knows: as a Service, one of its pods, or a host.
    pub name_kind: Option<NameKind>,
    /// How things stand, such as `fresh` or `stale: …`.
    pub standing: String,
    /// The endpoints that requests go to now.
    pub endpoints: Arc<EndpointSet>,
}

/// One source's part in a round.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// The source's name.
    pub source: &'static str,
    /// What it said, in short.
    pub verdict: String,
    /// What it asked and was answered.
    pub evidence: Vec<Evidence>,
}

impl Step {
    pub(super) fn new(source: &'static str, state: &State, evidence: Vec<Evidence>) -> Self {
        let verdict = match state {
            State::Ready(endpoints) if endpoints.len() == 1 => "1 endpoint".to_owned(),
            State::Ready(endpoints) => format!("{} endpoints", endpoints.len()),
            State::Empty => "the name exists, without endpoints".to_owned(),
            State::NotFound => "no such name".to_owned(),
            State::Failed(error) => format!("failed: {error}"),
            State::NotApplicable => "nothing to say".to_owned(),
        };
        Self { source, verdict, evidence }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.target)?;
        for evidence in &self.context {
            writeln!(f, "  {evidence}")?;
        }
        for step in &self.steps {
            let won = if self.winner == Some(step.source) { "  <- won" } else { "" };
            writeln!(f, "  {}: {}{won}", step.source, step.verdict)?;
            for evidence in &step.evidence {
                writeln!(f, "      {evidence}")?;
            }
        }
        match self.name_kind {
            Some(name_kind) => writeln!(f, "  read as {name_kind}, now {}", self.standing)?,
            None => writeln!(f, "  now {}", self.standing)?,
        }
        for endpoint in self.endpoints.iter().take(LISTED) {
            writeln!(f, "      {endpoint}")?;
        }
        match self.endpoints.len().saturating_sub(LISTED) {
            0 => Ok(()),
            more => writeln!(f, "      and {more} more"),
        }
    }
}
