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
//!                   ├ server        whether a nameserver answers, how fast, and how often it is asked (pure inside)
//!                   └ transport     UDP, and TCP on hickory-net
//! ```
//!
//! The hosts file comes before the queries for a name as a host, and is read by this source because those for a Service
//! come before it. hickory encodes and decodes messages and drives TCP: its cache, search list, hosts file and retry
//! policy are not used. Its types stay in `message/wire` and in `nameservers/{transport,udp,tcp}`.

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
    gate::DEFAULT_IN_FLIGHT,
    lookup::DnsLookup,
    nameservers::{Nameservers, Zone},
};
use super::{AddressScope, Lookup, Source, hosts::Hosts};
use crate::plan::{Families, Plan};

/// The settings of the DNS source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DnsConfig {
    pub(crate) nameservers: Vec<SocketAddr>,
    /// How long one nameserver may take for each attempt; with `attempts`, as in `resolv.conf`.
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
    /// Whether the nameservers run on this machine, and are not those of a `resolv.conf`.
    is_here: bool,
    /// Read before a name is queried for as a host.
    hosts: Arc<Hosts>,
}

impl DnsSource {
    fn new(config: &DnsConfig, zone: Zone, hosts: Arc<Hosts>) -> Self {
        let (timeout, attempts) = (config.timeout, config.attempts);
        let in_flight = config.in_flight.and_then(|count| usize::try_from(count).ok()).unwrap_or(DEFAULT_IN_FLIGHT);
        Self {
            nameservers: Arc::new(Nameservers::new(
                &config.nameservers,
                timeout,
                attempts,
                in_flight,
                config.tcp,
                zone,
            )),
            families: config.families,
            max_stale: config.max_stale,
            is_here: are_here(&config.nameservers),
            hosts,
        }
    }
}

impl DnsSource {
    /// Which addresses the answer for a name may have. `is_alias` tells whether a CNAME leads out of the cluster's
    /// zone.
    fn address_scope(&self, in_cluster: bool, is_alias: bool) -> AddressScope {
        let cluster = AddressScope::CLUSTER.accepting_loopback_if(self.is_here);
        match (in_cluster, is_alias) {
            (true, false) => cluster,
            (true, true) => cluster.and(AddressScope::REMOTE),
            (false, _) => AddressScope::REMOTE,
        }
    }
}

/// Whether all nameservers have loopback addresses and another port than 53, so that only a setting or a test can name
/// them: the kubelet and resolv.conf(5) know no port. What they say about the cluster is said by this machine, which
/// may run the pods, too. A local resolver on port 53 passes on what others say.
fn are_here(nameservers: &[SocketAddr]) -> bool {
    const DNS_PORT: u16 = 53;
    let is_here = |server: &SocketAddr| server.ip().is_loopback() && server.port() != DNS_PORT;
    !nameservers.is_empty() && nameservers.iter().all(is_here)
}

impl Source for DnsSource {
    fn name(&self) -> &'static str {
        "dns"
    }

    fn open(&self, plan: &Plan) -> Box<dyn Lookup> {
        Box::new(DnsLookup::new(self.clone(), plan))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_nameservers_that_resolv_conf_cannot_name_are_here() {
        for (servers, expected) in [
            (&["127.0.0.1:5353", "[::1]:40000"][..], true),
            (&[], false),
            (&["127.0.0.53:53"], false),
            (&["127.0.0.1:5353", "10.96.0.10:53"], false),
            (&["127.0.0.1:5353", "127.0.0.1:53"], false),
            (&["10.96.0.10:5353"], false),
        ] {
            let parsed: Vec<SocketAddr> = servers.iter().map(|server| server.parse().unwrap()).collect();
            assert_eq!(are_here(&parsed), expected, "{servers:?}");
        }
    }
}
