//! The configured nameservers: asked one after another, as libc does, until one gives an answer that counts.

mod tcp;
#[cfg(test)]
mod tests;
mod transport;

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    answer::Answer,
    gate::{Gate, exhausted},
    message::{Query, Records, Resolution, Response, Rtype},
};
use crate::{
    Error, clock,
    error::Kind,
    source::{BoxFuture, Evidence},
};

pub(super) use transport::Sockets;

/// How long a nameserver moves to the end of the order after it did not answer.
const AVOID_FOR: Duration = Duration::from_secs(10);

/// A query that waited for less than this to be sent has no remark about it in its evidence.
const REMARKABLE: Duration = Duration::from_millis(10);

/// The nameservers in their configured order.
#[derive(Debug)]
pub(super) struct Nameservers {
    transport: Arc<dyn Transport>,
    servers: Vec<Server>,
    attempts: u32,
    tcp_only: bool,
}

/// How a query went, over as many responses as it took.
#[derive(Debug)]
pub(super) struct QueryOutcome {
    pub(super) rtype: Rtype,
    pub(super) result: Result<Answer<Records>, Error>,
    /// Whether a response was too large for UDP: use TCP next time.
    pub(super) large: bool,
    pub(super) evidence: Vec<Evidence>,
}

/// Sends one query to one nameserver and returns the complete response, within a bounded time.
trait Transport: Send + Sync + fmt::Debug + 'static {
    fn exchange<'a>(&'a self, server: SocketAddr, query: &'a Query, via: Via) -> BoxFuture<'a, Result<Reply, Error>>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Via {
    /// UDP, and then TCP if the response does not fit.
    Udp,
    /// TCP only: the response is known to be large, or `use-vc` is set.
    Tcp,
}

#[derive(Clone, Debug)]
struct Reply {
    response: Response,
    /// Whether the response is too large for UDP.
    large: bool,
}

#[derive(Debug)]
struct Server {
    addr: SocketAddr,
    gate: Gate,
    avoid_until: Mutex<Option<Instant>>,
}

/// Why a nameserver gave no response.
#[derive(Debug)]
enum Failure {
    /// The query was not sent: too many others were in flight. It waited long enough already.
    Queue(Error),
    /// No socket could be opened, for which the nameserver is not to blame.
    Socket(Error),
    Nameserver(Error),
}

impl Nameservers {
    /// The gates are those of the nameservers, in their order.
    pub(super) fn new(sockets: Sockets, gates: impl Iterator<Item = Gate>, attempts: u32, tcp_only: bool) -> Self {
        Self::with_transport(Arc::new(sockets), gates, attempts, tcp_only)
    }

    fn with_transport(
        transport: Arc<dyn Transport>,
        gates: impl Iterator<Item = Gate>,
        attempts: u32,
        tcp_only: bool,
    ) -> Self {
        let server = |gate: Gate| Server { addr: gate.server(), gate, avoid_until: Mutex::new(None) };
        Self { transport, servers: gates.map(server).collect(), attempts: attempts.max(1), tcp_only }
    }

    /// Queries one type of record of one name. If the name is an alias and the response lacks its target, queries the
    /// target too. `large` uses TCP from the start.
    pub(super) async fn query(&self, name: &str, rtype: Rtype, large: bool) -> QueryOutcome {
        let via = if large || self.tcp_only { Via::Tcp } else { Via::Udp };
        let mut evidence = Vec::new();
        let mut large = false;
        let mut query = Query::new(name, rtype);
        let result = loop {
            let began = clock::now();
            let mut waited = Duration::ZERO;
            let reply = self.exchange(&query, via, &mut waited).await;
            let took = clock::now().saturating_duration_since(began);
            let resolution = reply.and_then(|reply| {
                large |= reply.large;
                reply.response.read(&query)
            });
            let remark = if waited >= REMARKABLE { format!("; waited {waited:.1?} to be sent") } else { String::new() };
            evidence.push(Evidence::new(query.to_string(), describe(&resolution) + &remark).taking(took));
            match resolution {
                Ok(Resolution::Alias(target)) => query = target,
                Ok(Resolution::Answer(answer)) => break Ok(answer),
                Ok(Resolution::OtherName { ttl, .. }) => break Ok(Answer::NoData { ttl }),
                Err(error) => break Err(error),
            }
        };
        QueryOutcome { rtype, result, large, evidence }
    }

