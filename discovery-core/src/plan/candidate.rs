//! One possible meaning of a name, and its DNS query.

use std::fmt;

use crate::name::{DomainName, Hostname};

/// One possible meaning of a name, with its DNS query.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// What the name stands for.
    pub name_kind: NameKind,
    /// The DNS query.
    pub question: Question,
    /// Whether the name is in the cluster's own zone, where SRV weights have no meaning.
    pub in_cluster: bool,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameKind {
    /// `service`, `service.namespace`, and longer forms.
    Service,
    /// `pod.service`, `pod.service.namespace`, and longer forms: one pod of a headless Service.
    Pod,
    /// An ordinary host, or an absolute name.
    Host,
}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Service => "service",
            Self::Pod => "pod of a service",
            Self::Host => "host",
        })
    }
}

/// A DNS query. Its name is absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// The A and AAAA records of a name.
    Addresses(DomainName),
    /// The SRV records of a name.
    Srv {
        /// The SRV name, `_port._protocol.service…`.
        name: DomainName,
        /// Use only the SRV target with this first label, which is one pod of the Service.
        only: Option<Hostname>,
    },
}

impl Question {
    /// The name in the query.
    #[must_use]
    pub fn name(&self) -> &DomainName {
        match self {
            Self::Addresses(name) | Self::Srv { name, .. } => name,
        }
    }
}
