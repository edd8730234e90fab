//! Connecting to one of a target's endpoints.

use std::{fmt, io, net::SocketAddr, time::Duration};

use tokio::{net::TcpStream, time::timeout};

use super::{Connection, race::connect_to_first};
use crate::{
    Error, Upstream, clock,
    endpoint::Identity,
    error::Kind,
    name::Protocol,
    policy::{Outcome, Pick, Tried},
};

/// How long one endpoint has. Pods of one cluster answer a SYN within milliseconds, and a lost SYN is sent again after
/// 1 s (RFC 6298): who has not answered by then is likely to be gone.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a connection waits for an endpoint, as HTTP requests do.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(3);

/// How many endpoints are tried: enough to get past a node that is lost with some of the pods, in a time that callers
/// bear.
const MAX_ENDPOINTS: usize = 5;

/// Makes TCP connections to the endpoints of a target. Cheap to clone.
///
/// An endpoint that cannot be reached gets no connection while another one is usable, and is probed in the background
/// until it can be reached again ([`Upstream::probe`]). The sources are asked for the target again.
#[derive(Clone)]
pub struct TcpConnector {
    upstream: Upstream,
    attempt_timeout: Duration,
    endpoint_timeout: Duration,
    max_endpoints: usize,
}

impl TcpConnector {
    /// Connects to the endpoints of `upstream`.
    #[must_use]
    pub fn new(upstream: Upstream) -> Self {
        Self {
            upstream,
            attempt_timeout: ATTEMPT_TIMEOUT,
            endpoint_timeout: ENDPOINT_TIMEOUT,
            max_endpoints: MAX_ENDPOINTS,
        }
    }

    /// Sets how long one endpoint has to accept the connection; 1 s by default.
    #[must_use]
    pub fn with_attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    /// Sets how long a connection waits while the target has no endpoint; 3 s by default. With zero it waits only for
    /// the first answer of the sources.
    #[must_use]
    pub fn with_endpoint_timeout(mut self, timeout: Duration) -> Self {
        self.endpoint_timeout = timeout;
        self
    }

    /// Sets how many endpoints are tried at most; 5 by default, and at least 1.
    #[must_use]
    pub fn with_max_endpoints(mut self, endpoints: usize) -> Self {
        self.max_endpoints = endpoints.max(1);
        self
    }

    /// The target's upstream.
    #[must_use]
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Connects to an endpoint that the policy picks, or to another one if that fails. An endpoint with several
    /// addresses is one backend: they are raced (RFC 8305).
    ///
    /// # Errors
    /// * As [`Upstream::pick`], when there is no endpoint.
    /// * [`Error::is_transient`] when no endpoint could be reached. The text names the last address and its error, and
    ///   [`source`](std::error::Error::source) is the [`io::Error`]. Also when this process is out of descriptors.
    /// * [`Error::is_config`] when neither the target nor a source says a port, or when the target is not TCP.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection. The endpoint counts neither as reached nor as unreachable.
    pub async fn connect(&self) -> Result<Connection, Error> {
        let target = self.upstream.target();
        if target.protocol() != Protocol::Tcp {
            let text = format!("`{target}` names a {} port, not a TCP port; use a name with `_tcp`", target.protocol());
            return Err(Error::config(text));
        }
        let mut tried = Tried::default();
        let mut failed: Option<FailedAttempt> = None;
        loop {
            let pick = match (self.pick(&tried).await, failed) {
                (Ok(pick), _) => pick,
                (Err(error), None) => return Err(error),
                (Err(_), Some(failed)) => return Err(self.unreachable(&tried, failed)),
            };
            match self.attempt(pick).await? {
                Ok(connection) => return Ok(connection),
                Err(attempt) => {
                    tried.add(&attempt.identity);
                    if tried.len() == self.max_endpoints {
                        return Err(self.unreachable(&tried, attempt));
                    }
                    failed = Some(attempt);
                }
            }
        }
    }

    /// A connection; why the endpoint cannot be reached; or an error that no other endpoint mends.
    async fn attempt(&self, pick: Pick) -> Result<Result<Connection, FailedAttempt>, Error> {
        let endpoint = pick.endpoint().clone();
        if endpoint.port() == 0 {
            let target = self.upstream.target();
            return Err(Error::config(format!("no source says a port for `{target}`; write `{target}:<port>`")));
        }
        let error = match timeout(self.attempt_timeout, connect(endpoint.addrs())).await {
            Ok(Ok(stream)) => return Ok(Ok(Connection::new(stream, pick))),
            Ok(Err(error)) if is_exhausted(&error) => {
                let text = format!("could not connect to `{}`: {error}", self.upstream.target());
                return Err(Error::with_source(Kind::Transient, text, error));
            }
            Ok(Err(error)) => error,
            Err(_) => {
                let text = format!("no answer within {:?}", self.attempt_timeout);
                io::Error::new(io::ErrorKind::TimedOut, text)
            }
        };
        let loaded = pick.loaded_endpoint().clone();
        pick.complete(Outcome::Unreachable, clock::now);
        self.upstream.probe(&loaded, endpoint.port(), self.attempt_timeout);
        Ok(Err(FailedAttempt { identity: endpoint.identity().clone(), error }))
    }

    async fn pick(&self, tried: &Tried) -> Result<Pick, Error> {
        match self.upstream.pick_untried(tried) {
            Err(error) if !error.is_all_tried() && !error.is_config() => {
                if self.endpoint_timeout.is_zero() {
                    let _ = self.upstream.first_answer().await;
                } else {
                    let _ = timeout(self.endpoint_timeout, self.upstream.ready()).await;
                }
                self.upstream.pick_untried(tried)
            }
            picked => picked,
        }
    }

    fn unreachable(&self, tried: &Tried, failed: FailedAttempt) -> Error {
        let FailedAttempt { identity, error } = failed;
        let endpoints = if tried.len() == 1 { "1 endpoint was" } else { &format!("{} endpoints were", tried.len()) };
        let target = self.upstream.target();
        let text = format!("could not connect to `{target}`: {endpoints} tried, the last of them {identity}: {error}");
        let kind = if error.kind() == io::ErrorKind::TimedOut { Kind::Timeout } else { Kind::Transient };
        Error::with_source(kind, text, error)
    }
}

struct FailedAttempt {
    identity: Identity,
    error: io::Error,
}

async fn connect(addrs: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let stream = connect_to_first(addrs).await?;
    // Small messages of a protocol with requests and answers must not wait for the acknowledgment of earlier ones.
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Whether this process, or the machine, has no descriptor left (EMFILE, ENFILE): the endpoint is not to blame.
fn is_exhausted(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

impl From<Upstream> for TcpConnector {
    fn from(upstream: Upstream) -> Self {
        Self::new(upstream)
    }
}

impl fmt::Debug for TcpConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpConnector")
            .field("target", self.upstream.target())
            .field("attempt_timeout", &self.attempt_timeout)
            .field("endpoint_timeout", &self.endpoint_timeout)
            .field("max_endpoints", &self.max_endpoints)
            .finish()
    }
}
