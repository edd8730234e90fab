//! Names as declared by a test: checked once, here.

/// Longest name in text form without the trailing dot (RFC 1035 section 2.3.4: 255 octets on the wire).
const MAX_NAME: usize = 253;
/// Longest label (RFC 1035 section 2.3.4).
const MAX_LABEL: usize = 63;

/// An absolute DNS name, in the case it was written in and with its trailing dot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DnsName(String);

impl DnsName {
    /// Reads a name, relative spelling allowed: the dot at the end is added.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "." {
            return Ok(Self(text.to_owned()));
        }
        let bare = text.strip_suffix('.').unwrap_or(text);
        if bare.len() > MAX_NAME {
            return Err(format!("longer than {MAX_NAME} octets"));
        }
        for (position, label) in bare.split('.').enumerate() {
            if !(position == 0 && label == "*") {
                check_label(label)?;
            }
        }
        Ok(Self(format!("{bare}.")))
    }

    /// Reads a name or panics, naming `what` was wrong and the input.
    #[track_caller]
    pub(crate) fn require(what: &str, text: &str) -> Self {
        match Self::parse(text) {
            Ok(name) => name,
            Err(reason) => panic!("{what} {text:?} is not a DNS name: {reason}"),
        }
    }

    /// True for `10.0.0.1.`, which is a name all the same.
    pub(crate) fn looks_like_ip(&self) -> bool {
        self.as_str().trim_end_matches('.').parse::<std::net::IpAddr>().is_ok()
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The form to compare by: lower case.
    pub(crate) fn key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

/// Reads one label in lower case or panics, naming `what` was wrong and the input.
#[track_caller]
pub(crate) fn require_label(what: &str, text: &str) -> String {
    match check_label(text) {
        Ok(()) => text.to_ascii_lowercase(),
        Err(reason) => panic!("{what} {text:?} is not a DNS label: {reason}"),
    }
}

/// The form under which a name is recorded and looked up: lower case, with a trailing dot.
pub(crate) fn normalize(text: &str) -> String {
    let mut name = text.to_ascii_lowercase();
    if !name.ends_with('.') {
        name.push('.');
    }
    name
}

/// True if `key` is `parent` or below it; both normalized.
pub(crate) fn is_within(key: &str, parent: &str) -> bool {
    parent == "." || key.strip_suffix(parent).is_some_and(|head| head.is_empty() || head.ends_with('.'))
}

fn check_label(label: &str) -> Result<(), String> {
    if label.is_empty() {
        return Err("empty label".to_owned());
    }
    if label.len() > MAX_LABEL {
        return Err(format!("label longer than {MAX_LABEL} octets"));
    }
    match label.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))) {
        Some(bad) => Err(format!("character {bad:?}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_relative_absolute_root_and_wildcard() {
        for (text, absolute) in [("a.Example", "a.Example."), ("a.", "a."), (".", "."), ("*.corp", "*.corp.")] {
            assert_eq!(DnsName::parse(text).expect(text).as_str(), absolute);
        }
    }

    #[test]
    fn refuses_bad_names() {
        let long = "a".repeat(64);
        for text in ["", "a..b", "a b", "a.*.b", "ä", long.as_str()] {
            DnsName::parse(text).expect_err(text);
        }
    }

    #[test]
    fn within_counts_whole_labels() {
        assert!(is_within("a.b.", "b."));
        assert!(is_within("b.", "b."));
        assert!(!is_within("ab.", "b."));
        assert!(is_within("b.", "."));
    }
}
