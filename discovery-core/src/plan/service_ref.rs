//! A Service that a name may mean.

use std::fmt;

use crate::name::{Hostname, Namespace, ServiceName};

/// A Service that a name may mean, or one pod of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ServiceRef {
    /// The Service's namespace.
    pub namespace: Namespace,
    /// The Service's name.
    pub service: ServiceName,
    /// Use only the endpoint with this host name.
    pub pod: Option<Hostname>,
}

impl fmt::Display for ServiceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pod) = &self.pod {
            write!(f, "{pod}.")?;
        }
        write!(f, "{}.{}", self.service, self.namespace)
    }
}
