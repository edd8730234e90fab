//! The DNS source: absolute questions, complete answers, and a memory of what each target has taught.
//!
//! ```text
//! Plan ─▶ lookup      walks the candidates, remembers the winner
//!           ├ addresses   A and AAAA, asked apart, published as they come
//!           └ services    SRV with its Additional section; missing addresses are looked up
//!               └ ask         one question: follows CNAMEs, keeps the evidence
//!                   └ answer      what one response says (pure)
//!                   └ servers     which nameserver to ask and whom to believe
//!                       └ transport   UDP and TCP on hickory-net, hidden behind `exchange`
//! ```
//!
//! hickory is a transport here and nothing else: no cache, no search list, no hosts file, no retry policy of
//! its own. Its types stay in `wire`, `transport` and `tcp`.

mod addresses;
mod answer;
mod ask;
mod exchange;
mod families;
mod lookup;
mod probing;
mod record;
mod servers;
mod services;
mod tcp;
mod transport;
mod wire;

use std::{net::SocketAddr, sync::Arc, time::Duration};

pub(crate) use self::probing::ProbingDns;
use self::{ask::Asker, lookup::DnsLookup, servers::Servers, transport::Sockets};
use super::{Lookup, Source};
use crate::{Error, name::ClusterDomain, plan::Families, plan::Plan};

/// A UDP question is sent again after so long without an answer: one lost packet costs 150 ms, not the
/// seconds of a retry.
const RETRANSMIT_AFTER: Duration = Duration::from_millis(150);

/// How often a UDP question is sent at most, to one nameserver in one attempt.
const TRANSMISSIONS: u8 = 4;

/// How long one nameserver has for one question, unless `timeout` in resolv.conf or a setting says
/// otherwise. libc's 5 seconds are for networks without retransmission.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a silent nameserver is asked, unless `attempts` in resolv.conf or a setting says otherwise;
/// as in libc.
pub(crate) const DEFAULT_ATTEMPTS: u32 = 2;

/// What the DNS source needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DnsConfig {
    pub(crate) nameservers: Vec<SocketAddr>,
    /// For one question to one nameserver.
    pub(crate) timeout: Duration,
    pub(crate) attempts: u32,
    /// Ask over TCP only (`use-vc`).
    pub(crate) tcp: bool,
    pub(crate) families: Families,
    /// How long addresses of one family outlive failures of its questions.
    pub(crate) max_stale: Duration,
}

/// DNS as a source.
#[derive(Clone, Debug)]
pub(crate) struct DnsSource {
    asker: Arc<Asker>,
    families: Families,
    max_stale: Duration,
}

impl DnsSource {
    pub(crate) fn new(config: &DnsConfig) -> Self {
        let sockets = Arc::new(Sockets::new(config.timeout));
        let servers = Servers::new(sockets, &config.nameservers, config.attempts);
        Self {
            asker: Arc::new(Asker::new(servers, config.tcp)),
            families: config.families,
            max_stale: config.max_stale,
        }
    }

    /// Asks whether the DNS is that of a Kubernetes cluster with the usual domain: the schema's own TXT
    /// record (kubernetes/dns specification 1.1.0, section 2.2).
    pub(crate) async fn probe_cluster_domain(&self) -> (Result<Option<ClusterDomain>, Error>, super::Evidence) {
        self.asker.probe_cluster_domain().await
    }
}

impl Source for DnsSource {
    fn name(&self) -> &'static str {
        "dns"
    }

    fn open(&self, plan: &Plan) -> Box<dyn Lookup> {
        Box::new(DnsLookup::new(self.asker.clone(), plan, self.families, self.max_stale))
    }
}

#[cfg(test)]
mod tests;
