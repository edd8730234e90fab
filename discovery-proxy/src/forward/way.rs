//! From a flow to whom to dial: the one place that asks the core.

use std::{net::SocketAddr, time::Instant};

use discovery_core::policy::Rng;

use crate::{Action, Connection, Dial, Flow, Snapshot};

/// What becomes of a flow that somebody has to carry.
#[derive(Debug)]
pub(super) enum Way {
    /// Userspace mode: up to four attempts, each with its own turn and time.
    Attempts(Dial),
    /// The other modes: one endpoint. IPVS counts the connection.
    Once(SocketAddr, Option<Box<Connection>>),
    /// The client is told.
    Refuse,
    /// The client waits in vain.
    Silence,
    /// No Service has the destination.
    Untouched,
}

/// What becomes of a flow now.
pub(super) fn way(snapshot: &Snapshot, flow: &Flow<'_>, now: Instant, rng: &mut dyn Rng) -> Way {
    if let Some(dial) = snapshot.dial(flow) {
        return Way::Attempts(dial);
    }
    once(snapshot, flow, now, rng)
}

/// The same for a datagram: UDP has no connect that could fail, so the first turn is the only one.
pub(super) fn once(snapshot: &Snapshot, flow: &Flow<'_>, now: Instant, rng: &mut dyn Rng) -> Way {
    let verdict = snapshot.decide(flow, now, rng);
    match verdict.action {
        Action::Endpoint { addr, .. } => Way::Once(addr, verdict.open(flow).map(Box::new)),
        Action::Reject => Way::Refuse,
        Action::Drop => Way::Silence,
        Action::Untouched => Way::Untouched,
    }
}
