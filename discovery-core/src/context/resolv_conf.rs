//! `resolv.conf`, as far as it tells where to ask and where we are.

#[cfg(test)]
mod tests;

use std::{fmt, net::SocketAddr, time::Duration};

use super::nameserver::nameserver;
use crate::name::DomainName;

/// What a `resolv.conf` says (resolv.conf(5), and the kubelet's `pkg/kubelet/network/dns/dns.go`).
///
/// As in the C libraries, the last `search` or `domain` line wins and the first three nameservers count.
/// `sortlist` and the search entry `.` (the root) are read and have no effect. No domain is ever derived from
/// the host name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResolvConf {
    /// The nameservers in their order, without repetitions; at most three. Port 53 where none is written.
    pub nameservers: Vec<SocketAddr>,
    /// The search list. It serves detection; names are never expanded with it.
    pub search: Vec<DomainName>,
    /// The options that have an effect here.
    pub options: ResolvOptions,
    /// What was not understood, or had no room: to be logged.
    pub skipped: Vec<Skipped>,
}

impl ResolvConf {
    /// Reads a file's text. It cannot fail: what is not understood is listed in [`skipped`](Self::skipped).
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parsed = Self::default();
        for (at, line) in text.lines().enumerate() {
            parsed.line(Line { number: at + 1, text: line.trim() });
        }
        parsed
    }

    fn line(&mut self, line: Line<'_>) {
        let mut words = line.words();
        match words.next() {
            None | Some("sortlist") => {}
            Some("nameserver") => self.nameserver(line),
            Some("search") => self.search(line, usize::MAX),
            Some("domain") => self.search(line, 1),
            Some("options") => words.for_each(|word| {
                if let Err(reason) = self.options.read(word) {
                    self.skip(line, word, reason);
                }
            }),
            Some(_) => self.skip(line, line.text, "not a keyword of resolv.conf(5)"),
        }
    }

    fn nameserver(&mut self, line: Line<'_>) {
        let mut values = line.words().skip(1);
        match values.next().map(nameserver) {
            None => self.skip(line, line.text, "no address follows"),
            Some(Err(rule)) => self.skip(line, line.text, rule),
            Some(Ok(addr)) if self.nameservers.contains(&addr) => self.skip(line, line.text, "it is listed already"),
            Some(Ok(_)) if self.nameservers.len() == MAX_NAMESERVERS => {
                self.skip(line, line.text, "only the first three nameservers count");
            }
            Some(Ok(addr)) => self.nameservers.push(addr),
        }
        for more in values {
            self.skip(line, more, "one address per line");
        }
    }

    /// `search` with all its words, `domain` with one: each replaces what an earlier line said.
    fn search(&mut self, line: Line<'_>, max: usize) {
        let mut values = line.words().skip(1).peekable();
        if values.peek().is_none() {
            return self.skip(line, line.text, "no domain follows");
        }
        self.search.clear();
        for (at, word) in values.enumerate() {
            match DomainName::new(word) {
                _ if at >= max => self.skip(line, word, "one domain per `domain` line"),
                Ok(domain) => self.search.push(domain),
                Err(_) if word == "." => {}
                Err(error) => self.skip(line, word, error.rule()),
            }
        }
    }

    fn skip(&mut self, line: Line<'_>, text: &str, reason: impl Into<String>) {
        let text = text.chars().take(MAX_SHOWN).collect();
        self.skipped.push(Skipped { line: line.number, text, reason: reason.into() });
    }
}

/// A part of a `resolv.conf` that was not used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The line's number; the first is 1.
    pub line: usize,
    /// The line, or the word of it that is meant; at most 100 characters.
    pub text: String,
    /// Why it was not used.
    pub reason: String,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, `{}`: {}", self.line, self.text.escape_debug(), self.reason)
    }
}

#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    /// The words up to a comment.
    fn words(self) -> impl Iterator<Item = &'a str> {
        self.text.split_whitespace().take_while(|word| !word.starts_with(['#', ';']))
    }
}

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
    fn read(&mut self, word: &str) -> Result<(), &'static str> {
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

/// `MAXNS` of glibc and musl, and the kubelet's limit.
const MAX_NAMESERVERS: usize = 3;

/// Longest text that is kept for a log line, in characters.
const MAX_SHOWN: usize = 100;

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