    /// Asks the nameservers until one gives an answer that counts.
    ///
    /// A negative answer counts from the first nameserver, or from one that is authoritative for the cluster zone. The
    /// node's resolver does not know the cluster's names and would deny them all whenever the first nameserver is slow,
    /// not ready, or just restarted. A nameserver that answers with a failure is not asked again. One that does not
    /// answer is asked up to `attempts` times. Adds the time that the query waits for its places to `waited`.
    async fn exchange(&self, query: &Query, via: Via, waited: &mut Duration) -> Result<Reply, Error> {
        let mut failures: Vec<Error> = Vec::new();
        let mut pending: Vec<usize> = self.order(clock::now());
        for _ in 0..self.attempts {
            for at in std::mem::take(&mut pending) {
                let Some(server) = self.servers.get(at) else { continue };
                match self.ask(server, query, via, waited).await {
                    Err(Failure::Queue(error)) => failures.push(error),
                    Err(Failure::Socket(error)) => {
                        pending.push(at);
                        failures.push(error);
                    }
                    Err(Failure::Nameserver(error)) => {
                        server.avoid_until(clock::now().checked_add(AVOID_FOR));
                        pending.push(at);
                        failures.push(error);
                    }
                    Ok(reply) => {
                        server.avoid_until(None);
                        match reply.response.check(query, server.addr, at > 0) {
                            Ok(()) => return Ok(reply),
                            Err(error) => failures.push(error),
                        }
                    }
                }
            }
        }
        Err(self.failed(query, failures))
    }

    /// Waits for a place of the nameserver, and sends the query.
    async fn ask(&self, server: &Server, query: &Query, via: Via, waited: &mut Duration) -> Result<Reply, Failure> {
        let place = server.gate.enter(query, waited).await.map_err(Failure::Queue)?;
        let reply = self.transport.exchange(server.addr, query, via).await;
        drop(place);
        reply.map_err(|error| match exhausted(&error) {
            Some(error) => Failure::Socket(error),
            None => Failure::Nameserver(error),
        })
    }

    /// The order to ask in: as configured, but with nameservers that did not answer recently at the end.
    fn order(&self, now: Instant) -> Vec<usize> {
        let (avoided, mut order): (Vec<usize>, Vec<usize>) =
            (0..self.servers.len()).partition(|at| self.servers.get(*at).is_some_and(|s| s.is_avoided(now)));
        order.extend(avoided);
        order
    }

    fn failed(&self, query: &Query, failures: Vec<Error>) -> Error {
        if self.servers.is_empty() {
            return Error::config(
                "no nameserver configured: add a `nameserver` line to resolv.conf, or set DISCOVERY_NAMESERVERS",
            );
        }
        let timeout = !failures.is_empty() && failures.iter().all(Error::is_timeout);
        let kind = if timeout { Kind::Timeout } else { Kind::Transient };
        Error::joined(kind, format!("no usable answer to {query}"), failures)
    }
}

impl Server {
    fn is_avoided(&self, now: Instant) -> bool {
        self.avoid_until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| now < until)
    }

    fn avoid_until(&self, until: Option<Instant>) {
        *self.avoid_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// The text of an explanation.
fn describe(resolution: &Result<Resolution, Error>) -> String {
    match resolution {
        Ok(Resolution::Answer(Answer::Found { value, ttl })) => match value.aliases().last() {
            Some(target) => format!("{value}, TTL {}s, alias of {target}.", ttl.as_secs()),
            None => format!("{value}, TTL {}s", ttl.as_secs()),
        },
        Ok(Resolution::Answer(Answer::NoData { ttl })) => format!("no such records (NODATA), TTL {}s", ttl.as_secs()),
        Ok(Resolution::Answer(Answer::NxDomain { ttl })) => format!("no such name (NXDOMAIN), TTL {}s", ttl.as_secs()),
        Ok(Resolution::OtherName { owner, ttl }) => format!(
            "no such records (NODATA), TTL {}s: the response has records of {owner}., another name; a `rewrite` in the \
             Corefile needs `answer auto`",
            ttl.as_secs()
        ),
        Ok(Resolution::Alias(target)) => format!("an alias; next query: {target}"),
        Err(error) => error.to_string(),
    }
}
