//! Why a text is not a name.

use std::fmt;

/// A text that is not the name it should be: what was given, which rule it breaks, what would be right.
///
/// The input is shown without credentials: for a URL, the part before `@` is left out.
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

    /// The same finding about a part, told of the whole input that held it.
    pub(crate) fn within(self, whole: &str) -> Self {
        if *self.input == *whole {
            return self;
        }
        Self { rule: format!("`{}`: {}", self.input.escape_debug(), self.rule).into(), input: whole.into(), ..self }
    }

    /// The text that was refused.
    #[must_use]
    pub fn input(&self) -> &str {
        &self.input
    }

    /// The rule that it breaks.
    #[must_use]
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// What would be right.
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
