//! The `options` of a `resolv.conf`.

use std::time::Duration;

/// The options of a `resolv.conf` that have an effect here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResolvOptions {
    /// `timeout:n`: how long to wait for one answer; 1 s to 30 s, larger values are cut (as in glibc).
    pub timeout: Option<Duration>,
    /// `attempts:n`: how often to ask altogether; 1 to 5, larger values are cut (as in glibc).
    pub attempts: Option<u32>,
    /// `use-vc`: ask over TCP.
    pub use_vc: bool,
}

impl ResolvOptions {
    /// Takes one word in; `Err` says why it was not understood.
    pub(super) fn read(&mut self, word: &str) -> Result<(), &'static str> {
        let (name, value) = word.split_once(':').map_or((word, None), |(name, value)| (name, Some(value)));
        match (name, value) {
            ("timeout", Some(value)) => {
                self.timeout = Some(Duration::from_secs(u64::from(count(value, MAX_TIMEOUT_SECS)?)));
            }
            ("attempts", Some(value)) => self.attempts = Some(count(value, MAX_ATTEMPTS)?),
            ("timeout" | "attempts", None) => return Err("a number follows after `:`"),
            ("use-vc", None) => self.use_vc = true,
            (known, _) if IGNORED.contains(&known) => {}
            _ => return Err("not an option that is known here"),
        }
        Ok(())
    }
}

/// A decimal number of at least 1, cut to `max`.
fn count(value: &str, max: u32) -> Result<u32, &'static str> {
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err("the value is not a number");
    }
    // More digits than fit are more than `max`.
    match value.parse::<u32>().unwrap_or(max).min(max) {
        0 => Err("the value is at least 1"),
        count => Ok(count),
    }
}

/// `RES_MAXRETRANS` of glibc, in seconds.
const MAX_TIMEOUT_SECS: u32 = 30;

/// `RES_MAXRETRY` of glibc.
const MAX_ATTEMPTS: u32 = 5;

/// Options of glibc, musl and the BSDs that mean nothing here: names are asked as absolute ones (`ndots`,
/// `no-tld-query`), EDNS is always on, A and AAAA are always asked apart from ports of their own
/// (`single-request…`), and which server is asked and what is cached is decided here.
const IGNORED: &[&str] = &[
    "debug",
    "edns0",
    "inet6",
    "ip6-bytestring",
    "ip6-dotint",
    "ndots",
    "no-aaaa",
    "no-check-names",
    "no-ip6-dotint",
    "no-reload",
    "no-tld-query",
    "rotate",
    "single-request",
    "single-request-reopen",
    "trust-ad",
];
