//! How the API spells the values of enums.

use std::{error, fmt};

/// A value that the API does not support in a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    value: String,
    supported: &'static str,
}

impl Unsupported {
    pub(super) fn new(value: &str, supported: &'static str) -> Self {
        Self { value: value.to_owned(), supported }
    }

    /// Returns the unsupported value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns the list of supported values.
    #[must_use]
    pub const fn supported(&self) -> &'static str {
        self.supported
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unsupported value: {:?}: supported values: {}", self.value, self.supported)
    }
}

impl error::Error for Unsupported {}

/// Spells the values of an enum as the API does, in `as_str`, `Display` and `FromStr`. The values stand in the order in
/// which the API server lists them in an error. With `or $default`, the API server reads the empty string as this
/// value.
macro_rules! spelled {
    ($name:ident $(or $default:ident)?: $first:ident = $first_text:literal $(, $value:ident = $text:literal)+ $(,)?) => {
        impl $name {
            #[doc = concat!("Returns the value as the API writes it, such as `", $first_text, "`.")]
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    Self::$first => $first_text,
                    $(Self::$value => $text,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::object::Unsupported;

            /// Parses the API's spelling. Upper and lower case differ.
            $(#[doc = concat!("The empty string is `", stringify!($default), "`, the default of the API server.")])?
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $("" => Ok(Self::$default),)?
                    $first_text => Ok(Self::$first),
                    $($text => Ok(Self::$value),)+
                    _ => {
                        let supported = concat!("\"", $first_text, "\"", $(", \"", $text, "\""),+);
                        Err($crate::object::Unsupported::new(text, supported))
                    }
                }
            }
        }
    };
}

pub(super) use spelled;
