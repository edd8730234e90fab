//! Names of one label: Service, Namespace, port name, pod host name.

use std::{fmt, str::FromStr, sync::Arc};

use super::NameError;

/// The longest label, in octets (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// Checks one label of a host: 1 to 63 letters, digits, `-` and `_`.
pub(super) fn host_label(input: &str, what: &'static str) -> Result<(), NameError> {
    length(input, what)?;
    match input.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_".contains(*c))) {
        Some(bad) => {
            let rule = format!("{bad:?} is not allowed in the name of a host");
            Err(NameError::new(input, what, rule, "use letters, digits, `-` and `_`, and separate labels by `.`"))
        }
        None => Ok(()),
    }
}

fn length(input: &str, what: &'static str) -> Result<(), NameError> {
    if input.is_empty() {
        return Err(NameError::new(input, what, "it is empty", "use 1 to 63 of a-z, 0-9 and `-`"));
    }
    if input.len() > MAX_LABEL {
        let rule = format!("a label has at most {MAX_LABEL} octets (RFC 1035), but this one has {}", input.len());
        return Err(NameError::new(input, what, rule, "shorten it"));
    }
    Ok(())
}

/// Parses one label by RFC 1123, and folds it to lower case.
pub(super) fn label(input: &str, what: &'static str) -> Result<Arc<str>, NameError> {
    length(input, what)?;
    let refuse = |rule: String, remedy: &str| Err(NameError::new(input, what, rule, remedy));
    if let Some(bad) = input.chars().find(|c| !(c.is_ascii_alphanumeric() || *c == '-')) {
        let remedy = match bad {
            '_' => "use `-`; only the labels of an SRV name start with an underscore, as in `_http._tcp.orders`",
            '.' => "use one label, without dots",
            _ => "use only a-z, 0-9 and `-`",
        };
        return refuse(format!("{bad:?} is not allowed in a label (RFC 1123)"), remedy);
    }
    if input.starts_with('-') || input.ends_with('-') {
        let rule = "a label must start and end with a letter or a digit (RFC 1123)";
        return refuse(rule.into(), "remove the outer `-`");
    }
    Ok(if input.bytes().any(|b| b.is_ascii_uppercase()) { input.to_ascii_lowercase().into() } else { input.into() })
}

macro_rules! label_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses `input`, and folds it to lower case.
            ///
            /// # Errors
            /// [`NameError`] if the input is empty, is longer than 63 octets, has a character other than letters,
            /// digits and `-`, or starts or ends with `-`.
            pub fn new(input: &str) -> Result<Self, NameError> {
                label(input, $what).map(Self)
            }

            /// The name in lower case.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(s: &str) -> Result<Self, NameError> {
                Self::new(s)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

label_type! {
    /// The name of a Service: one RFC 1123 label.
    ///
    /// Kubernetes up to 1.33 requires RFC 1035 (a letter first); since KEP-5311 (alpha in 1.34) a digit may come first.
    /// A client must not reject a name that its cluster allows, so this type accepts both.
    ServiceName, "Service name"
}
label_type! {
    /// The name of a Namespace: one RFC 1123 label.
    Namespace, "Namespace"
}
label_type! {
    /// The name of a Service's port: one RFC 1123 label (`ServicePort.name` is a `DNS_LABEL`).
    PortName, "port name"
}
label_type! {
    /// The host name of a pod inside a headless Service, such as `web-0`: one RFC 1123 label.
    Hostname, "pod host name"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_1_to_63_letters_digits_and_hyphens() {
        for good in ["a", "a1", "1a", "web-0", "a--b", "8083", &"x".repeat(63)] {
            assert_eq!(ServiceName::new(good).expect(good).as_str(), good);
        }
        for bad in ["", "-a", "a-", "a_b", "a.b", "a b", "bücher", "a\0", &"x".repeat(64)] {
            let error = ServiceName::new(bad).expect_err(bad);
            assert_eq!(error.input(), bad);
            assert!(!error.rule().is_empty() && !error.remedy().is_empty(), "{error}");
        }
    }

    #[test]
    fn folds_upper_case() {
        assert_eq!(Namespace::new("Shop"), Namespace::new("shop"));
    }

    #[test]
    fn an_error_names_the_input_the_rule_and_the_remedy() {
        assert_eq!(
            ServiceName::new("my_svc").expect_err("underscore").to_string(),
            "`my_svc` is not a valid Service name: '_' is not allowed in a label (RFC 1123); use `-`; only the labels of \
             an SRV name start with an underscore, as in `_http._tcp.orders`"
        );
    }
}
