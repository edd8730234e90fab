//! Endpoints that have left the set, and answer nothing more.

use std::time::Duration;

use super::upstream::Upstream;
use crate::policy::LoadedEndpoint;

impl Upstream {
    /// Waits until `picked` has left the set and has then answered nothing for `silence`.
    ///
    /// `picked` is [`Pick::loaded_endpoint`](crate::policy::Pick::loaded_endpoint) of a request that is under way. An
    /// endpoint that comes back to the set with the same addresses has not left it. An answer is what
    /// [`Pick::answered`](crate::policy::Pick::answered) counts, so an endpoint that shuts down gracefully and still
    /// answers other requests is not silent.
    ///
    /// While the endpoint is in the set, the future only waits for a change of the set: it allocates nothing and sets no
    /// timer. Afterwards it ends once a whole period of `silence` has passed without an answer.
    ///
    /// # Cancel safety
    /// Cancel-safe. A new call waits for `silence` again.
    pub async fn removed_and_silent(&self, picked: &LoadedEndpoint, silence: Duration) {
        loop {
            self.removed(picked).await;
            // Boxed, so that the futures of all requests do not reserve space that few of them need.
            if Box::pin(is_silent(picked, silence)).await && !self.has(picked) {
                return;
            }
        }
    }

    async fn removed(&self, picked: &LoadedEndpoint) {
        let mut changes = self.state().subscribe();
        while self.has(picked) {
            // Never an error: the sender lives in the state, which this handle keeps alive.
            let _ = changes.changed().await;
        }
    }

    /// Whether the set has this endpoint, with the same addresses: an endpoint that has moved is another process.
    fn has(&self, picked: &LoadedEndpoint) -> bool {
        let published = self.state().load();
        let known = published.set().get_by_identity(picked.identity());
        known.is_some_and(|endpoint| endpoint.addrs().eq(picked.endpoint().addrs()))
    }
}

/// Waits, and returns whether the endpoint has answered nothing meanwhile.
async fn is_silent(picked: &LoadedEndpoint, silence: Duration) -> bool {
    let answers = picked.load().answers();
    tokio::time::sleep(silence).await;
    picked.load().answers() == answers
}
