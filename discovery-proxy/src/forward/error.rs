//! The errors of the forwarder.

use std::{error::Error as StdError, fmt, io, net::SocketAddr, sync::Arc};

use crate::object::Protocol;

/// The forwarder cannot listen for an address of a Service.
///
/// Other addresses are not affected, and the next [`publish`](super::Forwarder::publish) tries again.
#[derive(Clone, Debug)]
pub struct BindError {
    protocol: Protocol,
    destination: SocketAddr,
    local: SocketAddr,
    source: Arc<io::Error>,
}

impl BindError {
    pub(super) fn new(protocol: Protocol, destination: SocketAddr, local: SocketAddr, source: io::Error) -> Self {
        Self { protocol, destination, local, source: Arc::new(source) }
    }

    /// Returns the address of the Service.
    #[must_use]
    pub const fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// Returns the protocol.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Returns whether this machine does not have the address to listen at.
    #[must_use]
    pub fn is_not_local(&self) -> bool {
        self.source.kind() == io::ErrorKind::AddrNotAvailable
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, destination, local, .. } = self;
        write!(f, "cannot listen at {local} for {protocol} {destination}: {}", self.source)?;
        let remedy = match self.source.kind() {
            io::ErrorKind::AddrNotAvailable => {
                "make the range local, best in a network namespace of its own (`ip route add local RANGE dev lo`)"
            }
            io::ErrorKind::AddrInUse => "stop the other socket",
            io::ErrorKind::PermissionDenied => "grant the capability CAP_NET_BIND_SERVICE for ports below 1024",
            _ => return Ok(()),
        };
        write!(f, "; {remedy}, or listen at another address (`ForwarderBuilder::listen_at`)")
    }
}

impl StdError for BindError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}

/// A destination could not be dialed.
#[derive(Debug)]
pub struct DialError {
    destination: SocketAddr,
    kind: DialErrorKind,
}

#[derive(Debug)]
enum DialErrorKind {
    Refused,
    Dropped,
    Failed { attempts: usize, last: SocketAddr, source: io::Error },
}

impl DialError {
    pub(super) const fn refused(destination: SocketAddr) -> Self {
        Self { destination, kind: DialErrorKind::Refused }
    }

    pub(super) const fn dropped(destination: SocketAddr) -> Self {
        Self { destination, kind: DialErrorKind::Dropped }
    }

    pub(super) const fn failed(destination: SocketAddr, attempts: usize, last: SocketAddr, source: io::Error) -> Self {
        Self { destination, kind: DialErrorKind::Failed { attempts, last, source } }
    }

    /// Returns the destination that was dialed.
    #[must_use]
    pub const fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// Returns whether the rules reject the flow, because its Service has no usable endpoint.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        matches!(self.kind, DialErrorKind::Refused)
    }

    /// Returns whether the rules drop the flow. A client behind the real proxy would time out; this one fails at once.
    #[must_use]
    pub const fn is_dropped(&self) -> bool {
        matches!(self.kind, DialErrorKind::Dropped)
    }

    /// Returns how many connect attempts failed; 0 if the rules reject or drop the flow.
    #[must_use]
    pub const fn attempts(&self) -> usize {
        match self.kind {
            DialErrorKind::Failed { attempts, .. } => attempts,
            _ => 0,
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { destination, kind } = self;
        match kind {
            DialErrorKind::Refused => {
                write!(f, "cannot dial {destination}: rejected, its Service has no usable endpoint")
            }
            DialErrorKind::Dropped => write!(
                f,
                "cannot dial {destination}: dropped, because of the traffic policy or the source ranges of its Service"
            ),
            DialErrorKind::Failed { attempts: 1, last, source } => {
                write!(f, "cannot dial {destination}: connect to {last} failed: {source}")
            }
            DialErrorKind::Failed { attempts, last, source } => {
                write!(f, "cannot dial {destination}: {attempts} connect attempts failed, the last to {last}: {source}")
            }
        }
    }
}

impl StdError for DialError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.kind {
            DialErrorKind::Failed { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<DialError> for io::Error {
    fn from(error: DialError) -> Self {
        let kind = match &error.kind {
            DialErrorKind::Refused => io::ErrorKind::ConnectionRefused,
            DialErrorKind::Dropped => io::ErrorKind::TimedOut,
            DialErrorKind::Failed { source, .. } => source.kind(),
        };
        Self::new(kind, error)
    }
}
