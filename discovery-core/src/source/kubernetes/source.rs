//! The source and its lookups.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::select_all;

use super::{
    builder::KubernetesSourceBuilder,
    namespace::{CachedState, Revision},
    watch::{Lease, Registry},
};
use crate::{
    Error, clock,
    name::Target,
    plan::{Families, NameKind, Plan, ServiceRef},
    source::{AddressScope, BoxFuture, Evidence, Lookup, Source, State, Update},
};

/// Watches Services and EndpointSlices.
///
/// In a pod, [`ResolverBuilder::endpoint_slices`](crate::ResolverBuilder::endpoint_slices) is all that is needed. For
/// any other API server, build a source and add it with [`ResolverBuilder::source`](crate::ResolverBuilder::source).
///
/// ```no_run
/// use std::sync::Arc;
///
/// use discovery_core::{Resolver, source::kubernetes::KubernetesSource};
///
/// let slices = KubernetesSource::builder("https://10.96.0.1:443")
///     .token_file("/var/run/secrets/kubernetes.io/serviceaccount/token")
///     .ca_file("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
///     .build()?;
/// let resolver = Resolver::builder().source(Arc::new(slices)).build()?;
/// # let _ = resolver;
/// # Ok::<(), discovery_core::Error>(())
/// ```
///
/// A clone is cheap and shares its watches with the original.
#[derive(Clone, Debug)]
pub struct KubernetesSource {
    registry: Arc<Registry>,
    address_scope: AddressScope,
    families: Families,
}

struct KubernetesLookup {
    registry: Arc<Registry>,
    address_scope: AddressScope,
    families: Families,
    target: Target,
    services: Vec<ServiceRef>,
    /// Whether the name may also be that of an ordinary host.
    may_be_host: bool,
    /// The watches of `services`, in the same order, up to the last Service that had to be asked.
    watches: Vec<ServiceWatch>,
}

struct ServiceWatch {
    lease: Lease,
    /// The revision that was read last.
    read: Option<Revision>,
    /// The revision of the last endpoints that were returned.
    returned: Option<Revision>,
}

impl KubernetesSource {
    /// Configures a source for the API server at `url`, such as `https://10.96.0.1:443`.
    pub fn builder(url: impl Into<String>) -> KubernetesSourceBuilder {
        KubernetesSourceBuilder::new(url.into())
    }

    pub(super) fn new(registry: Registry, families: Families, address_scope: AddressScope) -> Self {
        Self { registry: Arc::new(registry), address_scope, families }
    }
}

impl Source for KubernetesSource {
    fn name(&self) -> &'static str {
        "endpoint-slices"
    }

    /// True: the source fails only if it has answered before or will never work. A missing Role and an API server that
    /// was never reachable are [`State::NotApplicable`].
    fn failure_is_final(&self) -> bool {
        true
    }

    /// True: DNS would return the virtual address, which has no endpoint behind it either.
    fn empty_is_final(&self) -> bool {
        true
    }

    fn open(&self, plan: &Plan) -> Box<dyn Lookup> {
        Box::new(KubernetesLookup {
            registry: self.registry.clone(),
            address_scope: self.address_scope,
            families: self.families,
            target: plan.target.clone(),
            services: plan.services.clone(),
            may_be_host: plan.dns.iter().any(|candidate| candidate.name_kind == NameKind::Host),
            watches: Vec::new(),
        })
    }
}

impl Lookup for KubernetesLookup {
    fn ask<'a>(&'a mut self, _early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(self.answer())
    }

    fn changed(&mut self) -> BoxFuture<'_, ()> {
        if self.watches.is_empty() {
            return Box::pin(std::future::pending());
        }
        let each = self.watches.iter_mut().zip(&self.services).map(|(watch, service)| Box::pin(watch.changed(service)));
        let any = select_all(each.collect::<Vec<_>>());
        Box::pin(async move {
            any.await;
        })
    }
}

impl KubernetesLookup {
    /// Reads the Services in order. The first one that exists answers, and the watches of later ones are released.
    async fn answer(&mut self) -> Update {
        let mut evidence = Vec::new();
        let mut is_applicable = !self.services.is_empty();
        for index in 0..self.services.len() {
            let (state, stale, step) = self.read(index).await;
            evidence.push(step);
            let update = match state {
                State::NotFound => continue,
                State::NotApplicable => {
                    is_applicable = false;
                    continue;
                }
                State::Ready(_) => self.ready(index, state, stale),
                State::Empty if stale.is_none() => Update::new(state).with_authority(),
                state => Update::new(state),
            };
            self.watches.truncate(index + 1);
            return update.with_evidence(evidence);
        }
        let state = if is_applicable { State::NotFound } else { State::NotApplicable };
        Update::new(state).with_evidence(evidence)
    }

    /// Returns stale endpoints once. If they are read again unchanged, the answer is a failure: the resolver then keeps
    /// the endpoints and marks them as stale.
    fn ready(&mut self, index: usize, state: State, stale: Option<Error>) -> Update {
        let is_pod = self.services[index].pod.is_some();
        let name_kind = if is_pod { NameKind::Pod } else { NameKind::Service };
        let watch = &mut self.watches[index];
        let previous = std::mem::replace(&mut watch.returned, watch.read);
        let is_same = previous.zip(watch.read).is_some_and(|(previous, read)| previous.has_same_objects(read));
        let update = match stale {
            None => Update::new(state).with_authority(),
            Some(error) if is_same => Update::new(State::Failed(error)),
            Some(_) => Update::new(state).with_ttl(STALE_TTL),
        };
        update.with_name_kind(name_kind).with_address_scope(self.address_scope)
    }

    /// Reads the cached state of a Service, after waiting up to [`FIRST_LIST_TIMEOUT`] for the first lists.
    async fn read(&mut self, index: usize) -> (State, Option<Error>, Evidence) {
        let service = &self.services[index];
        if self.watches.len() <= index {
            let lease = self.registry.lease(&service.namespace);
            self.watches.push(ServiceWatch { lease, read: None, returned: None });
        }
        let deadline = tokio::time::Instant::from(clock::now() + FIRST_LIST_TIMEOUT);
        let watch = &mut self.watches[index];
        // `example.com` may also be Service `example` of namespace `com`. It is normal that this one is forbidden.
        if !self.may_be_host || index + 1 < self.services.len() {
            watch.lease.warn_about_failures();
        }
        watch.lease.start();
        loop {
            let (state, evidence, revision) = watch.lease.answer(service, &self.target, self.families, clock::now());
            watch.read = Some(revision);
            match state {
                CachedState::Known(state, stale) => return (state, stale, evidence),
                CachedState::Pending => {}
            }
            if tokio::time::timeout_at(deadline, watch.lease.changed()).await.is_err() {
                return (State::NotApplicable, None, evidence);
            }
        }
    }
}

impl ServiceWatch {
    /// Completes when the cache differs from what was read last.
    async fn changed(&mut self, service: &ServiceRef) {
        while self.read == Some(self.lease.revision(service)) {
            self.lease.changed().await;
        }
    }
}

impl fmt::Debug for KubernetesLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubernetesLookup").field("services", &self.services).finish_non_exhaustive()
    }
}

/// How long the first answer waits for the first lists. An API server answers within milliseconds; if it does not, DNS
/// answers.
const FIRST_LIST_TIMEOUT: Duration = Duration::from_secs(2);

/// The TTL of stale endpoints that are returned for the first time.
const STALE_TTL: Duration = Duration::from_secs(1);
