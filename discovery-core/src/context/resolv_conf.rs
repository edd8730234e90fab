//! The parser of `resolv.conf`.

#[cfg(test)]
mod tests;

use std::{fmt, net::SocketAddr, time::Duration};

use super::nameserver::{Interfaces, THIS_MACHINE, nameserver};
use crate::name::DomainName;

/// A parsed `resolv.conf` (resolv.conf(5), and the kubelet's `pkg/kubelet/network/dns/dns.go`).
///
/// As in the C libraries, the last `search` or `domain` line wins, only the first three nameservers are used, and without
/// a `nameserver` line the nameserver is this machine.
/// `sortlist` and the search entry `.` (the root) are accepted and have no effect. No domain is derived from the host
/// name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResolvConf {
    /// The nameservers in their order, without duplicates; at most three. The default port is 53. Without a `nameserver`
    /// line they are `127.0.0.1` and `::1`.
    pub nameservers: Vec<SocketAddr>,
    /// The search list. In a cluster it is used for detection only; outside of one, it completes the names of hosts.
    pub search: Vec<DomainName>,
    /// The options that have an effect here.
    pub options: ResolvOptions,
    /// The entries that were invalid, unknown or too many. The caller should log them.
    pub skipped: Vec<Skipped>,
}

impl ResolvConf {
    /// Parses the text of the file. This cannot fail: [`skipped`](Self::skipped) lists the entries that were ignored.
    ///
    /// The zone of a link-local nameserver must be an index, as in `fe80::1%2`: this function knows no interfaces.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self::parse_of(text, &|_| None)
    }

    /// As [`parse`](Self::parse), on a machine with these interfaces.
    pub(crate) fn parse_of(text: &str, interfaces: Interfaces<'_>) -> Self {
        let mut parsed = Self::default();
        let mut is_local = true;
        for (at, line) in text.lines().enumerate() {
            let line = Line { number: at + 1, text: line.trim() };
            is_local &= line.words().next() != Some("nameserver");
            parsed.line(line, interfaces);
        }
        if is_local {
            parsed.nameservers = THIS_MACHINE.to_vec();
        }
        parsed
    }

    /// Whether the text has a line that is neither empty nor a comment. A file without one may be half written: keep what
    /// an earlier text said.
    #[must_use]
    pub fn has_entries(text: &str) -> bool {
        text.lines().any(|text| Line { number: 1, text }.words().next().is_some())
    }

    fn line(&mut self, line: Line<'_>, interfaces: Interfaces<'_>) {
        let mut words = line.words();
        match words.next() {
            None | Some("sortlist") => {}
            Some("nameserver") => self.nameserver(line, interfaces),
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

    fn nameserver(&mut self, line: Line<'_>, interfaces: Interfaces<'_>) {
        let mut values = line.words().skip(1);
        match values.next().map(|text| nameserver(text, interfaces)) {
            None => self.skip(line, line.text, "the address is missing"),
            Some(Err(rule)) => self.skip(line, line.text, rule),
            Some(Ok(addr)) if self.nameservers.contains(&addr) => self.skip(line, line.text, "listed twice"),
            Some(Ok(_)) if self.nameservers.len() == MAX_NAMESERVERS => {
                self.skip(line, line.text, "only the first three nameservers are used");
            }
            Some(Ok(addr)) => self.nameservers.push(addr),
        }
        for more in values {
            self.skip(line, more, "only one address is allowed per line");
        }
    }

    /// Parses a `search` line with any number of domains, or a `domain` line with one. Each replaces an earlier line.
    fn search(&mut self, line: Line<'_>, max: usize) {
        let mut values = line.words().skip(1).peekable();
        if values.peek().is_none() {
            return self.skip(line, line.text, "the domain is missing");
        }
        self.search.clear();
        for (at, word) in values.enumerate() {
            match DomainName::new(word) {
                _ if at >= max => self.skip(line, word, "only one domain is allowed per `domain` line"),
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

/// An entry of `resolv.conf` that was ignored, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// The line number; the first line is 1.
    pub line: usize,
    /// The line, or the word in it that was ignored; at most 100 characters.
    pub text: String,
    /// Why it was ignored.
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
    /// `timeout:n`: the timeout of one attempt of a query, 1 s to 30 s. Larger values are capped, as in glibc.
    pub timeout: Option<Duration>,
    /// `attempts:n`: how many attempts a query has, 1 to 5. Larger values are capped, as in glibc.
    pub attempts: Option<u32>,
    /// `use-vc`: query over TCP.
    pub use_vc: bool,
    /// `no-aaaa`: send no AAAA queries.
    pub no_aaaa: bool,
    /// `ndots:n`: a host with fewer dots is completed with the search list first, outside a cluster; 0 to 15. Larger
    /// values are capped, as in glibc.
    pub ndots: Option<u32>,
}

impl ResolvOptions {
    /// Reads one word; `Err` says why it was ignored.
    fn read(&mut self, word: &str) -> Result<(), &'static str> {
        let (name, value) = word.split_once(':').map_or((word, None), |(name, value)| (name, Some(value)));
        match (name, value) {
            ("timeout", Some(value)) => {
                self.timeout = Some(Duration::from_secs(u64::from(count(value, MAX_TIMEOUT_SECS)?)));
            }
            ("attempts", Some(value)) => self.attempts = Some(count(value, MAX_ATTEMPTS)?),
            ("ndots", Some(value)) => self.ndots = Some(number(value, MAX_NDOTS)?),
            ("timeout" | "attempts" | "ndots", None) => return Err("`:` and a number are missing"),
            ("use-vc", None) => self.use_vc = true,
            ("no-aaaa", None) => self.no_aaaa = true,
            (known, _) if IGNORED.contains(&known) => {}
            _ => return Err("unknown option"),
        }
        Ok(())
    }
}

/// Parses a decimal number of at least 1, and caps it at `max`.
fn count(value: &str, max: u32) -> Result<u32, &'static str> {
    match number(value, max)? {
        0 => Err("the value must be at least 1"),
        count => Ok(count),
    }
}

/// Parses a decimal number, and caps it at `max`.
fn number(value: &str, max: u32) -> Result<u32, &'static str> {
    if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
        return Err("the value is not a number");
    }
    // A number too large for `u32` is more than `max`.
    Ok(value.parse::<u32>().unwrap_or(max).min(max))
}

/// `MAXNS` of glibc and musl, and the kubelet's limit.
const MAX_NAMESERVERS: usize = 3;

/// The longest text kept for a log line, in characters.
const MAX_SHOWN: usize = 100;

/// `RES_MAXRETRANS` of glibc, in seconds.
const MAX_TIMEOUT_SECS: u32 = 30;

/// `RES_MAXRETRY` of glibc.
const MAX_ATTEMPTS: u32 = 5;

/// `RES_MAXNDOTS` of glibc.
const MAX_NDOTS: u32 = 15;

/// Options of glibc, musl and the BSDs that are accepted and have no effect. Names are queried as absolute names
/// (`no-tld-query`), EDNS is always on, and A and AAAA are always queried separately, from ports of their own
/// (`single-request…`). The choice of the server and the caching are this crate's own.
const IGNORED: &[&str] = &[
    "debug",
    "edns0",
    "inet6",
    "ip6-bytestring",
    "ip6-dotint",
    "no-check-names",
    "no-ip6-dotint",
    "no-reload",
    "no-tld-query",
    "rotate",
    "single-request",
    "single-request-reopen",
    "trust-ad",
];
