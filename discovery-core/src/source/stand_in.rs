//! A name that stands in for a target: in a variable of a Service, or in an override.

use super::{State, Update};
use crate::{Error, plan::NameKind};

/// Makes the answer about a target of `update`, the answer about the name that stands in for it. `setting` says where the
/// name comes from, for errors.
///
/// A name that does not exist leaves the target without endpoints: the setting says that the target itself is there.
pub(crate) fn stand_in(mut update: Update, setting: &str) -> Update {
    let failed = |reason: &str, cause: Error| {
        let text = format!("{setting}, and the host cannot be looked up: {reason}");
        State::Failed(Error::with_source(cause.kind(), text, cause))
    };
    update.state = match update.state {
        State::NotFound => State::Empty,
        State::Failed(error) => failed(&error.to_string(), error),
        State::NotApplicable => {
            let reasons: Vec<String> = update.evidence.iter().map(ToString::to_string).collect();
            failed(&reasons.join(", "), Error::config("no source knows the host"))
        }
        state => state,
    };
    // Not a host, which may be behind a proxy.
    update.with_name_kind(NameKind::Service)
}
