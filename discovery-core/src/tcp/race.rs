//! Several addresses of one endpoint, raced.

use std::{io, net::SocketAddr, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::{net::TcpStream, time::sleep};

/// How long an address has before the next one is tried beside it (RFC 8305, section 8: "Connection Attempt Delay").
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the first address that answers. The addresses are tried in their order: the next one after a failure, or
/// beside the earlier ones if these take longer than 250 ms (RFC 8305, section 5).
///
/// # Errors
/// The last error, if every address fails.
///
/// # Cancel safety
/// Dropping the future closes all connections.
pub async fn connect_to_first(addrs: impl IntoIterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addrs.into_iter().peekable();
    let mut attempts = FuturesUnordered::new();
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the endpoint has no address");
    loop {
        match waiting.next() {
            Some(addr) => attempts.push(TcpStream::connect(addr)),
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        let has_next = waiting.peek().is_some();
        tokio::select! {
            Some(connected) = attempts.next() => match connected {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            },
            () = sleep(ATTEMPT_DELAY), if has_next => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::clock;

    #[tokio::test]
    async fn a_refused_address_costs_no_delay_and_the_next_one_is_used() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        tokio::time::pause();
        let start = clock::now();
        let stream = connect_to_first([closed, closed, open]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        assert!(clock::now() - start < ATTEMPT_DELAY, "{:?}", clock::now() - start);
    }

    #[tokio::test]
    async fn the_last_error_is_returned_when_every_address_fails() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let error = connect_to_first([closed, closed]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(connect_to_first([]).await.unwrap_err().to_string().contains("no address"));
    }
}
