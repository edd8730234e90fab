//! The settings of the requests to a registry.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use discovery_reqwest::Client;

use super::{Call, token::TokenProvider};
use crate::Error;

/// How long a request may take, from resolving the registry to the end of the response: the Java client's read timeout.
/// The Java client allows another 5 s for the connection.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);

/// The timeout of the deregistration: a terminating pod cannot wait for a registry that hangs.
const DEREGISTER_TIMEOUT: Duration = Duration::from_secs(2);

/// How a registry is reached. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RegistrySettings {
    client: Client,
    urls: UrlSource,
    token: Option<TokenProvider>,
    timeouts: Timeouts,
    limits: BodyLimits,
}

impl RegistrySettings {
    pub(crate) fn new(client: &Client, urls: UrlSource) -> Self {
        let timeouts = Timeouts { request: REQUEST_TIMEOUT, deregister: DEREGISTER_TIMEOUT, connect: None };
        Self { client: client.clone(), urls, token: None, timeouts, limits: BodyLimits::default() }
    }

    /// One URL, or several separated by commas.
    pub(crate) fn of(client: &Client, urls: impl Into<String>) -> Self {
        Self::new(client, UrlSource::Fixed(urls.into()))
    }

    /// Returns the client that resolves the registry's host.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the client with the connect timeout of these settings.
    pub(super) fn connecting_client(&self) -> Client {
        match self.timeouts.connect {
            Some(timeout) => self.client.with_connect_timeout(timeout),
            None => self.client.clone(),
        }
    }

    pub(super) fn urls(&self) -> &UrlSource {
        &self.urls
    }

    pub(super) fn set_urls(&mut self, urls: UrlSource) {
        self.urls = urls;
    }

    pub(super) fn token(&self) -> Option<&TokenProvider> {
        self.token.as_ref()
    }

    pub(super) fn set_token(&mut self, token: TokenProvider) {
        self.token = Some(token);
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        self.timeouts
    }

    pub(crate) fn limits(&self) -> BodyLimits {
        self.limits
    }

    pub(crate) fn set_max_response_size(&mut self, bytes: usize) {
        self.limits.size = bytes;
    }

    pub(crate) fn set_max_compression_ratio(&mut self, ratio: u32) {
        self.limits.ratio = ratio;
    }

    pub(crate) fn set_max_instances(&mut self, instances: usize) {
        self.limits.instances = instances;
    }

    pub(super) fn timeouts_mut(&mut self) -> &mut Timeouts {
        &mut self.timeouts
    }
}

/// The largest response that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BodyLimits {
    /// In bytes, of the plain text.
    pub(super) size: usize,
    /// Bytes of plain text for each byte of gzip.
    pub(super) ratio: u32,
    pub(crate) instances: usize,
}

/// An instance takes about 1.5 kB, so that 64 MiB hold about 40 000. Lists of instances compress by 10:1 to 50:1.
impl Default for BodyLimits {
    fn default() -> Self {
        Self { size: 64 << 20, ratio: 100, instances: 200_000 }
    }
}

impl BodyLimits {
    /// # Errors
    /// [`Error::is_config`] if a limit is 0.
    pub(super) fn check(self) -> Result<(), Error> {
        if self.size == 0 || self.ratio == 0 || self.instances == 0 {
            return Err(Error::config("invalid limit of 0 for responses of the registry: pass one above 0"));
        }
        Ok(())
    }
}

/// The timeouts of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timeouts {
    pub(super) request: Duration,
    pub(super) deregister: Duration,
    /// `None` leaves the timeout of the client.
    pub(super) connect: Option<Duration>,
}

impl Timeouts {
    /// Returns how long this call may take in all.
    pub(super) fn of(self, call: &Call) -> Duration {
        if matches!(call, Call::Deregister { .. }) { self.deregister } else { self.request }
    }

    /// # Errors
    /// [`Error::is_config`] if a timeout is 0.
    pub(super) fn check(self) -> Result<(), Error> {
        let all = [
            ("request timeout", Some(self.request)),
            ("deregistration timeout", Some(self.deregister)),
            ("connect timeout", self.connect),
        ];
        match all.into_iter().find(|(_, timeout)| timeout.is_some_and(|timeout| timeout.is_zero())) {
            Some((name, _)) => Err(Error::config(format!("invalid {name} of 0 s: pass one above 0"))),
            None => Ok(()),
        }
    }
}

/// Where the list of URLs comes from.
#[derive(Clone)]
pub(crate) enum UrlSource {
    Fixed(String),
    Changing(Arc<dyn Fn() -> String + Send + Sync>),
}

impl UrlSource {
    /// # Errors
    /// [`Error::is_config`] if the application's function panics.
    pub(super) fn read(&self) -> Result<String, Error> {
        match self {
            Self::Fixed(text) => Ok(text.clone()),
            Self::Changing(_) => self.read_changed().ok_or_else(|| {
                Error::config("no list of registry URLs: the function that was passed to `urls_from` panicked")
            }),
        }
    }

    /// Returns the list as it is now; `None` if it does not change, or if the application's function panics.
    pub(super) fn read_changed(&self) -> Option<String> {
        let Self::Changing(provide) = self else { return None };
        catch_unwind(AssertUnwindSafe(|| provide())).ok()
    }
}

/// Omits the URLs, which may contain a password, and the token.
impl fmt::Debug for RegistrySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistrySettings").field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}
