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
use crate::{Error, clock, name::Hostname, plan::Families, source::Evidence};

/// Targets whose addresses are missing are looked up at most so many at a time.
const PARALLEL: usize = 8;

/// The addresses of each target.
pub(super) type Targets = BTreeMap<Arc<str>, Vec<IpAddr>>;

/// What an SRV name has taught.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceMemory {
    large: bool,
    /// How to ask for all addresses of the Service.
    all: FamilyMemory,
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
        let (records, additionals, ttl, cut) = match asked.result {
            // What was cut off may be the one that is wanted.
            Ok(Outcome::Found { cut: true, .. }) if self.only.is_some() => return Services::Failed(self.cut_off()),
            Ok(Outcome::Found { records, additionals, ttl, cut }) => (records, additionals, ttl, cut),
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
        match self.missing(&records, &mut targets, cut, memory, evidence).await {
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
        self.only.is_none_or(|only| self.host(&srv.target) == Some(only.as_str()))
    }

    /// The name without `_port._protocol`.
    fn service(&self) -> &str {
        self.name.splitn(3, '.').nth(2).unwrap_or_default()
    }

    /// What a target is called below the Service.
    fn host<'t>(&self, target: &'t str) -> Option<&'t str> {
        target.strip_suffix(self.service())?.strip_suffix('.')
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
        cut: bool,
        memory: &mut ServiceMemory,
        evidence: &mut Vec<Evidence>,
    ) -> Result<Duration, Error> {
        let mut names: Vec<Arc<str>> = records.iter().map(|srv| srv.target.clone()).collect();
        names.sort();
        names.dedup();
        names.retain(|name| !targets.contains_key(name));
        let mut least = Duration::MAX;
        let mut of_service = Vec::new();
        if cut {
            (of_service, least) = self.all_at_once(memory, evidence).await?;
            self.give(&of_service, &mut names, targets);
        }
        let look_up = |name: Arc<str>| async move {
            let question =
                AddressQuestion { asker: self.asker, name: &name, families: self.families, max_stale: Duration::ZERO };
            let mut evidence = Vec::new();
            let answer = question.ask(&mut FamilyMemory::default(), &mut evidence, &mut |_, _| ()).await;
            (name, answer, evidence)
        };
        let mut lookups = stream::iter(names).map(look_up).buffer_unordered(PARALLEL);
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
        if cut {
            // All that the Service has belongs to a target, or one was cut off.
            let known: HashSet<IpAddr> = targets.values().flatten().copied().collect();
            if of_service.is_empty() || !of_service.iter().all(|ip| known.contains(ip)) {
                return Err(self.cut_off());
            }
        }
        Ok(least)
    }

    /// All addresses of the Service, with one question for each type instead of one for each pod.
    async fn all_at_once(
        &self,
        memory: &mut ServiceMemory,
        evidence: &mut Vec<Evidence>,
    ) -> Result<(Vec<IpAddr>, Duration), Error> {
        let question = AddressQuestion {
            asker: self.asker,
            name: self.service(),
            families: self.families,
            max_stale: Duration::ZERO,
        };
        match question.ask(&mut memory.all, evidence, &mut |_, _| ()).await {
            Addresses::Found { failed: Some(error), .. } => Err(error),
            Addresses::Found { ips, ttl, .. } => Ok((ips, ttl)),
            Addresses::NoData { .. } | Addresses::NxDomain { .. } => Ok((Vec::new(), Duration::MAX)),
            Addresses::Failed(error) => Err(error),
        }
    }

    /// Pods without a host name of their own are called after their addresses. The label is a hint only: a target gets
    /// an address that the Service has.
    fn give(&self, of_service: &[IpAddr], names: &mut Vec<Arc<str>>, targets: &mut Targets) {
        let by_label: BTreeMap<String, IpAddr> = of_service.iter().map(|ip| (ip_label(*ip), *ip)).collect();
        names.retain(|name| match self.host(name).and_then(|label| by_label.get(label)) {
            Some(ip) => {
                targets.insert(name.clone(), vec![*ip]);
                false
            }
            None => true,
        });
    }

    fn cut_off(&self) -> Error {
        let way = "name the port by its number, or switch EndpointSlices on";
        Error::transient(format!("more SRV records of {}. than fit into a message were truncated: {way}", self.name))
    }
}

/// What CoreDNS calls an endpoint that has no host name.
fn ip_label(ip: IpAddr) -> String {
    let mut label = ip.to_string().replace(['.', ':'], "-");
    if label.ends_with('-') {
        label.push('0');
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_without_a_host_name_are_called_after_their_address() {
        for (ip, label) in [("10.0.0.1", "10-0-0-1"), ("fd00::1", "fd00--1"), ("fd00::", "fd00--0")] {
            assert_eq!(ip_label(ip.parse().unwrap()), label);
        }
    }
}
