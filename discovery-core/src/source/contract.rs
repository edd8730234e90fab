//! What a source is.

use std::{fmt, future::Future, pin::Pin};

use super::Update;
use crate::plan::Plan;

/// A boxed future, as the traits here return them.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that can be asked for a target: environment variables, DNS, later EndpointSlices and Eureka.
pub trait Source: Send + Sync + fmt::Debug + 'static {
    /// The source's name in explanations, such as `dns`.
    fn name(&self) -> &'static str;

    /// Whether its failure is the answer, so that no later source is asked. True where a failure means that
    /// somebody has configured it wrongly and must hear of it, as with a malformed variable.
    fn failure_is_final(&self) -> bool {
        false
    }

    /// Whether its "there is such a name, and it has no endpoint" is the answer, so that no later source is asked. True
    /// where the source knows better than all later ones.
    fn empty_is_final(&self) -> bool {
        false
    }

    /// Begins the conversation about one target. Called once per target and once more whenever the context
    /// (namespace, cluster domain, nameservers) has changed; does no I/O.
    fn open(&self, plan: &Plan) -> Box<dyn Lookup>;
}

/// The conversation with one source about one target. It may remember what it has learned.
pub trait Lookup: Send + fmt::Debug {
    /// Asks once, and answers with the full state. The answer comes within a bounded time.
    ///
    /// When a part of the answer is good enough to send requests to while the rest is still on its way, it
    /// is handed to `early` first; it is a full state as well.
    ///
    /// Cancel-safe: a dropped future leaves the lookup usable and what it remembers intact.
    fn ask<'a>(&'a mut self, early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update>;

    /// Completes when the source has news of its own accord, so that it is worth asking again before the
    /// TTL is over. A source that only answers when asked never completes, which is the default.
    ///
    /// Cancel-safe: news that arrived is not lost by dropping the future.
    fn changed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}
