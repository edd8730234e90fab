//! The configured nameservers: asked one after another, as libc does, until one gives an answer that counts.
//!
//! ```text
//! question       one question to all nameservers: their order, and which answer counts
//!   ├ server       one nameserver, shared by all questions
//!   │   ├ health       does it answer, and who may send packets to it (pure)
//!   │   ├ round_trip   when a packet is sent again (pure)
//!   │   ├ edns         does it understand EDNS (pure)
//!   │   └ zone         has it proved that it serves the cluster's zone (pure)
//!   └ transport    one question to one nameserver
//!       ├ udp          its packets, and the responses to any of them
//!       └ tcp          pooled connections
//! ```

mod edns;
mod health;
mod question;
mod round_trip;
mod server;
mod tcp;
#[cfg(test)]
mod tests;
mod transport;
mod udp;
mod zone;

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    answer::Answer,
    gate::Gate,
    message::{Query, Records, Resolution, Response, Rtype},
};
use crate::{
    Error, clock,
    error::Kind,
    source::{BoxFuture, Evidence},
};

pub(super) use self::zone::Zone;
use self::{
    question::{Limits, Question},
    server::{Permit, Server},
    transport::Sockets,
};

/// How long a question takes at most: as long as libc waits for the answer to one packet.
const WHOLE: Duration = Duration::from_secs(5);

/// `timeout` and `attempts` of libc, where only the other one is set.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_ATTEMPTS: u32 = 2;

/// How long a nameserver may take before the next one is asked, too. The first one still has time to answer.
const NEXT_AFTER: Duration = Duration::from_secs(1);

/// How often a question is sent to one nameserver over UDP: twice for each attempt, and this often at least, so that
/// three lost packets are survived. libc sends it twice.
const PACKETS: u32 = 4;

/// A query that waited for less than this to be sent has no remark about it in its evidence.
const REMARKABLE: Duration = Duration::from_millis(10);

/// The nameservers in their configured order.
#[derive(Debug)]
pub(super) struct Nameservers {
    transport: Arc<dyn Transport>,
    servers: Vec<Arc<Server>>,
    limits: Limits,
    tcp_only: bool,
    /// The cluster's zone: below it, a later nameserver has to prove itself.
    zone: Zone,
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

/// Sends one query to the nameserver of the permit and returns the complete response, or an error at the permit's
/// deadline at the latest. Cancel-safe: dropping the future closes its sockets.
trait Transport: Send + Sync + fmt::Debug + 'static {
    fn exchange<'a>(&'a self, permit: &'a Permit, query: &'a Query, via: Via) -> BoxFuture<'a, Result<Reply, Error>>;
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

impl Nameservers {
    /// `timeout` and `attempts` are those of `resolv.conf`, or of a setting. `in_flight` bounds the queries to one
    /// nameserver.
    pub(super) fn new(
        addrs: &[SocketAddr],
        timeout: Option<Duration>,
        attempts: Option<u32>,
        in_flight: usize,
        tcp_only: bool,
        zone: Zone,
    ) -> Self {
        let limits = Limits::new(timeout, attempts, addrs.len());
        let each = timeout.unwrap_or(limits.per_server / attempts.unwrap_or(DEFAULT_ATTEMPTS).max(1));
        let sockets = Sockets::new(each, attempts.unwrap_or(DEFAULT_ATTEMPTS));
        let gates = addrs.iter().map(|addr| Gate::new(*addr, in_flight, limits.per_server));
        Self::with_transport(Arc::new(sockets), gates, limits, tcp_only, zone)
    }

    fn with_transport(
        transport: Arc<dyn Transport>,
        gates: impl Iterator<Item = Gate>,
        limits: Limits,
        tcp_only: bool,
        zone: Zone,
    ) -> Self {
        Self { transport, servers: gates.map(|gate| Arc::new(Server::new(gate))).collect(), limits, tcp_only, zone }
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
    /// not ready, or just restarted. For the name of a host, it counts once the earlier nameservers are dead. Below the
    /// cluster's domain, records count in the same way: a captive portal or a wildcard answers every name, and only a
    /// nameserver that has proved the zone is believed. Raises `waited` to the longest time that the query waits for a
    /// place.
    async fn exchange(&self, query: &Query, via: Via, waited: &mut Duration) -> Result<Reply, Error> {
        let answer = Question::new(self, query, via, waited).answer().await;
        answer.map_err(|failures| self.failed(query, failures))
    }

    /// Notes whether a later nameserver serves the cluster's zone, which its response to `query` may show. If the
    /// response has records of the zone and nothing is known about the nameserver, asks it for the zone's own record
    /// first.
    async fn look_for_proof(&self, permit: &Permit, query: &Query, response: &Response) {
        let server = permit.server();
        if !self.zone.contains(query) || response.is_failure() {
            return;
        }
        if self.zone.is_proved_by(response) {
            return server.on_zone_answer(true, clock::now());
        }
        if !response.has_records(query) || server.is_zone_proved(clock::now()).is_some() {
            return;
        }
        let via = if self.tcp_only { Via::Tcp } else { Via::Udp };
        // Without a response, nothing is known: the next question asks again.
        if let Ok(reply) = self.transport.exchange(permit, &self.zone.proof(), via).await {
            server.on_zone_answer(self.zone.is_proved_by(&reply.response), clock::now());
        }
    }

    /// The order to ask in: as configured, but with nameservers that do not answer at the end.
    fn order(&self, now: Instant) -> VecDeque<usize> {
        let (avoided, order): (Vec<usize>, Vec<usize>) =
            (0..self.servers.len()).partition(|at| self.servers.get(*at).is_some_and(|s| s.is_avoided(now)));
        order.into_iter().chain(avoided).collect()
    }

    /// Sends the query to a nameserver that does not answer, in a task of its own, if a probe is due: no question waits
    /// for it.
    fn probe(&self, at: usize, query: &Query, via: Via, now: Instant) {
        let Some(server) = self.servers.get(at) else { return };
        let Some(permit) = server.begin_probe(now, now + self.limits.per_server) else { return };
        let (transport, query) = (self.transport.clone(), query.clone());
        let probe = async move {
            // Its outcome is what the permit notes: whether the nameserver was heard.
            if let Ok(_place) = permit.server().gate().enter(&query, &mut Duration::default()).await {
                let _ = transport.exchange(&permit, &query, via).await;
            }
        };
        server.probe_with(tokio::spawn(probe).abort_handle());
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

impl Limits {
    /// Without settings, all nameservers together have 5 s. With `timeout` or `attempts`, each nameserver has their
    /// product, and the next one is asked after `timeout`, as in libc.
    fn new(timeout: Option<Duration>, attempts: Option<u32>, servers: usize) -> Self {
        let next_after = timeout.unwrap_or(NEXT_AFTER);
        let packets = PACKETS.max(attempts.unwrap_or(DEFAULT_ATTEMPTS).saturating_mul(2));
        if timeout.is_none() && attempts.is_none() {
            return Self { per_server: WHOLE, next_after, whole: WHOLE, packets };
        }
        let attempts = attempts.unwrap_or(DEFAULT_ATTEMPTS).max(1);
        let per_server = timeout.unwrap_or(DEFAULT_TIMEOUT).saturating_mul(attempts);
        let others = u32::try_from(servers.saturating_sub(1)).unwrap_or(u32::MAX);
        let whole = next_after.saturating_mul(others).saturating_add(per_server);
        Self { per_server, next_after, whole, packets }
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
