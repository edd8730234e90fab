//! The transport on hickory-net: UDP with fast retransmission, and TCP for large responses.

use std::{net::SocketAddr, time::Duration};

use hickory_net::{
    NetError,
    proto::op::DnsResponse,
    runtime::TokioRuntimeProvider,
    udp::UdpClientStream,
    xfer::{DnsRequestSender, FirstAnswer},
};

use super::{Reply, Transport, Via, tcp::TcpConnections};
use crate::{
    Error,
    error::Kind,
    source::{
        BoxFuture,
        dns::{
            RETRANSMIT_AFTER, TRANSMISSIONS,
            message::{Query, Response},
        },
    },
};

/// The size of a UDP response that EDNS announces, in bytes; a larger one needs TCP.
const UDP_PAYLOAD: usize = 1232;

/// Sends queries over real sockets.
#[derive(Debug)]
pub(in super::super) struct Sockets {
    /// Bounds one exchange, including retransmissions and the change to TCP.
    timeout: Duration,
    tcp: TcpConnections,
}

impl Sockets {
    pub(in super::super) fn new(timeout: Duration) -> Self {
        Self { timeout, tcp: TcpConnections::default() }
    }

    async fn ask(&self, server: SocketAddr, query: &Query, via: Via) -> Result<Reply, Error> {
        if via == Via::Udp {
            let message = self.udp(server, query).await?;
            if !message.metadata.truncation {
                return Ok(Reply { response: Response::from_wire(&message), large: false });
            }
        }
        let message = self.over_tcp(server, query).await?;
        let response = Response::from_wire(&message);
        if response.is_unusable() {
            return Err(Error::transient(format!("nameserver {server} truncated its answer to {query} even over TCP")));
        }
        let large = via == Via::Udp || message.as_buffer().len() > UDP_PAYLOAD;
        Ok(Reply { response, large })
    }

    /// Sends each transmission from a new socket and a random port, so that neither the conntrack race of parallel
    /// queries nor a stale conntrack entry can drop all of them.
    async fn udp(&self, server: SocketAddr, query: &Query) -> Result<DnsResponse, Error> {
        let mut stream = UdpClientStream::builder(server, TokioRuntimeProvider::new())
            .with_timeout(Some(self.timeout))
            .with_max_retries(TRANSMISSIONS)
            .with_retry_interval_floor(RETRANSMIT_AFTER.as_millis().try_into().unwrap_or(u64::MAX))
            .build();
        stream
            .send_message(query.to_request()?)
            .first_answer()
            .await
            .map_err(|error| failed(server, query, "UDP", error))
    }

    async fn over_tcp(&self, server: SocketAddr, query: &Query) -> Result<DnsResponse, Error> {
        let request = query.to_request()?;
        self.tcp.ask(server, request, self.timeout).await.map_err(|error| failed(server, query, "TCP", error))
    }
}

impl Transport for Sockets {
    fn exchange<'a>(&'a self, server: SocketAddr, query: &'a Query, via: Via) -> BoxFuture<'a, Result<Reply, Error>> {
        Box::pin(async move {
            match tokio::time::timeout(self.timeout, self.ask(server, query, via)).await {
                Ok(result) => result,
                Err(_) => Err(timed_out(server, query, self.timeout)),
            }
        })
    }
}

fn timed_out(server: SocketAddr, query: &Query, timeout: Duration) -> Error {
    Error::new(Kind::Timeout, format!("nameserver {server} did not answer {query} within {timeout:?}"))
}

fn failed(server: SocketAddr, query: &Query, transport: &str, error: NetError) -> Error {
    let kind = if matches!(error, NetError::Timeout) { Kind::Timeout } else { Kind::Transient };
    let reason = if kind == Kind::Timeout { "timed out".to_owned() } else { error.to_string() };
    Error::with_source(kind, format!("query {query} to nameserver {server} over {transport} failed: {reason}"), error)
}
