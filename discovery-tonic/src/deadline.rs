//! The deadline of a call: `grpc-timeout`.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};

pub(crate) const GRPC_TIMEOUT: &str = "grpc-timeout";

/// When a call must have ended, as an extension of its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// The deadline that the headers of a request say, if they do. A malformed timeout is the server's to reject.
    pub(crate) fn from_headers(headers: &HeaderMap, now: Instant) -> Option<Self> {
        let timeout = parse(headers.get(GRPC_TIMEOUT)?.to_str().ok()?)?;
        now.checked_add(timeout).map(Self)
    }

    pub(crate) fn at(self) -> Instant {
        self.0
    }

    /// The timeout of an attempt that begins at `now`: what is left.
    pub(crate) fn header(self, now: Instant) -> HeaderValue {
        let text = format(self.0.saturating_duration_since(now));
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("0n"))
    }
}

/// At most 8 digits and a unit (gRPC over HTTP/2, "Timeout").
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

/// The finest unit in which the value has 8 digits at most.
fn format(timeout: Duration) -> String {
    let in_units = [
        (timeout.as_nanos(), 'n'),
        (timeout.as_micros(), 'u'),
        (timeout.as_millis(), 'm'),
        (timeout.as_secs().into(), 'S'),
        (u128::from(timeout.as_secs()) / 60, 'M'),
        (u128::from(timeout.as_secs()) / 3600, 'H'),
    ];
    let (value, unit) = in_units.into_iter().find(|(value, _)| *value <= MAX).unwrap_or((MAX, 'H'));
    format!("{value}{unit}")
}

/// 8 digits.
const MAX: u128 = 99_999_999;

#[cfg(test)]
mod tests {
    use super::*;

    /// grpc/grpc `doc/PROTOCOL-HTTP2.md`: `TimeoutValue` has at most 8 digits; `TimeoutUnit` is H, M, S, m, u or n.
    #[test]
    fn timeouts_are_read_and_written_as_the_protocol_says() {
        for (text, timeout) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("30S", Some(Duration::from_secs(30))),
            ("250m", Some(Duration::from_millis(250))),
            ("99999999u", Some(Duration::from_micros(99_999_999))),
            ("0n", Some(Duration::ZERO)),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("+1S", None),
            ("1", None),
            ("1s", None),
            ("1é", None),
        ] {
            assert_eq!(parse(text), timeout, "{text}");
        }
        for timeout in [Duration::ZERO, Duration::from_millis(50), Duration::from_secs(30), Duration::MAX] {
            let text = format(timeout);
            let read = parse(&text).unwrap();
            assert!(text.len() <= 9 && read <= timeout, "{timeout:?} as {text}");
        }
        assert_eq!(format(Duration::from_secs(30)), "30000000u");
    }
}
