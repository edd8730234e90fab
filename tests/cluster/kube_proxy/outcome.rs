//! The outcome of a flow, as seen in the kernel or as decided by our core.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
};

use discovery_proxy::{Action, Verdict};

use super::{network::TestFlow, send::masqueraded};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// A pod answered; `masqueraded` if it saw the node's address instead of the client's.
    Pod { addr: SocketAddr, masqueraded: bool },
    /// The flow was refused.
    Refused,
    /// The client got no answer.
    Silent,
    /// The flow reached its original destination, the world or the node itself.
    Untouched,
    /// An outcome that no verdict describes.
    Odd(String),
}

impl Outcome {
    pub(super) fn from_answer(answer: &str, flow: &TestFlow) -> Self {
        let odd = || Self::Odd(format!("unexpected answer {answer:?}"));
        let Some((who, Ok(seen))) = answer.split_once(' ').map(|(who, seen)| (who, seen.parse::<IpAddr>())) else {
            return odd();
        };
        let own = seen == IpAddr::V4(flow.source.ip());
        match (who, who.parse()) {
            ("world" | "node", _) if own => Self::Untouched,
            (_, Ok(addr)) if own => Self::Pod { addr, masqueraded: false },
            (_, Ok(addr)) if seen == IpAddr::V4(masqueraded()) => Self::Pod { addr, masqueraded: true },
            _ => odd(),
        }
    }

    pub(super) fn from_error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            _ => Self::Odd(error.to_string()),
        }
    }

    pub(super) fn from_verdict(verdict: &Verdict<'_>, flow: &TestFlow) -> Self {
        match verdict.action {
            // A pod's kernel drops a packet from the pod's own address as a martian.
            Action::Endpoint { addr, masquerade: false, .. } if addr.ip() == IpAddr::V4(flow.source.ip()) => {
                Self::Silent
            }
            Action::Endpoint { addr, masquerade, .. } => Self::Pod { addr, masqueraded: masquerade },
            Action::Reject => Self::Refused,
            Action::Drop => Self::Silent,
            Action::Untouched => Self::Untouched,
            other => Self::Odd(other.to_string()),
        }
    }

    /// The kind of outcome, for counting.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Pod { masqueraded: false, .. } => "a pod that sees the client",
            Self::Pod { masqueraded: true, .. } => "a pod that sees the node",
            Self::Refused => "refused",
            Self::Silent => "no answer",
            Self::Untouched => "untouched",
            Self::Odd(_) => "odd",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod { addr, masqueraded: false } => write!(f, "{addr}"),
            Self::Pod { addr, masqueraded: true } => write!(f, "{addr} masqueraded"),
            Self::Odd(what) => f.write_str(what),
            other => f.write_str(other.kind()),
        }
    }
}
