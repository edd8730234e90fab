//! Names that a test declares, validated on construction.

/// The longest name in text form, without the trailing dot (RFC 1035 section 2.3.4: 255 octets on the wire).
const MAX_NAME: usize = 253;
/// The longest label (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// An absolute DNS name with its trailing dot, in its original case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DnsName(String);

impl DnsName {
    /// Parses a name, and adds the trailing dot if it is missing.
    fn parse(text: &str) -> Result<Self, String> {
        if text == "." {
            return Ok(Self(text.to_owned()));
        }
        let bare = text.strip_suffix('.').unwrap_or(text);
        if bare.len() > MAX_NAME {
            return Err(format!("it is longer than {MAX_NAME} octets"));
        }
        for (position, label) in bare.split('.').enumerate() {
            if !(position == 0 && label == "*") {
                check_label(label)?;
            }
        }
        Ok(Self(format!("{bare}.")))
    }

    /// Parses a name. Panics with `what` and the input if it is invalid.
    #[track_caller]
    pub(crate) fn require(what: &str, text: &str) -> Self {
        match Self::parse(text) {
            Ok(name) => name,
            Err(reason) => panic!("{what} {text:?} is not a DNS name: {reason}"),
        }
    }

    /// Returns true for a name such as `10.0.0.1.`.
    pub(crate) fn looks_like_ip(&self) -> bool {
        self.as_str().trim_end_matches('.').parse::<std::net::IpAddr>().is_ok()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name in lower case, for comparison.
    pub(crate) fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

/// Parses one label to lower case. Panics with `what` and the input if it is invalid.
#[track_caller]
pub(crate) fn require_label(what: &str, text: &str) -> String {
    match check_label(text) {
        Ok(()) => text.to_ascii_lowercase(),
        Err(reason) => panic!("{what} {text:?} is not a DNS label: {reason}"),
    }
}

/// Returns the form for lookups and records: lower case, with a trailing dot.
pub(crate) fn normalize(text: &str) -> String {
    let mut name = text.to_ascii_lowercase();
    if !name.ends_with('.') {
        name.push('.');
    }
    name
}

/// Returns true if `key` is `parent` or below it; both are normalized.
pub(crate) fn is_within(key: &str, parent: &str) -> bool {
    parent == "." || key.strip_suffix(parent).is_some_and(|head| head.is_empty() || head.ends_with('.'))
}

fn check_label(label: &str) -> Result<(), String> {
    if label.is_empty() {
        return Err("a label is empty".to_owned());
    }
    if label.len() > MAX_LABEL {
        return Err(format!("a label is longer than {MAX_LABEL} octets"));
    }
    match label.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
        Some(bad) => Err(format!("character {bad:?} is not allowed")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_relative_absolute_root_and_wildcard_names() {
        for (text, absolute) in [("a.Example", "a.Example."), ("a.", "a."), (".", "."), ("*.corp", "*.corp.")] {
            assert_eq!(DnsName::parse(text).expect(text).as_str(), absolute);
        }
    }

    #[test]
    fn rejects_invalid_names() {
        let long = "a".repeat(64);
        for text in ["", "a..b", "a b", "a.*.b", "ä", long.as_str()] {
            DnsName::parse(text).expect_err(text);
        }
    }

    #[test]
    fn is_within_compares_whole_labels() {
        assert!(is_within("a.b.", "b."));
        assert!(is_within("b.", "b."));
        assert!(!is_within("ab.", "b."));
        assert!(is_within("b.", "."));
    }
}
