//! One question, through as many responses as it takes.

use std::{sync::Arc, time::Duration};

use super::{
    answer::{self, Answer},
    exchange::Via,
    record::{Data, Query, Record, Rtype},
    servers::Servers,
};
use crate::{Error, clock, name::ClusterDomain, source::Evidence};

/// Asks questions and follows aliases.
#[derive(Debug)]
pub(super) struct Asker {
    servers: Servers,
    tcp_only: bool,
}

/// What came of one question.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) rtype: Rtype,
    pub(super) result: Result<Outcome, Error>,
    /// The answer would not fit in a UDP packet.
    pub(super) large: bool,
    pub(super) evidence: Vec<Evidence>,
}

/// An answer without loose ends.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// `cut`: there may be more of both.
    Found {
        records: Vec<Record>,
        additionals: Vec<Record>,
        ttl: Duration,
        cut: bool,
    },
    NoData {
        ttl: Duration,
    },
    NxDomain {
        ttl: Duration,
    },
}

impl Asker {
    pub(super) fn new(servers: Servers, tcp_only: bool) -> Self {
        Self { servers, tcp_only }
    }

    /// Asks for one name and type; an alias whose target the response leaves out is asked for in turn.
    pub(super) async fn ask(&self, name: &str, rtype: Rtype, large: bool) -> Asked {
        let mut asked = Asked { rtype, result: Err(Error::transient("not asked")), large: false, evidence: Vec::new() };
        let mut query = Query::new(name, rtype);
        let mut longest = Duration::MAX;
        let mut cnames = 0;
        loop {
            let via = if large || self.tcp_only { Via::Tcp } else { Via::Udp };
            let begun = clock::now();
            let exchanged = self.servers.ask(&query, via).await;
            let took = clock::now().saturating_duration_since(begun);
            let read = match &exchanged {
                Ok(exchanged) => answer::read(&query, &exchanged.response, cnames),
                Err(error) => Err(error.clone()),
            };
            asked.evidence.push(Evidence::new(query.to_string(), told(&read)).taking(took));
            asked.large |= exchanged.as_ref().is_ok_and(|e| e.large);
            asked.result = match read {
                Ok(Answer::Chase { name, ttl, cnames: so_far }) => {
                    longest = longest.min(ttl);
                    cnames = so_far;
                    query = Query::new(name, rtype);
                    continue;
                }
                Ok(Answer::Found { records, ttl }) => {
                    let (additionals, cut) =
                        exchanged.map(|e| (e.response.additionals, e.response.cut)).unwrap_or_default();
                    Ok(Outcome::Found { records, additionals, ttl: ttl.min(longest), cut })
                }
                Ok(Answer::NoData { ttl }) => Ok(Outcome::NoData { ttl: ttl.min(longest) }),
                Ok(Answer::NxDomain { ttl }) => Ok(Outcome::NxDomain { ttl: ttl.min(longest) }),
                Err(error) => Err(error),
            };
            return asked;
        }
    }

    pub(super) async fn probe_cluster_domain(&self) -> (Result<Option<ClusterDomain>, Error>, Evidence) {
        const USUAL: &str = "cluster.local";
        let asked = self.ask(&format!("dns-version.{USUAL}"), Rtype::Txt, false).await;
        let evidence = asked.evidence.into_iter().next().unwrap_or_else(|| Evidence::new("dns-version", "not asked"));
        let found = asked.result.map(|outcome| matches!(outcome, Outcome::Found { .. }));
        (found.map(|found| ClusterDomain::new(USUAL).ok().filter(|_| found)), evidence)
    }
}

fn told(read: &Result<Answer, Error>) -> String {
    match read {
        Ok(Answer::Found { records, ttl }) => format!("{}, TTL {}s", listed(records), ttl.as_secs()),
        Ok(Answer::NoData { ttl }) => format!("no such records (NODATA), TTL {}s", ttl.as_secs()),
        Ok(Answer::NxDomain { ttl }) => format!("no such name (NXDOMAIN), TTL {}s", ttl.as_secs()),
        Ok(Answer::Chase { name, .. }) => format!("an alias of {name}."),
        Err(error) => error.to_string(),
    }
}

/// The first few records; an explanation is read by people.
fn listed(records: &[Record]) -> String {
    const SHOWN: usize = 4;
    let show = |record: &Record| match &record.data {
        Data::A(ip) => ip.to_string(),
        Data::Aaaa(ip) => ip.to_string(),
        Data::Srv(srv) => format!("{}:{}", srv.target, srv.port),
        Data::Txt(text) => format!("{text:?}"),
        Data::Cname(name) => Arc::clone(name).to_string(),
        Data::Soa(_) | Data::Other => "?".to_owned(),
    };
    let shown: Vec<String> = records.iter().take(SHOWN).map(show).collect();
    match records.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
