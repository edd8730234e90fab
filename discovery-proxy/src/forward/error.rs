//! What can go wrong.

use std::{error::Error as StdError, fmt, io, net::SocketAddr, sync::Arc};

use crate::object::Protocol;

/// An address of a Service cannot be listened at. Other addresses are not affected, and the next
/// [`publish`](super::Forwarder::publish) tries again.
#[derive(Clone, Debug)]
pub struct BindError {
    pub(super) protocol: Protocol,
    pub(super) destination: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) source: Arc<io::Error>,
}

impl BindError {
    /// The Service's address.
    #[must_use]
    pub const fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// The protocol.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether the machine does not have the address.
    #[must_use]
    pub fn is_not_local(&self) -> bool {
        self.source.kind() == io::ErrorKind::AddrNotAvailable
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, destination, local, .. } = self;
        write!(f, "cannot listen at {local} for {protocol} {destination}")?;
        match self.source.kind() {
            io::ErrorKind::AddrNotAvailable => write!(
                f,
                ": this machine does not have the address; make the range local (`ip route add local RANGE dev lo`, in \
                 a namespace of its own if need be), or listen elsewhere (`ForwarderBuilder::listen_at`)"
            ),
            io::ErrorKind::AddrInUse => write!(f, ": another socket has it; stop it, or listen elsewhere"),
            io::ErrorKind::PermissionDenied => {
                write!(f, ": ports below 1024 need the capability CAP_NET_BIND_SERVICE, or listen elsewhere")
            }
            _ => Ok(()),
        }
    }
}

impl StdError for BindError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}

/// A destination could not be dialled.
#[derive(Debug)]
pub struct DialError {
    destination: SocketAddr,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Refused,
    Dropped,
    Failed { attempts: usize, last: SocketAddr, source: io::Error },
}

impl DialError {
    pub(super) const fn refused(destination: SocketAddr) -> Self {
        Self { destination, why: Why::Refused }
    }

    pub(super) const fn dropped(destination: SocketAddr) -> Self {
        Self { destination, why: Why::Dropped }
    }

    pub(super) const fn failed(destination: SocketAddr, attempts: usize, last: SocketAddr, source: io::Error) -> Self {
        Self { destination, why: Why::Failed { attempts, last, source } }
    }

    /// What was dialled.
    #[must_use]
    pub const fn destination(&self) -> SocketAddr {
        self.destination
    }

    /// The proxy's rules refuse it: the Service has no endpoint to go to.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        matches!(self.why, Why::Refused)
    }

    /// The proxy's rules drop it. A client behind the real proxy would wait in vain; this one is told.
    #[must_use]
    pub const fn is_dropped(&self) -> bool {
        matches!(self.why, Why::Dropped)
    }

    /// How many endpoints were dialled, all in vain.
    #[must_use]
    pub const fn attempts(&self) -> usize {
        match self.why {
            Why::Failed { attempts, .. } => attempts,
            _ => 0,
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { destination, why } = self;
        match why {
            Why::Refused => write!(f, "{destination} is refused: its Service has no endpoint that may be used"),
            Why::Dropped => write!(
                f,
                "{destination} is dropped: a traffic policy leaves no endpoint, or the client is in no source range"
            ),
            Why::Failed { attempts, last, .. } => {
                write!(f, "{destination}: none of {attempts} attempts to connect succeeded, the last to {last}")
            }
        }
    }
}

impl StdError for DialError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.why {
            Why::Failed { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<DialError> for io::Error {
    fn from(error: DialError) -> Self {
        let kind = match &error.why {
            Why::Refused => io::ErrorKind::ConnectionRefused,
            Why::Dropped => io::ErrorKind::TimedOut,
            Why::Failed { source, .. } => source.kind(),
        };
        Self::new(kind, error)
    }
}
