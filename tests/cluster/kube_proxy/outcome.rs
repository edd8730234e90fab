//! What becomes of a flow, as the kernel shows it and as the core says it.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
};

use discovery_proxy::{Action, Verdict};

use super::{network::Sent, send::masqueraded};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    /// A pod has answered; whether it saw the node in place of the client.
    Pod { addr: SocketAddr, masqueraded: bool },
    /// The client was told that nobody is there.
    Refused,
    /// The client was told nothing.
    Silent,
    /// It went where it was sent to: to the world, or to the node itself.
    Untouched,
    /// Nothing that can be said by a verdict.
    Odd(String),
}

impl Outcome {
    pub(super) fn of_answer(answer: &str, flow: &Sent) -> Self {
        let odd = || Self::Odd(format!("answer {answer:?}"));
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

    pub(super) fn of_error(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            _ => Self::Odd(error.to_string()),
        }
    }

    pub(super) fn of_verdict(verdict: &Verdict<'_>, flow: &Sent) -> Self {
        match verdict.action {
            // A packet from its own address is none that a pod takes: the kernel drops it as a martian.
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

    /// Its kind, to count by.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Pod { masqueraded: false, .. } => "a pod that sees the client",
            Self::Pod { masqueraded: true, .. } => "a pod that sees the node",
            Self::Refused => "refused",
            Self::Silent => "silence",
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
