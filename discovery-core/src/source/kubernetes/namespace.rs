//! The cached Services and slices of one namespace, and what they say about a target. Pure: the clock is an argument.

use std::{
    mem::{Discriminant, discriminant},
    time::{Duration, Instant},
};

use super::{
    cache::{ResourceCache, ServiceObjects, WatchState},
    merge::{TargetPort, endpoints, target_port, usable},
    model::{Service, ServiceKind, Slice},
};
use crate::{
    Error,
    endpoint::Endpoint,
    name::Target,
    plan::{Families, ServiceRef},
    source::{Evidence, State},
};

/// What is cached of one namespace.
#[derive(Debug, Default)]
pub(super) struct NamespaceCache {
    services: ResourceCache<Service>,
    slices: ResourceCache<Slice>,
}

/// What the cache says about a target.
#[derive(Debug)]
pub(super) enum CachedState {
    /// Nothing yet: the first lists have not arrived.
    Pending,
    /// A state, and the reason if it may be out of date.
    Known(State, Option<Error>),
}

/// Identifies what the cache says about one Service: an unchanged revision means an unchanged answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Revision {
    service: u64,
    slices: u64,
    sync: Discriminant<SyncState>,
}

/// The state of the two watches together.
#[derive(Clone, Debug)]
enum SyncState {
    /// The first lists have not all arrived yet.
    Pending,
    Live,
    /// At least one watch has been down since `since`; its part of the cache is out of date.
    Stale {
        error: Error,
        since: Instant,
    },
    /// At least one watch is down, and the first lists have not all arrived yet.
    Unreachable(Error),
    Forbidden(Error),
    Unsupported(Error),
}

impl NamespaceCache {
    pub(super) fn services_mut(&mut self) -> &mut ResourceCache<Service> {
        &mut self.services
    }

    pub(super) fn slices_mut(&mut self) -> &mut ResourceCache<Slice> {
        &mut self.slices
    }

    pub(super) fn revision(&self, service: &ServiceRef) -> Revision {
        Revision {
            service: self.services.get(&service.service).map_or(0, ServiceObjects::version),
            slices: self.slices.get(&service.service).map_or(0, ServiceObjects::version),
            sync: discriminant(&self.sync_state()),
        }
    }

    /// Answers for `target`, read as the name of `service`.
    pub(super) fn answer(
        &mut self,
        service: &ServiceRef,
        target: &Target,
        families: Families,
        max_stale: Duration,
        now: Instant,
    ) -> (CachedState, Evidence) {
        self.services.expire(now);
        self.slices.expire(now);
        let (state, text) = match self.sync_state() {
            SyncState::Pending => (CachedState::Pending, "the first list has not arrived yet".to_owned()),
            SyncState::Forbidden(error) | SyncState::Unreachable(error) => not_applicable(error.to_string()),
            SyncState::Unsupported(error) => {
                let text = error.to_string();
                (CachedState::Known(State::Failed(error), None), text)
            }
            SyncState::Stale { error, since } => {
                let age = now.saturating_duration_since(since);
                if age > max_stale {
                    not_applicable(format!("no update from the API server for {age:.0?}: {error}"))
                } else {
                    self.cached(service, target, families, Some(error))
                }
            }
            SyncState::Live => self.cached(service, target, families, None),
        };
        (state, Evidence::new(format!("EndpointSlices of {service}"), text))
    }

    fn cached(
        &self,
        name: &ServiceRef,
        target: &Target,
        families: Families,
        stale: Option<Error>,
    ) -> (CachedState, String) {
        let not_found = |why: String, stale| (CachedState::Known(State::NotFound, stale), why);
        let services = self.services.get(&name.service);
        let Some(service) = services.and_then(|services| services.iter().next()) else {
            return not_found("Service not found".to_owned(), stale);
        };
        let slices = self.slices.get(&name.service);
        let has_retained =
            services.is_some_and(ServiceObjects::has_retained) || slices.is_some_and(ServiceObjects::has_retained);
        let stale = stale.or_else(|| has_retained.then(rollback_error));
        if service.kind == ServiceKind::ExternalName {
            return not_found("an ExternalName Service, left to DNS".to_owned(), stale);
        }
        let port = match target_port(service, target) {
            Ok(port) => port,
            Err(unknown) => return not_found(unknown.to_string(), stale),
        };
        let slices: Vec<&Slice> = slices.into_iter().flat_map(ServiceObjects::iter).collect();
        let mut all = endpoints(slices.iter().copied(), &port, service.primary, families);
        if let Some(pod) = &name.pod {
            all.retain(|endpoint| endpoint.hostname() == Some(pod));
            if all.is_empty() {
                return not_found(format!("no pod with hostname `{pod}`"), stale);
            }
        }
        found(service, &port, all, slices.len(), stale)
    }

    /// Returns the worse of the two watches' states: unsupported, then forbidden, then down.
    fn sync_state(&self) -> SyncState {
        let states = [self.slices.watch_state(), self.services.watch_state()];
        let first = |pick: fn(&WatchState) -> Option<SyncState>| states.into_iter().find_map(pick);
        let unsupported = |state: &WatchState| match state {
            WatchState::Unsupported(error) => Some(SyncState::Unsupported(error.clone())),
            _ => None,
        };
        let forbidden = |state: &WatchState| match state {
            WatchState::Forbidden(error) => Some(SyncState::Forbidden(error.clone())),
            _ => None,
        };
        let down = |state: &WatchState| match state {
            WatchState::Down { error, since } => Some(SyncState::Stale { error: error.clone(), since: *since }),
            _ => None,
        };
        let is_listed = self.slices.is_listed() && self.services.is_listed();
        let failing = match first(down) {
            Some(SyncState::Stale { error, .. }) if !is_listed => Some(SyncState::Unreachable(error)),
            other => other,
        };
        let otherwise = if is_listed { SyncState::Live } else { SyncState::Pending };
        first(unsupported).or_else(|| first(forbidden)).or(failing).unwrap_or(otherwise)
    }
}

impl Revision {
    /// Returns whether the objects are the same, whatever the state of the watches.
    pub(super) fn has_same_objects(self, other: Self) -> bool {
        (self.service, self.slices) == (other.service, other.slices)
    }
}

fn not_applicable(why: String) -> (CachedState, String) {
    (CachedState::Known(State::NotApplicable, None), why)
}

fn found(
    service: &Service,
    port: &TargetPort,
    all: Vec<Endpoint>,
    slices: usize,
    stale: Option<Error>,
) -> (CachedState, String) {
    let total = all.len();
    let usable = usable(all);
    let port = match port {
        TargetPort::Named { name: Some(name), protocol } => format!("port {name}/{protocol}"),
        TargetPort::Named { name: None, protocol } => format!("unnamed {protocol} port"),
        TargetPort::Number(number) => format!("port {number}, which Service `{}` does not list", service.name),
    };
    let text = format!("{} of {total} endpoints usable, slices: {slices}, {port}", usable.len());
    let text = stale.iter().fold(text, |text, error| format!("{text}; stale: {error}"));
    let state = if usable.is_empty() { State::Empty } else { State::Ready(usable) };
    (CachedState::Known(state, stale), text)
}

/// Why objects that are missing from the latest list are still in the cache.
fn rollback_error() -> Error {
    Error::transient(
        "the API server went back to an older resource version (was etcd restored or emptied?), and its list lacks \
         objects of this Service: keeping the last known ones for now",
    )
}
