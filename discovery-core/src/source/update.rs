//! The answer of a source.

use std::{fmt, time::Duration};

use super::AddressScope;
use crate::{Error, endpoint::Endpoint, plan::NameKind, text::one_line};

/// The answer of a source about a target: the full state, how long it is valid, and the evidence for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Update {
    /// The state.
    pub state: State,
    /// How long the state is valid, from its arrival. `None` if the source reports changes itself
    /// ([`Lookup::changed`](super::Lookup::changed)) or the state cannot change.
    pub ttl: Option<Duration>,
    /// Whether the source is authoritative and reports all changes in order. An endpoint that the state lacks is then
    /// removed without a second query. DNS is not authoritative in this sense: its servers disagree for a moment.
    pub authoritative: bool,
    /// How the source read the name, if known: as a Service, as one of its pods, or as a host. Also without endpoints: a
    /// name that the cluster denies is a host, even if the query for the host fails.
    pub name_kind: Option<NameKind>,
    /// What the addresses of the endpoints stand for, which decides whether a connection outlives the answer.
    pub address_kind: AddressKind,
    /// Which addresses the endpoints may have, by where the answer comes from. The resolver refuses the others.
    pub address_scope: AddressScope,
    /// The queries that led to the state, and their answers.
    pub evidence: Vec<Evidence>,
}

impl Update {
    /// Returns an update that is valid until the source reports a change.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self {
            state,
            ttl: None,
            authoritative: false,
            name_kind: None,
            address_kind: AddressKind::Backends,
            address_scope: AddressScope::LOCAL,
            evidence: Vec::new(),
        }
    }

    /// Limits how long the state is valid.
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Marks the state as [authoritative](Self::authoritative).
    #[must_use]
    pub fn with_authority(mut self) -> Self {
        self.authoritative = true;
        self
    }

    /// Sets [how the name was read](Self::name_kind).
    #[must_use]
    pub fn with_name_kind(mut self, name_kind: NameKind) -> Self {
        self.name_kind = Some(name_kind);
        self
    }

    /// Sets [what the addresses stand for](Self::address_kind).
    #[must_use]
    pub fn with_address_kind(mut self, address_kind: AddressKind) -> Self {
        self.address_kind = address_kind;
        self
    }

    /// Sets [which addresses the endpoints may have](Self::address_scope).
    #[must_use]
    pub fn with_address_scope(mut self, address_scope: AddressScope) -> Self {
        self.address_scope = address_scope;
        self
    }

    /// Adds queries and their answers.
    #[must_use]
    pub fn with_evidence(mut self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        self.evidence.extend(evidence);
        self
    }
}

/// What the addresses of a target stand for, and so what the absence of an address from a later answer says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressKind {
    /// Each address is one backend, such as a pod. A backend that an answer lacks is gone.
    #[default]
    Backends,
    /// The addresses of a host. A large site answers each query with a few of its many addresses, so an address that an
    /// answer lacks may be as good as before.
    Host,
    /// One virtual address in front of backends, such as the ClusterIP of a Service. Connections outlive the address:
    /// kube-proxy chose their backends when they were established, and conntrack keeps the choice.
    Virtual,
}

/// The state of a target, as one source knows it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum State {
    /// All endpoints of the target; at least one.
    Ready(Vec<Endpoint>),
    /// The name exists and has no endpoints: a negative answer, like NODATA in DNS.
    Empty,
    /// The name does not exist: a negative answer, like NXDOMAIN in DNS.
    NotFound,
    /// The query failed. This is not the same as empty: the last known endpoints stay in use.
    Failed(Error),
    /// The source does not apply to this target; the resolver asks the next one.
    NotApplicable,
}

/// One query and its answer, as text for people.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// The query: the name of a variable, or a DNS name and type.
    pub asked: String,
    /// The answer.
    pub answer: String,
    /// How long the answer took, if that is relevant.
    pub took: Option<Duration>,
}

impl Evidence {
    /// Returns the evidence of one query.
    #[must_use]
    pub fn new(asked: impl Into<String>, answer: impl Into<String>) -> Self {
        Self { asked: one_line(asked), answer: one_line(answer), took: None }
    }

    /// Sets how long the answer took.
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
