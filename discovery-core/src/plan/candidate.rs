//! One way to read a name, and the question that it leads to.

use std::fmt;

use crate::name::{DomainName, Hostname};

/// One way to read a name, with its question.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Candidate {
    /// How the name is read.
    pub name_kind: NameKind,
    /// What is asked.
    pub question: Question,
    /// Whether the answer comes from the cluster's own zone, where SRV weights mean nothing.
    pub in_cluster: bool,
}

/// How a name is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameKind {
    /// `service`, `service.namespace`, and longer forms.
    Service,
    /// `pod.service`, `pod.service.namespace`, and longer forms: one pod of a headless Service.
    Pod,
    /// An ordinary host, or a name written in full.
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

/// A question to DNS. Names are absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// A and AAAA of a name.
    Addresses(DomainName),
    /// SRV of a name.
    Srv {
        /// The SRV name, `_port._protocol.service…`.
        name: DomainName,
        /// Keep only the target with this first label: one pod of the Service.
        only: Option<Hostname>,
    },
}

impl Question {
    /// The name that is asked for.
    #[must_use]
    pub fn name(&self) -> &DomainName {
        match self {
            Self::Addresses(name) | Self::Srv { name, .. } => name,
        }
    }
}
