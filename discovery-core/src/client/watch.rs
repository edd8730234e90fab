//! The stream of endpoint sets.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;

use super::{state::WatchGuard, upstream::Upstream};
use crate::endpoint::EndpointSet;

/// A stream of full endpoint sets; see [`Upstream::watch`]. It keeps the upstream alive and never ends.
pub struct Watch {
    upstream: Upstream,
    changes: WatchStream<u64>,
    last_version: Option<u64>,
    _watching: WatchGuard,
}

impl Watch {
    pub(super) fn new(upstream: Upstream, changes: watch::Receiver<u64>) -> Self {
        let _watching = upstream.state().watch();
        Self { upstream, changes: WatchStream::new(changes), last_version: None, _watching }
    }

    /// Returns the next set: first the current one, as soon as there is an answer, then each one that differs.
    ///
    /// # Cancel safety
    /// Cancel-safe: dropping the future does not lose a set.
    pub async fn next(&mut self) -> Arc<EndpointSet> {
        loop {
            if let Some(set) = std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await {
                return set;
            }
        }
    }

    /// The upstream that is watched.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// The current set, unless it was returned before or no source has answered yet.
    fn take_new(&mut self) -> Option<Arc<EndpointSet>> {
        let published = self.upstream.state().load();
        let version = published.set().version();
        if published.answer().is_none() || self.last_version == Some(version) {
            return None;
        }
        self.last_version = Some(version);
        Some(published.set().clone())
    }
}

impl Stream for Watch {
    type Item = Arc<EndpointSet>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut is_attended = true;
        loop {
            // The background task may be on a runtime that has shut down, or that is not running: polling from another
            // one restarts it. Not twice in a row on a runtime that is shutting down: each refusal is a change.
            is_attended = is_attended && self.upstream.attend();
            match Pin::new(&mut self.changes).poll_next(cx) {
                Poll::Ready(Some(_)) => {
                    if let Some(set) = self.take_new() {
                        return Poll::Ready(Some(set));
                    }
                }
                // The sender lives as long as the upstream does, so `None` never comes.
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("upstream", &self.upstream)
            .field("last_version", &self.last_version)
            .finish_non_exhaustive()
    }
}
