//! Names of one or more labels.

use std::{fmt, str::FromStr, sync::Arc};

use super::{
    NameError,
    label::{host_label, label},
};

/// The longest name in text form, without the final dot (RFC 1035 section 2.3.4: 255 octets on the wire).
const MAX_NAME: usize = 253;

/// A host name or SRV name of one or more labels, in lower case and without the final dot.
///
/// DNS allows any octet in a label (RFC 2181 section 11). This type has the characters that glibc allows in the name of a
/// host (`resolv/res-name-checking.c`): letters, digits, `-` and `_`. The names of Services, Namespaces and ports follow
/// the stricter RFC 1123, and have types of their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainName(Arc<str>);

impl DomainName {
    /// Parses `input`, with or without a final dot, and folds it to lower case.
    ///
    /// # Errors
    /// [`NameError`] if a label is empty, is longer than 63 octets or has another character than letters, digits, `-` and
    /// `_`, if the name is longer than 253 octets, or if it starts with `-`.
    pub fn new(input: &str) -> Result<Self, NameError> {
        const WHAT: &str = "DNS name";
        let text = input.strip_suffix('.').unwrap_or(input);
        if text.is_empty() {
            return Err(NameError::new(input, WHAT, "it is empty", "use at least one label"));
        }
        if text.len() > MAX_NAME {
            let rule = format!("a name has at most {MAX_NAME} octets (RFC 1035), but this one has {}", text.len());
            return Err(NameError::new(input, WHAT, rule, "shorten it"));
        }
        if text.starts_with('-') {
            return Err(NameError::new(input, WHAT, "a name must not start with `-`", "remove the leading `-`"));
        }
        for part in text.split('.') {
            if part.is_empty() {
                return Err(NameError::new(input, WHAT, "a label is empty", "remove the doubled or leading dot"));
            }
            host_label(part, WHAT).map_err(|error| error.within(input))?;
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The name in lower case, without the final dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels from left to right.
    #[must_use]
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// The number of labels; at least one.
    #[must_use]
    pub fn label_count(&self) -> usize {
        self.0.bytes().filter(|b| *b == b'.').count() + 1
    }

    /// The part before `suffix`, if this name is below it.
    #[must_use]
    pub fn below(&self, suffix: &Self) -> Option<&str> {
        self.0.strip_suffix(suffix.as_str())?.strip_suffix('.')
    }
}

impl FromStr for DomainName {
    type Err = NameError;

    fn from_str(s: &str) -> Result<Self, NameError> {
        Self::new(s)
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The domain of a cluster's Services, such as `cluster.local`. It is detected, never assumed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterDomain(DomainName);

impl ClusterDomain {
    /// Parses `input`, with or without a final dot.
    ///
    /// # Errors
    /// [`NameError`] as for [`DomainName::new`], and if a label breaks RFC 1123.
    pub fn new(input: &str) -> Result<Self, NameError> {
        let name = DomainName::new(input)?;
        for part in name.labels() {
            label(part, "cluster domain").map_err(|error| error.within(input))?;
        }
        Ok(Self(name))
    }

    /// The domain as a name.
    #[must_use]
    pub fn name(&self) -> &DomainName {
        &self.0
    }
}

impl FromStr for ClusterDomain {
    type Err = NameError;

    fn from_str(s: &str) -> Result<Self, NameError> {
        Self::new(s)
    }
}

impl fmt::Display for ClusterDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_limited_to_253_octets_and_labels_to_63() {
        let label = "x".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "y".repeat(61));
        assert_eq!(longest.len(), 253);
        assert!(DomainName::new(&longest).is_ok());
        assert!(DomainName::new(&format!("{longest}.")).is_ok(), "the final dot does not count");
        assert!(DomainName::new(&format!("{longest}y")).is_err());
        assert!(DomainName::new(&format!("{label}x.com")).is_err());
    }

    #[test]
    fn a_name_has_the_characters_that_libc_allows() {
        for good in ["_http._tcp.orders.shop", "a._b", "a_b.c", "_.c", "orders.shop_", "foo-.com", "a.-b.com", "1a.2b"]
        {
            assert_eq!(DomainName::new(good).expect(good).as_str(), good);
        }
        for bad in ["a b.c", "a!b", "*.c", "b\u{fc}cher.de", "a.b\0", "-a.b", "-", "a/b", "a:b", "a@b"] {
            let error = DomainName::new(bad).expect_err(bad);
            assert_eq!(error.input(), bad);
            assert!(!error.rule().is_empty() && !error.remedy().is_empty(), "{error}");
        }
    }

    #[test]
    fn a_cluster_domain_is_strict() {
        assert!(ClusterDomain::new("K8s.example.com.").is_ok());
        for bad in ["a_b.local", "cluster-.local", "_a.local", "a.-b"] {
            assert!(ClusterDomain::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn leading_and_double_dots_are_errors() {
        for bad in ["", ".", "..", ".a", "a..b", "a.."] {
            assert!(DomainName::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(DomainName::new("A.B."), DomainName::new("a.b"));
    }

    #[test]
    fn below_matches_whole_labels() {
        let zone = DomainName::new("svc.cluster.local").expect("name");
        let below = |s: &str| DomainName::new(s).expect("name").below(&zone).map(str::to_owned);
        assert_eq!(below("orders.shop.svc.cluster.local").as_deref(), Some("orders.shop"));
        assert_eq!(below("xsvc.cluster.local"), None);
        assert_eq!(below("svc.cluster.local"), None);
    }

    #[test]
    fn the_error_of_a_label_names_the_whole_name() {
        let error = DomainName::new("orders.x!.svc").expect_err("character");
        assert_eq!(error.input(), "orders.x!.svc");
        assert!(error.rule().starts_with("`x!`: "), "{error}");
    }
}
