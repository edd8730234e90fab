//! What can be wrong with settings.

use std::fmt;

use crate::{Error, error::Kind};

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    setting: &'static str,
    rule: &'static str,
}

impl SettingsError {
    pub(super) fn new(setting: &'static str, rule: &'static str) -> Self {
        Self { setting, rule }
    }

    /// The name of the setting, such as `min_refresh`.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        self.setting
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.setting, self.rule)
    }
}

impl std::error::Error for SettingsError {}

impl From<SettingsError> for Error {
    fn from(error: SettingsError) -> Self {
        Self::with_source(Kind::Config, format!("the refresh setting {error}"), error)
    }
}
