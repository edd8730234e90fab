//! Fields that come in several shapes.

use serde_json::Value;

/// A text, whatever it was written as; `None` for null, objects and arrays.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The text of a field that is there and not empty.
pub(super) fn text_of(object: &Value, field: &str) -> Option<String> {
    text(&object[field]).filter(|text| !text.is_empty())
}

/// A number, written as one or as a text.
pub(super) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A truth, written as one or as a text.
pub(super) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Several, or one that an XStream server writes without the brackets, or none.
pub(super) fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(several) => several,
        Value::Object(_) => std::slice::from_ref(value),
        _ => &[],
    }
}
