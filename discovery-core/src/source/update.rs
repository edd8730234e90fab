//! What a source says.

use std::{fmt, time::Duration};

use crate::{Error, endpoint::Endpoint, plan::NameKind};

/// What a source says about a target: full state, how long it holds, and how the source came to it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Update {
    /// The state.
    pub state: State,
    /// How long the state holds, counted from its arrival; `None` when the source will tell by itself
    /// ([`Lookup::changed`](super::Lookup::changed)) or it cannot change.
    pub ttl: Option<Duration>,
    /// The source is the authority and tells of every change in its order: what the state lacks has gone, and needs no
    /// second question. DNS is none, whose servers disagree for a moment.
    pub authoritative: bool,
    /// How the name was read by those who know it, where that is known: as a Service, as one of its pods, or as a host.
    pub name_kind: Option<NameKind>,
    /// What was asked and answered on the way.
    pub evidence: Vec<Evidence>,
}

impl Update {
    /// A state that holds until the source tells otherwise.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self { state, ttl: None, authoritative: false, name_kind: None, evidence: Vec::new() }
    }

    /// Limits how long the state holds.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Says that the state is the authority's own: see [`definitive`](Self::authoritative).
    #[must_use]
    pub fn with_authority(mut self) -> Self {
        self.authoritative = true;
        self
    }

    /// Says how the name was read: see [`reading`](Self::name_kind).
    #[must_use]
    pub fn with_name_kind(mut self, name_kind: NameKind) -> Self {
        self.name_kind = Some(name_kind);
        self
    }

    /// Adds what was asked and answered.
    #[must_use]
    pub fn with_evidence(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }
}

/// The state of a target, as one source sees it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum State {
    /// These are all its endpoints; at least one.
    Ready(Vec<Endpoint>),
    /// The name exists and has no endpoint: authoritative, as NODATA is in DNS.
    Empty,
    /// There is no such name: authoritative, as NXDOMAIN is in DNS.
    NotFound,
    /// Nothing could be learned. Not the same as empty: what was known before still holds.
    Failed(Error),
    /// This source has nothing to say about such a target; the next one is asked.
    NotApplicable,
}

/// One thing that was asked, and its answer, as a person would tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// What was asked: a variable, a DNS question.
    pub asked: String,
    /// What came back.
    pub answer: String,
    /// How long it took, where that says something.
    pub took: Option<Duration>,
}

impl Evidence {
    /// A question and its answer.
    #[must_use]
    pub fn new(asked: impl Into<String>, answer: impl Into<String>) -> Self {
        Self { asked: asked.into(), answer: answer.into(), took: None }
    }

    /// Adds how long the answer took.
    #[must_use]
    pub fn taking(mut self, took: Duration) -> Self {
        self.took = Some(took);
        self
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.asked, self.answer)?;
        match self.took {
            Some(took) => write!(f, " ({took:.1?})"),
            None => Ok(()),
        }
    }
}
