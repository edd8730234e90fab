//! Text from servers in logs and errors.
//!
//! An API server, a registry, a nameserver or a pod chooses the text that it sends. Without care, a line break in the
//! text forges a line of a log, and an escape sequence moves the cursor of a terminal. Every such text passes
//! [`printable`] or [`excerpt`] before it reaches a log or an error.
//!
//! ```
//! use discovery_core::text::printable;
//!
//! assert_eq!(printable("down\r\nINFO all is well\u{1b}[2J", 100), "down INFO all is well[2J");
//! assert_eq!(printable("a long story", 6), "a long...");
//! ```

/// The most characters of a body in a message.
const EXCERPT: usize = 160;

/// Returns the text in one line of at most `most` characters, followed by `...` if it is longer.
///
/// Any white space, such as a line break, becomes one space. Other control characters, and characters that change the
/// direction of the text or take no space, are left out.
#[must_use]
pub fn printable(text: &str, most: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    let mut gap = false;
    for c in text.chars() {
        if c.is_whitespace() {
            gap = length > 0;
            continue;
        }
        if c.is_control() || is_invisible(c) {
            continue;
        }
        let needed = if gap { 2 } else { 1 };
        if length + needed > most {
            line.push_str("...");
            break;
        }
        if std::mem::take(&mut gap) {
            line.push(' ');
        }
        line.push(c);
        length += needed;
    }
    line
}

/// Returns the text in one line, as [`printable`] does, without a cut.
pub(crate) fn one_line(text: impl Into<String>) -> String {
    let text = text.into();
    let is_safe = !text.contains(|c: char| c.is_control() || is_invisible(c) || matches!(c, '\u{2028}' | '\u{2029}'));
    if is_safe { text } else { printable(&text, usize::MAX) }
}

/// Returns the beginning of a body as [`printable`] text of at most 160 characters.
#[must_use]
pub fn excerpt(body: &[u8]) -> String {
    // Of white space, a body such as a page may have far more than text.
    let beginning = &body[..body.len().min(16 * EXCERPT)];
    printable(&String::from_utf8_lossy(beginning), EXCERPT)
}

/// Marks of direction, joiners and the byte order mark: with them, a text shows as another one.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{feff}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_in_its_line() {
        for (text, wanted) in [
            ("no endpoints", "no endpoints"),
            ("  a\r\n\tb\u{2028}c\u{85}d  ", "a b c d"),
            ("\u{1b}[31mred\u{7}\0\u{7f}\u{9b}2J", "[31mred2J"),
            ("gpj.\u{202e}exe\u{2066}\u{200b}\u{feff}", "gpj.exe"),
            ("größe 大", "größe 大"),
            ("\n", ""),
        ] {
            assert_eq!(printable(text, 100), wanted);
        }
    }

    #[test]
    fn errors_and_evidence_stay_in_their_line() {
        let hostile = "refused\r\nINFO all is well\u{1b}[2J";
        let wanted = "refused INFO all is well[2J";
        let error = crate::Error::transient(hostile);
        assert_eq!(error.to_string(), wanted);
        let evidence = crate::source::Evidence::new("a\nb", hostile);
        assert_eq!(evidence.to_string(), format!("a b: {wanted}"));
        assert_eq!(crate::Error::config("two  spaces").to_string(), "two  spaces");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(printable("héllo", 5), "héllo");
        assert_eq!(printable("héllo!", 5), "héllo...");
        assert_eq!(printable("hé llo", 3), "hé...");
        assert_eq!(printable("abc   \u{1b}", 3), "abc");
        assert_eq!(printable("x", 0), "...");
        let page = excerpt("<p>\u{e9}\n".repeat(1000).as_bytes());
        assert!(page.starts_with("<p>\u{e9} <p>\u{e9}") && page.ends_with("..."), "{page}");
        assert!((EXCERPT..EXCERPT + 4).contains(&page.chars().count()), "{page}");
        assert_eq!(excerpt(b"\xff\xfea"), "\u{fffd}\u{fffd}a");
    }
}
