//! How the source is configured.

use std::{path::PathBuf, time::Duration};

use super::{
    source::KubernetesSource,
    watch::{Connection, Registry, Timing},
};
use crate::{Error, plan::Families};

/// Configures a [`KubernetesSource`].
#[derive(Debug)]
#[must_use = "call `build`"]
pub struct KubernetesSourceBuilder {
    connection: Connection,
    timing: Timing,
    families: Families,
}

impl KubernetesSourceBuilder {
    pub(super) fn new(url: String) -> Self {
        Self {
            connection: Connection { url, token: None, token_file: None, ca_file: None },
            timing: Timing::default(),
            families: Families::Both,
        }
    }

    /// Sends this bearer token. It wins over a token file.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.connection.token = Some(token.into());
        self
    }

    /// Sends the bearer token in this file (the token alone, without a newline, as the kubelet writes it), which is read again at least once a minute, and at once when the API
    /// server refuses the token: the kubelet replaces it long before it expires.
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.connection.token_file = Some(path.into());
        self
    }

    /// Trusts the certificate authorities in this PEM file, which is read again about once a minute. Without it the
    /// machine's own are trusted.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.connection.ca_file = Some(path.into());
        self
    }

    /// Uses addresses of these families only; both by default. In a dual-stack cluster set this where only one of them
    /// can be reached.
    pub fn families(mut self, families: Families) -> Self {
        self.families = families;
        self
    }

    /// Ends a watch after this at the latest and begins another; 1 s to 290 s, 120 s by default. It is what a dead
    /// connection is noticed by: nothing is heard for this long and a grace of up to 10 s.
    pub fn watch_timeout(mut self, timeout: Duration) -> Self {
        self.timing.watch = timeout.clamp(Duration::from_secs(1), Duration::from_secs(290));
        self
    }

    /// Waits this long after the first failure, and twice as long after each further one, up to `max`; 1 s and 30 s by
    /// default. The waits are jittered: anything up to the first one, then a half to the whole.
    pub fn backoff(mut self, initial: Duration, max: Duration) -> Self {
        self.timing.backoff = (initial.min(max), max);
        self
    }

    /// Holds what was known for this long against an API server that cannot be heard, or whose history has gone back; 270 s
    /// by default. Less than the resolver's [`max_stale`](crate::refresh::RefreshSettings::max_stale), or there is a gap
    /// before DNS takes over.
    pub fn max_stale(mut self, hold: Duration) -> Self {
        self.timing.hold = hold;
        self
    }

    /// Asks again this long after a 403 or a 404, give or take a fifth; 60 s by default.
    pub fn forbidden_retry_interval(mut self, pause: Duration) -> Self {
        self.timing.refused = pause;
        self
    }

    /// Makes the source. Nothing is asked and no file is read yet.
    ///
    /// # Errors
    /// [`Error::is_config`] when the URL is none of an API server.
    pub fn build(self) -> Result<KubernetesSource, Error> {
        self.connection.check()?;
        Ok(KubernetesSource::assemble(Registry::new(self.connection, self.timing), self.families))
    }
}
