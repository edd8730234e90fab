//! One question to one nameserver: the small trait behind which the transport hides.

use std::{fmt, net::SocketAddr};

use super::record::{Query, Response};
use crate::{Error, source::BoxFuture};

/// How a question is to be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// UDP, and TCP when the answer does not fit.
    Udp,
    /// TCP at once: the answer is known to be large, or `use-vc` is set.
    Tcp,
}

/// What came back, and what it says about the next time.
#[derive(Clone, Debug)]
pub(crate) struct Exchanged {
    pub(crate) response: Response,
    /// The answer would not fit in a UDP packet: ask over TCP next time.
    pub(crate) large: bool,
    pub(crate) from: SocketAddr,
}

/// Carries one question to one nameserver and brings a complete answer, within a bounded time.
pub(crate) trait Exchange: Send + Sync + fmt::Debug + 'static {
    fn exchange<'a>(
        &'a self,
        server: SocketAddr,
        query: &'a Query,
        via: Via,
    ) -> BoxFuture<'a, Result<Exchanged, Error>>;
}
