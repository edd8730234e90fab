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

use super::upstream::Upstream;
use crate::endpoint::EndpointSet;

/// A stream of full endpoint sets; see [`Upstream::watch`]. It keeps the upstream alive and never ends.
pub struct Watch {
    upstream: Upstream,
    published: WatchStream<u64>,
    seen: Option<u64>,
}

impl Watch {
    pub(super) fn new(upstream: Upstream, published: watch::Receiver<u64>) -> Self {
        Self { upstream, published: WatchStream::new(published), seen: None }
    }

    /// The next set: the first time the current one, once there is an answer; then each one that differs.
    ///
    /// # Cancel safety
    /// Cancel-safe: a set is not lost by dropping the future.
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

    /// The current set, unless it has been given out before.
    fn unseen(&mut self) -> Option<Arc<EndpointSet>> {
        let published = self.upstream.0.shared.load();
        let unknown = published.error.is_none() && published.snapshot.set().is_empty();
        let version = published.snapshot.set().version();
        if unknown || self.seen == Some(version) {
            return None;
        }
        self.seen = Some(version);
        Some(published.snapshot.set().clone())
    }
}

impl Stream for Watch {
    type Item = Arc<EndpointSet>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            // A runtime that shut down has dropped the task: whoever watches from another one starts anew.
            self.upstream.0.revive();
            match Pin::new(&mut self.published).poll_next(cx) {
                Poll::Ready(Some(_)) => {
                    if let Some(set) = self.unseen() {
                        return Poll::Ready(Some(set));
                    }
                }
                // The sender lives as long as the upstream does.
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("upstream", &self.upstream).field("seen", &self.seen).finish()
    }
}
