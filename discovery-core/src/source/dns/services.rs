//! SRV of one name, with the addresses of its targets.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};

use super::{
    addresses::{AddressQuestion, Addresses, usable},
    ask::{Asker, Outcome},
    families::FamilyMemory,
    record::{Record, Rtype, Srv},
};
use crate::{
    Error,
    name::Hostname,
    plan::Families,
    source::{Evidence, clock},
};

/// Targets whose addresses are missing are looked up at most so many at a time.
const PARALLEL: usize = 8;

/// The addresses of each target.
pub(super) type Targets = BTreeMap<Arc<str>, Vec<IpAddr>>;

/// What an SRV name has taught.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceMemory {
    large: bool,
    /// The addresses that were looked up, and when.
    looked_up: BTreeMap<Arc<str>, (Vec<IpAddr>, Instant)>,
}

/// What is known of an SRV name after one round of questions.
#[derive(Debug)]
pub(super) enum Services {
    Found { records: Vec<Srv>, targets: Targets, ttl: Duration },
    NoData { ttl: Duration },
    NxDomain { ttl: Duration },
    Failed(Error),
}

/// Asks for the SRV records of one name.
#[derive(Debug)]
pub(super) struct ServiceQuestion<'a> {
    pub(super) asker: &'a Asker,
    pub(super) name: &'a str,
    /// Only the target with this first label.
    pub(super) only: Option<&'a Hostname>,
    pub(super) families: Families,
    pub(super) max_stale: Duration,
}

impl ServiceQuestion<'_> {
    /// One question where the server sends the addresses along, one more for each target without. A set
    /// with holes is never given out: when a target's addresses cannot be learned and none are remembered,
    /// the whole round has failed.
    pub(super) async fn ask(&self, memory: &mut ServiceMemory, evidence: &mut Vec<Evidence>) -> Services {
        let asked = self.asker.ask(self.name, Rtype::Srv, memory.large).await;
        memory.large = asked.result.is_ok() && asked.large;
        evidence.extend(asked.evidence);
        let (records, additionals, ttl) = match asked.result {
            Ok(Outcome::Found { records, additionals, ttl }) => (records, additionals, ttl),
            Ok(Outcome::NoData { ttl }) => return Services::NoData { ttl },
            Ok(Outcome::NxDomain { ttl }) => return Services::NxDomain { ttl },
            Err(error) => return Services::Failed(error),
        };
        let offered = self.offered(&records, evidence);
        let records: Vec<Srv> = offered.iter().filter(|srv| self.wants(srv)).cloned().collect();
        if records.is_empty() {
            // Others are there, only not the pod that was asked for: there is no such name.
            return if offered.is_empty() { Services::NoData { ttl } } else { Services::NxDomain { ttl } };
        }
        let (mut targets, glue_ttl) = self.glue(&records, &additionals);
        match self.missing(&records, &mut targets, memory, evidence).await {
            Ok(looked_up) => Services::Found { records, targets, ttl: ttl.min(glue_ttl).min(looked_up) },
            Err(error) => Services::Failed(error),
        }
    }

    /// The records that offer something: a port, at a host.
    fn offered(&self, records: &[Record], evidence: &mut Vec<Evidence>) -> Vec<Srv> {
        let mut offered = Vec::with_capacity(records.len());
        let mut seen = HashSet::with_capacity(records.len());
        for record in records {
            let super::record::Data::Srv(srv) = &record.data else { continue };
            if srv.target.is_empty() {
                evidence.push(Evidence::new(self.name, "target `.`: decidedly not available here (RFC 2782)"));
            } else if srv.port == 0 {
                evidence.push(Evidence::new(self.name, format!("left out {}: port 0", srv.target)));
            } else if seen.insert(srv) {
                offered.push(srv.clone());
            }
        }
        offered
    }

    fn wants(&self, srv: &Srv) -> bool {
        // Below the Service: the target of a ClusterIP is the Service itself, which may have the pod's name.
        let service = self.name.splitn(3, '.').nth(2).unwrap_or_default();
        let host = || srv.target.strip_suffix(service)?.strip_suffix('.');
        self.only.is_none_or(|only| host() == Some(only.as_str()))
    }

    /// The addresses that came along. Those of names that nobody asked for are ignored.
    fn glue(&self, records: &[Srv], additionals: &[Record]) -> (Targets, Duration) {
        let asked_for: HashSet<&str> = records.iter().map(|srv| &*srv.target).collect();
        let mut targets = Targets::new();
        let mut ttl = Duration::MAX;
        for record in additionals {
            let wanted = match record.data.ip() {
                Some(IpAddr::V4(ip)) => self.families.v4() && !ip.is_unspecified(),
                Some(IpAddr::V6(ip)) => self.families.v6() && !ip.is_unspecified(),
                None => false,
            };
            if wanted && asked_for.contains(&*record.name) {
                ttl = ttl.min(Duration::from_secs(record.ttl.into()));
                targets.entry(record.name.clone()).or_default().extend(usable(std::slice::from_ref(record)));
            }
        }
        (targets, ttl)
    }

    /// Looks up the targets that no address came along for. Returns the shortest TTL.
    async fn missing(
        &self,
        records: &[Srv],
        targets: &mut Targets,
        memory: &mut ServiceMemory,
        evidence: &mut Vec<Evidence>,
    ) -> Result<Duration, Error> {
        let mut names: Vec<Arc<str>> = records.iter().map(|srv| srv.target.clone()).collect();
        names.sort();
        names.dedup();
        names.retain(|name| !targets.contains_key(name));
        let look_up = |name: Arc<str>| async move {
            let question =
                AddressQuestion { asker: self.asker, name: &name, families: self.families, max_stale: Duration::ZERO };
            let mut evidence = Vec::new();
            let answer = question.ask(&mut FamilyMemory::default(), &mut evidence, &mut |_, _| ()).await;
            (name, answer, evidence)
        };
        let mut lookups = stream::iter(names).map(look_up).buffer_unordered(PARALLEL);
        let mut least = Duration::MAX;
        while let Some((name, answer, seen)) = lookups.next().await {
            evidence.extend(seen);
            match answer {
                Addresses::Found { ips, ttl, .. } => {
                    least = least.min(ttl);
                    memory.looked_up.insert(name.clone(), (ips.clone(), clock::now()));
                    targets.insert(name, ips);
                }
                Addresses::NoData { ttl } | Addresses::NxDomain { ttl } => least = least.min(ttl),
                Addresses::Failed(error) => match memory.looked_up.get(&name) {
                    Some((ips, at)) if clock::now().saturating_duration_since(*at) <= self.max_stale => {
                        targets.insert(name, ips.clone());
                    }
                    _ => return Err(error),
                },
            }
        }
        memory.looked_up.retain(|name, _| targets.contains_key(name));
        Ok(least)
    }
}
