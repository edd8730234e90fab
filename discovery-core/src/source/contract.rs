//! The contract of a source.

use std::{fmt, future::Future, pin::Pin};

use super::Update;
use crate::{endpoint::Endpoint, plan::Plan};

/// The boxed future that the traits of this module return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A source of the endpoints of a target: environment variables, DNS, EndpointSlices, Eureka, or one of your own.
pub trait Source: Send + Sync + fmt::Debug + 'static {
    /// The name of the source in explanations, such as `dns`.
    fn name(&self) -> &'static str;

    /// Whether a failure of this source is final, so that later sources are not asked. Return `true` if a failure means
    /// a configuration error that the operator needs to see, such as a malformed variable.
    fn failure_is_final(&self) -> bool {
        false
    }

    /// Whether [`State::Empty`](super::State::Empty) from this source is final, so that later sources are not asked.
    /// Return `true` if this source knows better than all later ones.
    fn empty_is_final(&self) -> bool {
        false
    }

    /// Opens the lookup of one target, without I/O. The resolver calls it once per target, and again when the context
    /// (namespace, cluster domain, nameservers) has changed.
    fn open(&self, plan: &Plan) -> Box<dyn Lookup>;
}

/// The lookup of one target in one source. It may remember what earlier answers showed.
pub trait Lookup: Send + fmt::Debug {
    /// Asks the source once and returns the full state, within a bounded time.
    ///
    /// If requests can use a part of the answer while the rest is still on its way, the lookup passes that part to
    /// `early` first, as a full state too.
    ///
    /// Cancel-safe: if the future is dropped, the lookup stays usable and keeps what it remembers.
    fn ask<'a>(&'a mut self, early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update>;

    /// Completes when the source reports a change, so that asking again before the TTL expires is worthwhile. The
    /// default never completes: the source does not report changes.
    ///
    /// Cancel-safe: dropping the future does not lose a change that has been reported.
    fn changed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// Reports that requests could not connect to `endpoint`, while the endpoints in use are those of this lookup.
    ///
    /// A source whose answers may be outdated can give way: it reports a [change](Self::changed), answers
    /// [`State::NotApplicable`](super::State::NotApplicable) when it is asked next, and has a
    /// [last resort](Self::last_resort). The default ignores the report.
    fn on_unreachable(&mut self, endpoint: &Endpoint) {
        let _ = endpoint;
    }

    /// Returns the answer to use if this source has given way and no later source has endpoints; `None`, the default,
    /// if it has not given way.
    fn last_resort(&mut self) -> Option<Update> {
        None
    }
}
