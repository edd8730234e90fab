//! What the error of an HTTP client says about the connection.

use std::{error::Error as StdError, io};

use hyper_util::client::legacy;

use crate::connect_error::ConnectError;

/// Returns whether the connection could not be established: the endpoint has not seen the request.
///
/// hyper's client says so. The kinds of I/O errors are those that arise only while connecting, whichever client wraps
/// them. A reset or a timeout may come after the request was sent and proves nothing.
pub(super) fn is_connect(error: &(dyn StdError + 'static)) -> bool {
    has_io_kind(error, |kind| {
        matches!(
            kind,
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::AddrNotAvailable
        )
    }) || chain(error)
        .any(|error| error.is::<ConnectError>() || error.downcast_ref().is_some_and(legacy::Error::is_connect))
}

/// Returns whether the connection ended before there was a response: it was closed or reset, an HTTP/2 ping was not
/// answered in time (RFC 9113, section 6.7), or the kernel gave it up (TCP_USER_TIMEOUT, keep-alive). The endpoint may have
/// seen the request.
///
/// The function looks for the errors of hyper and of I/O in the chain of sources, so `error` can be that of any client on
/// hyper.
#[must_use]
pub fn is_interrupted(error: &(dyn StdError + 'static)) -> bool {
    // hyper does not expose the cause of an HTTP/2 connection's end. A timeout of its client is an unanswered ping.
    let ended = |error: &hyper::Error| !error.is_user() && !error.is_parse();
    has_io_kind(error, |kind| {
        matches!(
            kind,
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::NotConnected
                | io::ErrorKind::UnexpectedEof
        )
    }) || chain(error).any(|error| error.downcast_ref().is_some_and(ended))
}

/// Returns whether an HTTP/2 server refused the request before processing it: by `GOAWAY` with `NO_ERROR` when it shuts
/// down, or by `REFUSED_STREAM` when it is at its limit (RFC 9113, sections 6.8 and 8.7). Also returns `true` if the
/// connection was closed before hyper sent the request on it, over either version of HTTP.
///
/// The function looks for the errors of `h2` and of hyper in the chain of sources, so `error` can be that of any client on
/// hyper. Without the feature `http2`, it does not recognize refusals by a server.
#[must_use]
pub fn is_refused(error: &(dyn StdError + 'static)) -> bool {
    // hyper gives this error only to requests that it has not begun to write.
    if chain(error).any(|error| error.downcast_ref().is_some_and(hyper::Error::is_canceled)) {
        return true;
    }
    #[cfg(feature = "http2")]
    if let Some(http2) = chain(error).find_map(|error| error.downcast_ref::<h2::Error>()) {
        let reason = http2.reason();
        let shuts_down = http2.is_go_away() && reason == Some(h2::Reason::NO_ERROR);
        let refuses = http2.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM);
        return http2.is_remote() && (shuts_down || refuses);
    }
    false
}

fn has_io_kind(error: &(dyn StdError + 'static), is_wanted: impl Fn(io::ErrorKind) -> bool) -> bool {
    chain(error).any(|error| error.downcast_ref::<io::Error>().is_some_and(|io| is_wanted(io.kind())))
}

/// The error, its cause, and so on.
fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
