//! Configuration of the source, and the timing of its requests.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use kube::Config;

use super::{source::KubernetesSource, watch::Registry};
use crate::{Error, plan::Families, source::AddressScope};

/// Configures a [`KubernetesSource`].
#[must_use = "call `build`"]
pub struct KubernetesSourceBuilder {
    url: String,
    token: Option<String>,
    token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    families: Families,
    timing: Timing,
}

/// How long requests last, and how long to wait between them. Pure: entropy is an argument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    watch_timeout: Duration,
    initial_backoff: Duration,
    max_backoff: Duration,
    max_stale: Duration,
    forbidden_retry_interval: Duration,
}

impl KubernetesSourceBuilder {
    pub(super) fn new(url: String) -> Self {
        let (token, token_file, ca_file) = (None, None, None);
        Self { url, token, token_file, ca_file, families: Families::Both, timing: Timing::default() }
    }

    /// Sets the bearer token. It takes precedence over a token file.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Reads the bearer token from this file, which holds the token alone without a newline, as the kubelet writes it.
    ///
    /// The source reads the file again at least once a minute, and at once when the API server rejects the token. The
    /// kubelet replaces a token long before it expires.
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.token_file = Some(path.into());
        self
    }

    /// Trusts the certificate authorities in this PEM file instead of those of the machine. The source reads the file
    /// again about once a minute.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Uses only addresses of these families; both by default. Set this in a dual-stack cluster if only one family is
    /// reachable.
    pub fn families(mut self, families: Families) -> Self {
        self.families = families;
        self
    }

    /// Ends each watch after this time at the latest and starts the next one; 1 s to 290 s, 120 s by default.
    ///
    /// A dead connection is noticed when the watch is not over after this time and a grace period of up to 10 s.
    pub fn watch_timeout(mut self, timeout: Duration) -> Self {
        self.timing.watch_timeout = timeout.clamp(Duration::from_secs(1), Duration::from_secs(290));
        self
    }

    /// Sets the backoff after failures: `initial` after the first one, doubled after each further one up to `max`; 1 s
    /// and 30 s by default.
    ///
    /// The wait is jittered: anything up to `initial` after the first failure, then one half to all of the backoff.
    pub fn backoff(mut self, initial: Duration, max: Duration) -> Self {
        self.timing.initial_backoff = initial.min(max);
        self.timing.max_backoff = max;
        self
    }

    /// Keeps stale endpoints for this long while the API server is unreachable, or after it went back to an older
    /// resource version; 270 s by default.
    ///
    /// Keep this below the resolver's [`max_stale`](crate::refresh::RefreshSettings::max_stale). Otherwise the resolver
    /// drops the endpoints before DNS takes over.
    pub fn max_stale(mut self, max_stale: Duration) -> Self {
        self.timing.max_stale = max_stale;
        self
    }

    /// Retries this long after a 403 or 404, plus or minus a fifth; 60 s by default.
    pub fn forbidden_retry_interval(mut self, interval: Duration) -> Self {
        self.timing.forbidden_retry_interval = interval;
        self
    }

    /// Creates the source. This sends no request and reads no file.
    ///
    /// # Errors
    /// [`Error::is_config`] if the URL is not the `http` or `https` URL of a server, or if a token is set and the URL
    /// is an `http` URL of another machine.
    pub fn build(self) -> Result<KubernetesSource, Error> {
        let (timing, families) = (self.timing, self.families);
        let config = self.config()?;
        // An API server on this machine may run pods here: that is how test doubles run.
        let host = config.cluster_url.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_here = host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
        let address_scope = AddressScope::CLUSTER.accepting_loopback_if(is_here);
        Ok(KubernetesSource::new(Registry::new(config, timing), families, address_scope))
    }

    fn config(self) -> Result<Config, Error> {
        let invalid = |why: &str| Error::config(format!("`{}` is not an API server URL: {why}", self.url));
        if !self.url.starts_with("https://") && !self.url.starts_with("http://") {
            return Err(invalid("it must start with `https://` or `http://`, such as `https://10.96.0.1:443`"));
        }
        let mut config = Config::new(self.url.parse().map_err(|error| invalid(&format!("{error}")))?);
        let has_token = self.token.is_some() || self.token_file.is_some();
        if has_token
            && config.cluster_url.scheme_str() == Some("http")
            && !config.cluster_url.host().is_some_and(is_loopback)
        {
            return Err(Error::config(format!(
                "the bearer token would be sent in plain text to `{}`: write `https://`, or leave out the token; only a \
                 proxy on this machine, such as `http://127.0.0.1:8001`, may be reached by `http://`",
                self.url
            )));
        }
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        config.write_timeout = Some(CONNECT_TIMEOUT);
        // The reflector retries: it adds jitter and treats each failure by its kind.
        config.default_retry = false;
        config.auth_info.token = self.token.map(Into::into);
        config.auth_info.token_file = self.token_file.map(|path| path.to_string_lossy().into_owned());
        if self.ca_file.is_some() {
            config.root_cert_file = self.ca_file;
            // The file takes precedence over this. Without it, the client would first load the authorities of the
            // machine, which a minimal image does not have.
            config.root_cert = Some(Vec::new());
        }
        Ok(config)
    }
}

