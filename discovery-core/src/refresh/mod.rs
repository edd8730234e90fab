//! When to query again, and what to publish in the meantime.
//!
//! Each target has one [`Refresh`]. Its owner reports events (an answer arrived, a request could not connect, a caller
//! is waiting). `Refresh` decides what to publish (a [`View`]) and when to query next ([`Refresh::next_query_at`]).
//! `Refresh` reads neither a clock nor a random number generator: `now` and the jitter are arguments, so the same
//! events give the same decisions.
//!
//! The rules:
//!
//! * An unchanged answer publishes nothing. New endpoints are published at once. A missing endpoint is removed only
//!   after a later answer lacks it too.
//! * A failure is not an answer. The endpoints stay, marked stale, until they are older than
//!   [`max_stale`](RefreshSettings::max_stale) *and* another query fails. Time alone removes nothing.
//! * An endpoint that cannot be connected to is ejected for a while if no current answer confirms the set. At most half
//!   of the set is ejected: without answers, a connect error says as much about the network as about the endpoint.
//! * Negative answers (NXDOMAIN and NODATA in DNS) are answers. After a positive one, a second query confirms them.
//! * The endpoints of a host, and a virtual address ([`AddressKind`](crate::source::AddressKind)), can outlive their
//!   answer. An endpoint that the newest answer lacks is *retained* while requests on it succeed. It leaves at the first
//!   connect error, when its last request failed, after a while without requests, and after
//!   [`retain_for`](RefreshSettings::retain_for). Endpoints that stand for one backend each are never retained.
//! * An [authoritative](crate::source::Update::authoritative) answer needs no confirmation: endpoints it lacks are
//!   removed at once.
//! * A target is queried at most once a second, with two exceptions: after a failure, where the
//!   [backoff](RefreshSettings::backoff_initial) starts lower, and when the source itself reports a
//!   [change](Refresh::on_change).

mod machine;
mod membership;
mod retention;
mod schedule;
mod settings;
#[cfg(test)]
mod tests;
mod view;

pub use machine::Refresh;
pub use settings::{RefreshSettings, SettingsError};
pub use view::{Freshness, View};
