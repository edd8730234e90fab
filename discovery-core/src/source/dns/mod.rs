//! The DNS source: absolute names, complete answers, and a memory of what earlier answers showed.
//!
//! ```text
//! Plan ─▶ lookup          tries the candidates, remembers the winner
//!           ├ reading       what the name stands for, by the answer (pure)
//!           ├ addresses     A and AAAA, queried separately, published as they arrive
//!           └ services      SRV with its Additional section; missing addresses are looked up
//!               └ nameservers   one query: follows CNAMEs, chooses the nameserver, keeps the evidence
//!                   ├ gate          bounds the queries in flight; the others wait, by urgency
//!                   ├ message       what one response says (pure)
//!                   └ transport     UDP and TCP on hickory-net
//! ```
//!
//! The hosts file comes before the queries for a name as a host, and is read by this source because those for a Service
//! come before it. hickory is only the transport: its cache, search list, hosts file and retry policy are not used. Its
//! types stay in `message/wire`, `nameservers/transport` and `nameservers/tcp`.

mod addresses;
mod answer;
mod gate;
mod listed;
mod lookup;
mod message;
mod nameservers;
mod probe;
mod probing;
mod reading;
mod services;

use std::{net::SocketAddr, sync::Arc, time::Duration};

pub(crate) use self::probing::ProbingDns;
use self::{
    gate::{DEFAULT_IN_FLIGHT, Gate},
    lookup::DnsLookup,
    nameservers::{Nameservers, Sockets},
};
use super::{Lookup, Source, hosts::Hosts};
use crate::plan::{Families, Plan};

/// How long a UDP query waits before it is sent again: a lost packet costs 150 ms, not the seconds of a retry.
const RETRANSMIT_AFTER: Duration = Duration::from_millis(150);

/// How often a UDP query is sent at most, to one nameserver in one attempt.
const TRANSMISSIONS: u8 = 4;

/// The timeout of one query to one nameserver, unless `timeout` in resolv.conf or a setting overrides it. libc's
/// default of 5 s is for resolvers without retransmission.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a nameserver that does not answer is asked, unless `attempts` in resolv.conf or a setting overrides it;
/// the same as in libc.
const DEFAULT_ATTEMPTS: u32 = 2;

/// The settings of the DNS source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DnsConfig {
    pub(crate) nameservers: Vec<SocketAddr>,
    /// The timeout of one query to one nameserver.
    pub(crate) timeout: Option<Duration>,
    pub(crate) attempts: Option<u32>,
    /// How many queries to one nameserver are in flight at most.
    pub(crate) in_flight: Option<u32>,
    /// Use TCP only (`use-vc`).
    pub(crate) tcp: bool,
    pub(crate) families: Families,
    /// How long the addresses of one family are used while its queries fail.
    pub(crate) max_stale: Duration,
}

/// DNS as a source, for a known cluster domain.
#[derive(Clone, Debug)]
struct DnsSource {
    nameservers: Arc<Nameservers>,
    families: Families,
    max_stale: Duration,
    /// Read before a name is queried for as a host.
    hosts: Arc<Hosts>,
}

impl DnsSource {
    fn new(config: &DnsConfig, hosts: Arc<Hosts>) -> Self {
        let timeout = config.timeout.unwrap_or(DEFAULT_TIMEOUT);
        let attempts = config.attempts.unwrap_or(DEFAULT_ATTEMPTS);
        let in_flight = config.in_flight.and_then(|count| usize::try_from(count).ok()).unwrap_or(DEFAULT_IN_FLIGHT);
        let gate = |server: &SocketAddr| Gate::new(*server, in_flight, timeout);
        let gates = config.nameservers.iter().map(gate);
        Self {
            nameservers: Arc::new(Nameservers::new(Sockets::new(timeout), gates, attempts, config.tcp)),
            families: config.families,
            max_stale: config.max_stale,
            hosts,
        }
    }
}

impl Source for DnsSource {
    fn name(&self) -> &'static str {
        "dns"
    }

    fn open(&self, plan: &Plan) -> Box<dyn Lookup> {
        Box::new(DnsLookup::new(self.clone(), plan))
    }
}
