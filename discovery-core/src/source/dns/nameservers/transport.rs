//! The transport: UDP with retransmission, TCP for large responses, and both without EDNS for a nameserver that does
//! not understand it.

use std::time::Duration;

use hickory_net::{NetError, proto::op::DnsResponse};

use super::{Permit, Reply, Transport, Via, edns::Trial, tcp::TcpConnections, udp};
use crate::{
    Error, clock,
    error::Kind,
    source::{
        BoxFuture,
        dns::message::{Query, Response, UDP_PAYLOAD},
    },
};

/// Sends queries over real sockets.
#[derive(Debug)]
pub(in super::super) struct Sockets {
    /// The timeout of one query over TCP.
    timeout: Duration,
    /// How often a query over TCP is sent.
    attempts: u32,
    tcp: TcpConnections,
}

/// One response, and how it came.
struct Exchange {
    response: Response,
    large: bool,
    /// Whether the query that was answered had EDNS.
    edns: bool,
}

impl Sockets {
    pub(in super::super) fn new(timeout: Duration, attempts: u32) -> Self {
        Self { timeout, attempts, tcp: TcpConnections::default() }
    }

    /// RFC 6891 section 7: a nameserver that fails with EDNS is asked once more without it.
    async fn ask(&self, permit: &Permit, query: &Query, via: Via) -> Result<Reply, Error> {
        let used = permit.is_edns_used(clock::now());
        let mut exchange = self.exchange_once(permit, query, via, used).await?;
        let now = clock::now();
        if exchange.response.is_failure() {
            if exchange.edns && exchange.response.may_lack_edns() && permit.is_edns_doubtful(now) {
                exchange = self.without_edns(permit, query, via, exchange).await;
            }
        } else if exchange.edns {
            permit.on_edns_understood(now);
        } else if used {
            permit.on_edns_trial(Trial::Ignored, now);
        }
        Ok(Reply { response: exchange.response, large: exchange.large })
    }

    /// Asks without EDNS; without a usable answer, the `failure` counts.
    async fn without_edns(&self, permit: &Permit, query: &Query, via: Via, failure: Exchange) -> Exchange {
        let again = self.exchange_once(permit, query, via, false).await;
        let now = clock::now();
        match again {
            Ok(answer) if !answer.response.is_failure() => {
                let trial = if failure.response.rejects_edns() { Trial::Refused } else { Trial::Ignored };
                permit.on_edns_trial(trial, now);
                answer
            }
            Ok(_) | Err(_) => {
                permit.on_edns_trial(Trial::Failed, now);
                failure
            }
        }
    }

    async fn exchange_once(&self, permit: &Permit, query: &Query, via: Via, edns: bool) -> Result<Exchange, Error> {
        let mut edns = edns;
        if via == Via::Udp {
            let answer = udp::ask(permit, query, edns).await?;
            edns = answer.edns;
            if let Some(response) = answer.response {
                return Ok(Exchange { response, large: false, edns });
            }
        }
        let message = self.over_tcp(permit, query, edns).await?;
        let response = Response::from_wire(&message);
        if response.is_unusable() {
            let addr = permit.addr();
            return Err(Error::transient(format!("nameserver {addr} truncated its answer to {query} even over TCP")));
        }
        let large = via == Via::Udp || message.as_buffer().len() > UDP_PAYLOAD;
        Ok(Exchange { response, large, edns })
    }

    /// Sends the query up to `attempts` times, each time over a new connection if the one before failed.
    async fn over_tcp(&self, permit: &Permit, query: &Query, edns: bool) -> Result<DnsResponse, Error> {
        tokio::time::sleep_until(permit.starts().into()).await;
        let mut attempt = 1;
        loop {
            let began = clock::now();
            let timeout = self.timeout.min(permit.deadline().saturating_duration_since(began));
            permit.on_sent(began);
            let answer = self.tcp.ask(permit.addr(), query.to_request(edns)?, timeout);
            let result = tokio::time::timeout(timeout, answer).await.unwrap_or(Err(NetError::Timeout));
            let now = clock::now();
            let error = match result {
                Ok(answer) => {
                    permit.on_heard(query.is_for_cluster(), None, now);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            if attempt >= self.attempts || now >= permit.deadline() {
                permit.on_unanswered(now);
                return Err(failed(permit, query, timeout, error));
            }
            attempt += 1;
        }
    }
}

impl Transport for Sockets {
    fn exchange<'a>(&'a self, permit: &'a Permit, query: &'a Query, via: Via) -> BoxFuture<'a, Result<Reply, Error>> {
        Box::pin(self.ask(permit, query, via))
    }
}

fn failed(permit: &Permit, query: &Query, timeout: Duration, error: NetError) -> Error {
    let addr = permit.addr();
    if matches!(error, NetError::Timeout) {
        let what = format!("nameserver {addr} did not answer {query} over TCP within {timeout:?}");
        return Error::with_source(Kind::Timeout, what, error);
    }
    let what = format!("query {query} to nameserver {addr} over TCP failed: {error}");
    Error::with_source(Kind::Transient, what, error)
}
