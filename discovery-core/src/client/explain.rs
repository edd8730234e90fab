//! Why a target has the endpoints that it has.

use std::{fmt, sync::Arc};

use crate::{
    endpoint::{EndpointSet, Identity},
    name::Target,
    plan::NameKind,
    refresh::{Freshness, View},
    source::{Evidence, State},
};

/// How many endpoints `Display` lists.
const LISTED: usize = 12;

/// What was queried, what each source answered, and why this answer won. Its `Display` is for people.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explanation {
    /// The target.
    pub target: Target,
    /// Where the context comes from: namespace, cluster domain, nameservers.
    pub context: Vec<Evidence>,
    /// What each source answered in the last round, in the order of the queries.
    pub steps: Vec<Step>,
    /// The source that won the last round.
    pub winner: Option<&'static str>,
    /// What the name stands for, where a source knows: a Service, one of its pods, or a host.
    pub name_kind: Option<NameKind>,
    /// How current the endpoints are, such as `fresh` or `stale: …`.
    pub freshness: String,
    /// The endpoints that requests go to now.
    pub endpoints: Arc<EndpointSet>,
    /// Those of them that could not be connected to, and get no request while others are usable.
    pub unreachable: Vec<Identity>,
}

impl Explanation {
    /// Before the first answer: the sources may not have been queried yet, or be about to answer.
    pub(super) fn new(target: Target, endpoints: Arc<EndpointSet>) -> Self {
        let freshness = "waiting for the first answer".to_owned();
        Self {
            target,
            context: Vec::new(),
            steps: Vec::new(),
            winner: None,
            name_kind: None,
            freshness,
            endpoints,
            unreachable: Vec::new(),
        }
    }

    /// The environment variable that the address comes from, if variables won the last round. An error about an endpoint
    /// that cannot be reached should name it.
    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        let step = self.steps.iter().find(|step| step.source == "env" && self.winner == Some(step.source))?;
        let host = |read: &&Evidence| read.asked.ends_with("_SERVICE_HOST");
        let link = |read: &&Evidence| read.asked.ends_with("_ADDR") || read.answer.contains("://");
        let set = step.evidence.iter().find(host).or_else(|| step.evidence.iter().find(link))?;
        Some(&set.asked)
    }

    /// This explanation, with the endpoints that are unreachable now.
    pub(super) fn with_unreachable(&self, unreachable: Vec<Identity>) -> Self {
        Self { unreachable, ..self.clone() }
    }

    /// This explanation for a view that changed between two rounds, with the reason in `remark`.
    pub(super) fn amended(&self, view: &View, remark: &str) -> Self {
        let freshness = format!("{}; {remark}", describe(&view.freshness));
        Self { freshness, endpoints: view.set.clone(), ..self.clone() }
    }
}

/// One source's part in a round.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// The source's name.
    pub source: &'static str,
    /// What it answered, in short.
    pub verdict: String,
    /// What it queried, and each answer.
    pub evidence: Vec<Evidence>,
}

impl Step {
    pub(super) fn new(source: &'static str, state: &State, evidence: Vec<Evidence>) -> Self {
        let verdict = match state {
            State::Ready(endpoints) if endpoints.len() == 1 => "1 endpoint".to_owned(),
            State::Ready(endpoints) => format!("{} endpoints", endpoints.len()),
            State::Empty => "the name exists, but has no endpoints".to_owned(),
            State::NotFound => "no such name".to_owned(),
            State::Failed(error) => format!("failed: {error}"),
            State::NotApplicable => "not applicable".to_owned(),
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
            Some(name_kind) => writeln!(f, "  read as {name_kind}, now {}", self.freshness)?,
            None => writeln!(f, "  now {}", self.freshness)?,
        }
        for endpoint in self.endpoints.iter().take(LISTED) {
            let remark = if self.unreachable.contains(endpoint.identity()) { ", unreachable" } else { "" };
            writeln!(f, "      {endpoint}{remark}")?;
        }
        match self.endpoints.len().saturating_sub(LISTED) {
            0 => Ok(()),
            more => writeln!(f, "      and {more} more"),
        }
    }
}

/// The freshness of a set, in words.
pub(super) fn describe(freshness: &Freshness) -> String {
    match freshness {
        Freshness::Fresh => "fresh".to_owned(),
        Freshness::Stale { error, .. } => format!("stale: {error}"),
        Freshness::Retained { is_not_found: true, .. } => "not found; retained while requests succeed".to_owned(),
        Freshness::Retained { .. } => "without endpoints; retained while requests succeed".to_owned(),
        Freshness::Empty => "without endpoints".to_owned(),
        Freshness::NotFound => "not found".to_owned(),
        Freshness::Failed(error) => format!("failed: {error}"),
        _ => "not answered yet".to_owned(),
    }
}
