//! What a picture says of one Service. Pure.

use std::time::{Duration, Instant};

use super::{
    merge::{TargetPort, endpoints, target_port, usable},
    model::{Service, ServiceKind},
    picture::{Mark, Picture, Standing},
    store::Known,
};
use crate::{
    Error,
    endpoint::Endpoint,
    name::Target,
    plan::{Families, ServiceRef},
    source::{Evidence, State},
};

/// What the picture says, as of which version.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) said: Said,
    pub(super) evidence: Evidence,
    pub(super) seen: Seen,
}

/// What there is to say.
#[derive(Debug)]
pub(super) enum Said {
    /// An answer, and whether it is only the last one that was heard, and why.
    State(State, Option<Error>),
    /// The first list is on its way.
    Waiting,
}

/// What a reading depends on; a difference is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    version: u64,
    mark: Mark,
}

impl Seen {
    pub(super) fn version(self) -> u64 {
        self.version
    }

    pub(super) fn of(picture: &Picture, service: &ServiceRef) -> Self {
        let version = picture.store.get(&service.service).map_or(0, Known::version);
        Self { version, mark: picture.standing().mark() }
    }
}

/// What the picture says to `target`, which is read as `service`.
pub(super) fn read(
    picture: &mut Picture,
    service: &ServiceRef,
    target: &Target,
    families: Families,
    hold: Duration,
    now: Instant,
) -> Reading {
    picture.store.settle(now);
    let seen = Seen::of(picture, service);
    let (said, answer) = match picture.standing() {
        Standing::Waiting => (Said::Waiting, "the first list is on its way".to_owned()),
        Standing::Forbidden(error) | Standing::Unreachable(error) => silent(error.to_string()),
        Standing::Refused(error) => (Said::State(State::Failed(error.clone()), None), error.to_string()),
        Standing::Stale { error, since } => {
            let age = now.saturating_duration_since(since);
            if age > hold {
                silent(format!("not heard of for {age:.0?}: {error}"))
            } else {
                known(picture, service, target, families, Some(error))
            }
        }
        Standing::Live => known(picture, service, target, families, None),
    };
    Reading { said, evidence: Evidence::new(format!("EndpointSlices of {service}"), answer), seen }
}

fn silent(why: String) -> (Said, String) {
    (Said::State(State::NotApplicable, None), why)
}

fn known(
    picture: &Picture,
    at: &ServiceRef,
    target: &Target,
    families: Families,
    stale: Option<Error>,
) -> (Said, String) {
    let not_found = |why: String, stale| (Said::State(State::NotFound, stale), why);
    let known = picture.store.get(&at.service);
    let Some((known, service)) = known.and_then(|known| Some((known, known.service()?))) else {
        return not_found("no such Service".to_owned(), stale);
    };
    let stale = stale.or_else(|| known.is_doubted().then(doubt));
    if service.kind == ServiceKind::ExternalName {
        return not_found("an ExternalName, which is left to DNS".to_owned(), stale);
    }
    let port = match target_port(service, target) {
        Ok(port) => port,
        Err(unknown) => return not_found(unknown.to_string(), stale),
    };
    let mut all = endpoints(known.slices(), &port, service.primary, families);
    if let Some(pod) = &at.pod {
        all.retain(|endpoint| endpoint.hostname() == Some(pod));
        if all.is_empty() {
            return not_found("no pod of that host name".to_owned(), stale);
        }
    }
    told(service, &port, all, known.slices().count(), stale)
}

fn told(
    service: &Service,
    port: &TargetPort,
    all: Vec<Endpoint>,
    slices: usize,
    stale: Option<Error>,
) -> (Said, String) {
    let of = all.len();
    let usable = usable(all);
    let port = match port {
        TargetPort::Named { name: Some(name), protocol } => format!("port {name}/{protocol}"),
        TargetPort::Named { name: None, protocol } => format!("its port/{protocol}"),
        TargetPort::Number(number) => format!("number {number}, no port of `{}`", service.name),
    };
    let text = format!("{} usable of {of} endpoints in {slices} slices, {port}", usable.len());
    let text = stale.iter().fold(text, |text, error| format!("{text}; as last heard: {error}"));
    let state = if usable.is_empty() { State::Empty } else { State::Ready(usable) };
    (Said::State(state, stale), text)
}

/// Why a Service that is missing from the list is still there.
fn doubt() -> Error {
    Error::transient(
        "the API server's history has gone back, and its list lacks what was known before: not believed yet",
    )
}
