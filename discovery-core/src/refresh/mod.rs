//! Refresh: when to ask again, and what an answer changes. `(state, event, now) → (what to publish, when to
//! ask next)`, without I/O and without a clock.
//!
//! The rules, with the failure that each one is for:
//!
//! | answer | with endpoints known | without |
//! |---|---|---|
//! | ready | additions at once; removals after [a hold](RefreshSettings::with_removal_hold), confirmed by a later answer (replicas of a DNS service disagree for a moment) | published |
//! | empty, not found | kept until a second definitive "no", asked for after a second | told at once, asked again with growing pauses, every second while somebody waits |
//! | failed | kept and called stale, asked again with growing pauses; dropped by a failure that comes after [`max_stale`](RefreshSettings::with_max_stale) | told at once, asked again with growing pauses |
//!
//! Nothing is dropped by the mere passing of time: after a laptop has slept for hours the next answer decides.

mod hold;
mod machine;
mod pause;
mod settings;
mod view;

pub use machine::Refresh;
pub use settings::RefreshSettings;
pub use view::{Standing, View};

#[cfg(test)]
mod tests;
