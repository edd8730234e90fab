//! The error of parsing a name.

use std::fmt;

/// An invalid name: the input, the rule that it breaks, and a remedy.
///
/// The error never shows credentials: of a URL it leaves out the part before `@`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct NameError {
    input: Box<str>,
    what: &'static str,
    rule: Box<str>,
    remedy: Box<str>,
}

impl NameError {
    pub(crate) fn new(
        input: impl Into<Box<str>>,
        what: &'static str,
        rule: impl Into<Box<str>>,
        remedy: impl Into<Box<str>>,
    ) -> Self {
        Self { input: input.into(), what, rule: rule.into(), remedy: remedy.into() }
    }

    /// Turns the error about a part into an error about the whole input.
    pub(crate) fn within(self, whole: &str) -> Self {
        if *self.input == *whole {
            return self;
        }
        Self { rule: format!("`{}`: {}", self.input.escape_debug(), self.rule).into(), input: whole.into(), ..self }
    }

    /// The invalid input.
    #[must_use]
    pub fn input(&self) -> &str {
        &self.input
    }

    /// The rule that the input breaks.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// How to fix the input.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a valid {}: {}; {}", self.input.escape_debug(), self.what, self.rule, self.remedy)
    }
}
