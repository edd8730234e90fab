//! Errors about fields. Source: apimachinery pkg/util/validation/field/errors.go.

use std::{error, fmt};

use crate::object::Unsupported;

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    field: String,
    kind: ErrorKind,
    /// As it is printed.
    value: String,
    detail: String,
}

/// The kinds of `field.Error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// It has to be set.
    Required,
    /// Its value is not allowed.
    Invalid,
    /// Its value is already there.
    Duplicate,
    /// It must not be set here.
    Forbidden,
    /// There are too many of it.
    TooMany,
    /// Its value is none of those that are allowed.
    NotSupported,
}

impl FieldError {
    /// The path of the field: `spec.ports[0].nodePort`.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(super) fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), kind: ErrorKind::Required, value: String::new(), detail: detail.into() }
    }

    pub(super) fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Forbidden, ..Self::required(field, detail) }
    }

    pub(super) fn invalid(field: impl Into<String>, value: impl fmt::Debug, detail: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Invalid, value: format!("{value:?}"), ..Self::required(field, detail) }
    }

    pub(super) fn duplicate(field: impl Into<String>, value: impl fmt::Debug) -> Self {
        Self { kind: ErrorKind::Duplicate, value: format!("{value:?}"), ..Self::required(field, "") }
    }

    pub(super) fn too_many(field: impl Into<String>, count: usize, most: usize) -> Self {
        let detail = format!("must have at most {most} items");
        Self { kind: ErrorKind::TooMany, value: count.to_string(), ..Self::required(field, detail) }
    }

    /// The error for a word that could not be read, which whoever reads manifests reports.
    #[must_use]
    pub fn unsupported(field: impl Into<String>, word: &Unsupported) -> Self {
        let detail = format!("supported values: {}", word.supported());
        Self { kind: ErrorKind::NotSupported, value: format!("{:?}", word.value()), ..Self::required(field, detail) }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ErrorKind::Required => "Required value",
            ErrorKind::Invalid => "Invalid value",
            ErrorKind::Duplicate => "Duplicate value",
            ErrorKind::Forbidden => "Forbidden",
            ErrorKind::TooMany => "Too many",
            ErrorKind::NotSupported => "Unsupported value",
        };
        write!(f, "{}: {kind}", self.field)?;
        for part in [&self.value, &self.detail] {
            if !part.is_empty() {
                write!(f, ": {part}")?;
            }
        }
        Ok(())
    }
}

impl error::Error for FieldError {}
