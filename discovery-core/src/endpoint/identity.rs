//! What makes two endpoints the same.

use std::{fmt, net::SocketAddr, sync::Arc};

use crate::name::Hostname;

/// What an endpoint *is*: first address with its port, host name, and the UID of its pod, as far as the
/// source knows them. Statistics follow the identity, so an address that comes back as another pod starts
/// afresh.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    pub(super) addr: SocketAddr,
    pub(super) hostname: Option<Hostname>,
    pub(super) uid: Option<Arc<str>>,
}

impl Identity {
    /// The first address and the port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The pod's host name, where the source gives one.
    #[must_use]
    pub fn hostname(&self) -> Option<&Hostname> {
        self.hostname.as_ref()
    }

    /// The pod's UID, where the source gives one.
    #[must_use]
    pub fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(hostname) = &self.hostname {
            write!(f, "{hostname}/")?;
        }
        // Port 0 stands for "not known".
        if self.addr.port() == 0 { self.addr.ip().fmt(f) } else { self.addr.fmt(f) }
    }
}
