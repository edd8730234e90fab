//! How many file descriptors the sockets of DNS queries may take.

use std::{
    error::Error as StdError,
    io,
    sync::atomic::{AtomicUsize, Ordering},
};

use hickory_net::NetError;

use crate::{Error, error::Kind};

/// DNS takes at most this fraction of RLIMIT_NOFILE: the descriptors are for the application's own connections.
const SHARE: usize = 8;

/// The share where the limit is very low, so that DNS still works.
const MIN_SHARE: usize = 16;

/// The limit that is assumed where the system has none, as on Windows: the usual soft limit on Linux.
#[cfg(not(unix))]
const USUAL_LIMIT: u64 = 1024;

/// The fraction of the share for TCP connections that stay open between two queries, and again for the sockets of
/// packets that are sent again. The rest is for queries, which have one socket each.
const QUARTER: usize = 4;

/// The TCP connections of this process that stay open between two queries.
static KEPT_OPEN: AtomicUsize = AtomicUsize::new(0);

/// The further sockets of queries of this process.
static SPARE_OPEN: AtomicUsize = AtomicUsize::new(0);

/// How many queries of this process may be in flight. The limit is read each time, because a program may change it.
pub(super) fn queries() -> usize {
    let share = share(limit());
    share - 2 * (share / QUARTER)
}

/// The right to keep a TCP connection open between two queries, until it is dropped.
#[derive(Debug)]
pub(in super::super) struct KeptConnection(());

impl KeptConnection {
    /// Returns `None` if the process has used up its share: the connection closes after its answer.
    pub(in super::super) fn new() -> Option<Self> {
        take(&KEPT_OPEN).then_some(Self(()))
    }
}

impl Drop for KeptConnection {
    fn drop(&mut self) {
        KEPT_OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The right to open one more socket for a query, until it is dropped.
#[derive(Debug)]
pub(in super::super) struct SpareSocket(());

impl SpareSocket {
    /// Returns `None` if the process has used up its share: the packet leaves from a socket that is open already.
    pub(in super::super) fn new() -> Option<Self> {
        take(&SPARE_OPEN).then_some(Self(()))
    }
}

impl Drop for SpareSocket {
    fn drop(&mut self) {
        SPARE_OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts one more descriptor, unless that is more than a quarter of the share.
fn take(open: &AtomicUsize) -> bool {
    let max = share(limit()) / QUARTER;
    let more = |count: usize| (count < max).then_some(count + 1);
    open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

/// Returns an error that says what to do if `error` means that no socket could be opened. The nameserver is not to blame
/// then.
pub(in super::super) fn exhausted(error: &Error) -> Option<Error> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = next {
        if io_error(cause).is_some_and(is_exhausted) {
            let remedy = "no socket could be opened: raise the limit of open files (`ulimit -n`, RLIMIT_NOFILE)";
            return Some(Error::with_source(Kind::Transient, format!("{error}; {remedy}"), error.clone()));
        }
        next = cause.source();
    }
    None
}

fn io_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    match error.downcast_ref::<NetError>() {
        Some(NetError::Io(error)) => Some(error),
        _ => error.downcast_ref::<io::Error>(),
    }
}

/// Whether the process or the system has no file descriptor left: EMFILE or ENFILE, whose numbers are the same on Linux,
/// macOS and the BSDs (`errno.h`), or WSAEMFILE.
fn is_exhausted(error: &io::Error) -> bool {
    matches!((error.raw_os_error(), cfg!(windows)), (Some(23 | 24), false) | (Some(10024), true))
}

fn share(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX).saturating_div(SHARE).max(MIN_SHARE)
}

/// The soft limit of open files; `u64::MAX` when the limit is infinite.
#[cfg(unix)]
fn limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(not(unix))]
fn limit() -> u64 {
    USUAL_LIMIT
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn dns_takes_an_eighth_of_the_limit_and_at_least_sixteen() {
        for (limit, expected) in [(0, 16), (64, 16), (128, 16), (256, 32), (1024, 128), (1_048_576, 131_072)] {
            assert_eq!(share(limit), expected, "{limit}");
        }
        assert!(share(u64::MAX) > 1_000_000);
    }

    #[cfg(unix)]
    #[test]
    fn the_error_without_descriptors_names_the_remedy() {
        let io = |code| NetError::Io(Arc::new(io::Error::from_raw_os_error(code)));
        for code in [23, 24] {
            let error = Error::with_source(Kind::Timeout, "query A a.b. failed", io(code));
            let error = exhausted(&error).expect("no descriptors");
            assert!(error.is_transient() && !error.is_timeout());
            let text = error.to_string();
            assert!(text.starts_with("query A a.b. failed; ") && text.contains("ulimit -n"), "{text}");
        }
        assert!(exhausted(&Error::with_source(Kind::Transient, "refused", io(111))).is_none());
        assert!(exhausted(&Error::transient("SERVFAIL")).is_none());
        let bare = Error::with_source(Kind::Transient, "bind", io::Error::from_raw_os_error(24));
        assert!(exhausted(&bare).is_some());
    }
}
