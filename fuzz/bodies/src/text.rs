//! Text that may be printed.

use std::{fmt::Display, str::FromStr};

/// Checks that a value prints as text that parses to the same value.
pub(crate) fn round_trips<T: FromStr + Display + PartialEq + std::fmt::Debug>(input: &str) {
    if let Ok(value) = input.parse::<T>() {
        let shown = value.to_string();
        assert!(shown.parse::<T>().is_ok_and(|again| again == value), "{input:?} is {value:?} and prints as {shown:?}");
        loggable(&shown);
    }
}

/// Checks that a text is one line without control characters.
pub(crate) fn loggable(text: &str) {
    assert!(!text.is_empty(), "the text is empty");
    assert!(text.chars().all(|c| !c.is_control()), "control characters: {text:?}");
}

/// Checks that a text of several lines has no other control characters.
pub(crate) fn loggable_lines(text: &str) {
    assert!(!text.is_empty(), "the text is empty");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "control characters: {text:?}");
}