/// Leaves out the token.
impl fmt::Debug for KubernetesSourceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubernetesSourceBuilder")
            .field("url", &self.url)
            .field("token_file", &self.token_file)
            .field("ca_file", &self.ca_file)
            .field("families", &self.families)
            .field("timing", &self.timing)
            .finish_non_exhaustive()
    }
}

/// Enough for an API server, which is in the same network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Default for Timing {
    fn default() -> Self {
        Self {
            // A dead connection is noticed in little more than two minutes. Informers take 5 to 10 min, to save the API
            // server a request that costs it next to nothing.
            watch_timeout: Duration::from_secs(120),
            // When an API server goes away, all clients lose their watches at the same moment: the first retries are
            // spread over a second, the last ones over half a minute.
            initial_backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(30),
            // A little less than the time for which a resolver keeps a stale set (`max_stale`, 5 min), so that DNS
            // takes over without a gap.
            max_stale: Duration::from_secs(270),
            forbidden_retry_interval: Duration::from_secs(60),
        }
    }
}

impl Timing {
    pub(super) fn max_stale(&self) -> Duration {
        self.max_stale
    }

    pub(super) fn max_backoff(&self) -> Duration {
        self.max_backoff
    }

    /// Returns the wait after the given number of failures in a row: up to the initial backoff after the first, then
    /// one half to all of a backoff that doubles. `unit` is a random number in `[0, 1)`.
    pub(super) fn backoff(&self, failures: u32, unit: f64) -> Duration {
        if failures <= 1 {
            return self.initial_backoff.mul_f64(unit);
        }
        let factor = 1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX);
        self.initial_backoff.saturating_mul(factor).min(self.max_backoff).mul_f64(0.5 + unit / 2.0)
    }

    /// Returns the wait after a denial that only an administrator can lift, such as a missing Role: the interval plus
    /// or minus a fifth.
    pub(super) fn denied_retry_interval(&self, unit: f64) -> Duration {
        self.forbidden_retry_interval.mul_f64(0.8 + 0.4 * unit)
    }

    /// Returns the timeout of a watch to send to the API server: three quarters to all of the setting, so that the
    /// watches of many clients do not end together. Whole seconds, at least one.
    pub(super) fn watch_seconds(&self, unit: f64) -> u32 {
        // The kube crate allows less than 295 s; the setter allows at most 290 s.
        (self.watch_timeout.as_secs_f64() * (0.75 + unit / 4.0)).round().clamp(1.0, 290.0) as u32
    }

    /// Returns how long to wait beyond the timeout for the API server to end a watch. A watch that has not ended by
    /// then has a dead connection.
    pub(super) fn grace(&self) -> Duration {
        self.watch_timeout.min(Duration::from_secs(10))
    }
}

/// Returns whether a request to this host stays on this machine.
fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_jittered_and_bounded() {
        let timing = Timing::default();
        let secs = |failures, unit| timing.backoff(failures, unit).as_secs_f64();
        assert_eq!((secs(1, 0.0), secs(1, 0.5)), (0.0, 0.5));
        assert_eq!((secs(2, 0.0), secs(2, 1.0)), (1.0, 2.0));
        assert_eq!((secs(3, 0.0), secs(3, 1.0)), (2.0, 4.0));
        assert_eq!((secs(99, 0.0), secs(99, 1.0)), (15.0, 30.0));
        assert_eq!((timing.watch_seconds(0.0), timing.watch_seconds(1.0)), (90, 120));
        assert_eq!(timing.denied_retry_interval(0.5), Duration::from_secs(60));
        let short = Timing { watch_timeout: Duration::from_millis(10), ..timing };
        assert_eq!((short.watch_seconds(0.0), short.grace()), (1, Duration::from_millis(10)));
    }

    #[test]
    fn a_token_is_not_sent_in_plain_text() {
        for (url, allowed) in [
            ("http://10.96.0.1:80", false),
            ("http://kubernetes.default.svc", false),
            ("HTTP://localhost.example.com", false),
            ("http://[fd00::1]:80", false),
            ("https://10.96.0.1:443", true),
            ("http://127.0.0.1:8001", true),
            ("http://[::1]:8001", true),
            ("http://localhost:8001", true),
        ] {
            let builder = || KubernetesSourceBuilder::new(url.to_lowercase());
            for with_token in [builder().token("secret"), builder().token_file("/token")] {
                let built = with_token.build();
                assert_eq!(built.is_ok(), allowed, "{url}");
                let Err(error) = built else { continue };
                assert!(error.is_config() && error.to_string().contains("write `https://`"), "{error}");
                assert!(!error.to_string().contains("secret"), "{error}");
            }
            assert!(builder().build().is_ok(), "{url}");
        }
    }

    #[test]
    fn debug_output_hides_the_token() {
        let builder = KubernetesSourceBuilder::new("https://10.96.0.1:443".to_owned()).token("secret");
        assert!(!format!("{builder:?}").contains("secret"));
        assert!(!format!("{:?}", builder.build()).contains("secret"));
    }
}
