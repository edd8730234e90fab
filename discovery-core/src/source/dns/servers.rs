//! Several nameservers, asked one after another as libc does.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    exchange::{Exchange, Exchanged, Via},
    record::{Query, Rcode},
};
use crate::{Error, clock, error::Kind};

/// A nameserver that did not answer is asked last for so long.
const AVOID_FOR: Duration = Duration::from_secs(10);

/// The nameservers in their order, and which of them lately did not answer.
#[derive(Debug)]
pub(crate) struct Servers {
    exchange: Arc<dyn Exchange>,
    servers: Vec<Server>,
    attempts: u32,
}

#[derive(Debug)]
struct Server {
    addr: SocketAddr,
    avoid_until: Mutex<Option<Instant>>,
}

impl Server {
    fn avoided(&self, now: Instant) -> bool {
        self.avoid_until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| now < until)
    }

    fn mark(&self, until: Option<Instant>) {
        *self.avoid_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

impl Servers {
    pub(crate) fn new(exchange: Arc<dyn Exchange>, addrs: &[SocketAddr], attempts: u32) -> Self {
        let server = |addr: &SocketAddr| Server { addr: *addr, avoid_until: Mutex::new(None) };
        Self { exchange, servers: addrs.iter().map(server).collect(), attempts: attempts.max(1) }
    }

    /// Asks until one nameserver gives a definitive answer.
    ///
    /// A "no" counts from the first nameserver only, or from one that serves the cluster's zone: the resolver of
    /// the node knows nothing of the cluster's names, and would deny them all whenever the first nameserver is
    /// slow, not ready, or just back. A nameserver that answers with a failure is not asked twice; one that is
    /// silent is, `attempts` times in all.
    pub(crate) async fn ask(&self, query: &Query, via: Via) -> Result<Exchanged, Error> {
        let mut failures: Vec<Error> = Vec::new();
        let mut silent: Vec<usize> = self.order(clock::now());
        for _ in 0..self.attempts {
            for at in std::mem::take(&mut silent) {
                let Some(server) = self.servers.get(at) else { continue };
                match self.exchange.exchange(server.addr, query, via).await {
                    Err(error) => {
                        server.mark(clock::now().checked_add(AVOID_FOR));
                        silent.push(at);
                        failures.push(error);
                    }
                    Ok(answer) => {
                        server.mark(None);
                        match Self::judge(at, query, &answer) {
                            Ok(()) => return Ok(answer),
                            Err(error) => failures.push(error),
                        }
                    }
                }
            }
        }
        Err(self.failed(query, failures))
    }

    /// Of a later nameserver what it has counts, and what it denies as the server of the cluster's zone. Had one
    /// before it an answer that counts, this one would not have been asked.
    fn judge(at: usize, query: &Query, answer: &Exchanged) -> Result<(), Error> {
        let from = answer.from;
        match &answer.response.rcode {
            Rcode::Failure(code) => Err(Error::transient(format!("{from} answered {code} to {query}"))),
            Rcode::NoError if answer.response.answers.iter().any(|r| r.data.is(query.rtype)) => Ok(()),
            _ if at > 0 && !answer.response.is_of_clusters_zone(query) => {
                Err(Error::transient(format!("{from} denies {query}, but no nameserver before it gave an answer")))
            }
            _ => Ok(()),
        }
    }

    /// Those that answer first, in the order given; those that lately did not, last.
    fn order(&self, now: Instant) -> Vec<usize> {
        let (avoided, mut order): (Vec<usize>, Vec<usize>) =
            (0..self.servers.len()).partition(|at| self.servers.get(*at).is_some_and(|s| s.avoided(now)));
        order.extend(avoided);
        order
    }

    fn failed(&self, query: &Query, failures: Vec<Error>) -> Error {
        if self.servers.is_empty() {
            return Error::config(
                "no nameserver is known: give `nameserver` lines in resolv.conf, or set DISCOVERY_NAMESERVERS",
            );
        }
        let timeout = !failures.is_empty() && failures.iter().all(Error::is_timeout);
        let kind = if timeout { Kind::Timeout } else { Kind::Transient };
        Error::joined(kind, format!("{query} got no answer"), failures)
    }
}
