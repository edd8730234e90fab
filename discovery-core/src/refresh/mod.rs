//! When to ask again, and what to believe in the meantime.
//!
//! One [`Refresh`] per target. It is told what happened and when (an answer came, a request could not
//! connect, somebody waits), and says what to publish (a [`View`]) and when to ask next
//! ([`Refresh::next_query_at`]). It reads no clock and rolls no dice: `now` and the jitter are arguments, so the same
//! events give the same decisions.
//!
//! What it holds to:
//!
//! * An unchanged answer publishes nothing. New endpoints are published at once; one that is gone stays until
//!   a later answer lacks it as well.
//! * A failure is not an answer: the endpoints stay, marked stale, until they are older than
//!   [`max_stale`](RefreshSettings::max_stale) *and* another question fails. Time alone takes nothing away.
//! * An endpoint that cannot be connected to while no answer vouches for it is left out, for a while, and with
//!   at most half of the set: without answers a connect failure says as much about the network.
//! * "No such name" and "no endpoints" are answers, but after a good one they are asked for twice.
//! * A [definitive](crate::source::Update::authoritative) answer is taken at its word: what it lacks goes at once.
//! * No target is asked more often than once a second, except after a failure, where the
//!   [backoff](RefreshSettings::backoff_initial) begins shorter, and when its source itself has
//!   [news](Refresh::on_change).

mod answers;
mod backoff;
mod defaults;
mod eject;
mod error;
mod hold;
mod machine;
mod schedule;
mod settings;
mod spread;
#[cfg(test)]
mod tests;
mod view;

pub use error::SettingsError;
pub use machine::Refresh;
pub use settings::RefreshSettings;
pub use view::{Freshness, View};
