//! The transport on hickory-net: UDP with quick retransmission, TCP for what does not fit.

use std::{net::SocketAddr, time::Duration};

use hickory_net::{
    NetError,
    proto::op::DnsResponse,
    runtime::TokioRuntimeProvider,
    udp::UdpClientStream,
    xfer::{DnsRequestSender, FirstAnswer},
};

use super::{
    RETRANSMIT_AFTER, TRANSMISSIONS,
    exchange::{Exchange, Exchanged, Via},
    record::Query,
    tcp::TcpConnections,
    wire,
};
use crate::{Error, error::Kind, source::BoxFuture};

/// An answer of more octets would not fit in a UDP packet of the size that EDNS announces.
const UDP_PAYLOAD: usize = 1232;

/// Asks over real sockets.
#[derive(Debug)]
pub(super) struct Sockets {
    /// Bounds one exchange, retransmissions and a change to TCP included.
    timeout: Duration,
    tcp: TcpConnections,
}

impl Sockets {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, tcp: TcpConnections::default() }
    }

    async fn ask(&self, server: SocketAddr, query: &Query, via: Via) -> Result<Exchanged, Error> {
        let finish = |answer: &DnsResponse, large| Exchanged { response: wire::response(answer), large, from: server };
        if via == Via::Udp {
            let answer = self.udp(server, query).await?;
            if !answer.metadata.truncation {
                return Ok(finish(&answer, false));
            }
        }
        let answer = self.over_tcp(server, query).await?;
        if answer.metadata.truncation && !wire::has_services(&answer) {
            return Err(Error::transient(format!("{server} truncated its answer to {query} over TCP")));
        }
        let large = answer.as_buffer().len() > UDP_PAYLOAD;
        Ok(finish(&answer, large || via == Via::Udp))
    }

    /// Every transmission leaves from a new socket and a random port, so that neither the conntrack race of
    /// parallel questions nor a stale conntrack entry can swallow all of them.
    async fn udp(&self, server: SocketAddr, query: &Query) -> Result<DnsResponse, Error> {
        let mut stream = UdpClientStream::builder(server, TokioRuntimeProvider::new())
            .with_timeout(Some(self.timeout))
            .with_max_retries(TRANSMISSIONS)
            .with_retry_interval_floor(RETRANSMIT_AFTER.as_millis().try_into().unwrap_or(u64::MAX))
            .build();
        let sent = stream.send_message(wire::request(query)?);
        sent.first_answer().await.map_err(|error| failed(server, query, "UDP", error))
    }

    async fn over_tcp(&self, server: SocketAddr, query: &Query) -> Result<DnsResponse, Error> {
        let request = wire::request(query)?;
        self.tcp.ask(server, request, self.timeout).await.map_err(|error| failed(server, query, "TCP", error))
    }
}

impl Exchange for Sockets {
    fn exchange<'a>(
        &'a self,
        server: SocketAddr,
        query: &'a Query,
        via: Via,
    ) -> BoxFuture<'a, Result<Exchanged, Error>> {
        Box::pin(async move {
            match tokio::time::timeout(self.timeout, self.ask(server, query, via)).await {
                Ok(result) => result,
                Err(_) => Err(timed_out(server, self.timeout)),
            }
        })
    }
}

fn timed_out(server: SocketAddr, timeout: Duration) -> Error {
    Error::new(Kind::Timeout, format!("{server} did not answer within {timeout:?}"))
}

fn failed(server: SocketAddr, query: &Query, transport: &str, error: NetError) -> Error {
    let kind = if matches!(error, NetError::Timeout) { Kind::Timeout } else { Kind::Transient };
    let what = if kind == Kind::Timeout { "no answer in time".to_owned() } else { error.to_string() };
    Error::with_source(kind, format!("{server} over {transport}, {query}: {what}"), error)
}
