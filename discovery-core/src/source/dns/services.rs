//! The SRV records of one name, with the addresses of their targets.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};

use super::{
    DnsSource,
    addresses::{AddressMemory, endpoints},
    answer::Answer,
    message::{Records, Rtype, Srv},
};
use crate::{
    Error, clock,
    endpoint::{Endpoint, Identity},
    name::Hostname,
    source::Evidence,
};

/// How many targets without addresses are looked up at a time.
const PARALLEL: usize = 8;

/// The addresses of each target.
type Targets = BTreeMap<Arc<str>, Vec<IpAddr>>;

/// What earlier rounds showed about one SRV name.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceMemory {
    /// Whether the last response was too large for UDP.
    large: bool,
    /// For the query for all addresses of the Service.
    all: AddressMemory,
    /// The addresses that were looked up, and when.
    looked_up: BTreeMap<Arc<str>, (Vec<IpAddr>, Instant)>,
}

impl ServiceMemory {
    fn last_known(&self, target: &str, max_stale: Duration) -> Option<&[IpAddr]> {
        let (ips, at) = self.looked_up.get(target)?;
        (clock::now().saturating_duration_since(*at) <= max_stale).then_some(ips)
    }
}

impl DnsSource {
    /// Queries the SRV records of `name`; `only` keeps the target with this first label.
    ///
    /// One query is enough if the server sends the addresses along; each target without addresses costs one more. The
    /// set is never incomplete: if the addresses of a target can be neither looked up nor remembered, the round fails.
    pub(super) async fn services(
        &self,
        name: &str,
        only: Option<&Hostname>,
        in_cluster: bool,
        memory: &mut ServiceMemory,
        evidence: &mut Vec<Evidence>,
    ) -> Result<Answer<Vec<Endpoint>>, Error> {
        ServiceQuery { source: self, name, only, in_cluster }.run(memory, evidence).await
    }
}

#[derive(Debug)]
struct ServiceQuery<'a> {
    source: &'a DnsSource,
    name: &'a str,
    only: Option<&'a Hostname>,
    in_cluster: bool,
}

impl ServiceQuery<'_> {
    async fn run(
        &self,
        memory: &mut ServiceMemory,
        evidence: &mut Vec<Evidence>,
    ) -> Result<Answer<Vec<Endpoint>>, Error> {
        let outcome = self.source.nameservers.query(self.name, Rtype::Srv, memory.large).await;
        memory.large = outcome.result.is_ok() && outcome.large;
        evidence.extend(outcome.evidence);
        let (records, ttl) = match outcome.result?.into_found() {
            Ok(found) => found,
            Err(negative) => return Ok(negative),
        };
        // The wanted record may be one of the missing ones.
        if records.is_truncated() && self.only.is_some() {
            return Err(self.truncated());
        }
        let offered = self.offered(&records, evidence);
        let wanted: Vec<Srv> = offered.iter().filter(|srv| self.wants(srv)).cloned().collect();
        if wanted.is_empty() {
            // If there are records, but not for the pod in question, the pod does not exist.
            return Ok(if offered.is_empty() { Answer::NoData { ttl } } else { Answer::NxDomain { ttl } });
        }
        let (mut targets, glue_ttl) = self.glue(&wanted, &records);
        let lookup_ttl = self.complete(&wanted, &mut targets, records.is_truncated(), memory, evidence).await?;
        let value = self.endpoints(&wanted, &targets);
        let ttl = ttl.min(glue_ttl).min(lookup_ttl);
        Ok(if value.is_empty() { Answer::NoData { ttl } } else { Answer::Found { value, ttl } })
    }

    /// Returns the usable records: those with a port and a target.
    fn offered(&self, records: &Records, evidence: &mut Vec<Evidence>) -> Vec<Srv> {
        let mut offered = Vec::new();
        let mut seen = HashSet::new();
        for srv in records.services() {
            if srv.target.is_empty() {
                evidence.push(Evidence::new(self.name, "target `.`: the service is not available here (RFC 2782)"));
            } else if srv.port == 0 {
                evidence.push(Evidence::new(self.name, format!("ignored {}: port 0", srv.target)));
            } else if seen.insert(srv) {
                offered.push(srv.clone());
            }
        }
        offered
    }

    fn wants(&self, srv: &Srv) -> bool {
        // Only a target below the Service is a pod. The target of a ClusterIP Service is the Service itself, whose name
        // may be that of the pod.
        self.only.is_none_or(|only| self.label(&srv.target) == Some(only.as_str()))
    }

    /// The name without `_port._protocol`.
    fn service(&self) -> &str {
        self.name.splitn(3, '.').nth(2).unwrap_or_default()
    }

    /// Returns the part of the target's name that is below the Service.
    fn label<'t>(&self, target: &'t str) -> Option<&'t str> {
        target.strip_suffix(self.service())?.strip_suffix('.')
    }

    /// Returns the addresses in the Additional section and their shortest TTL. Addresses of other names are ignored.
    fn glue(&self, wanted: &[Srv], records: &Records) -> (Targets, Duration) {
        let names: HashSet<&str> = wanted.iter().map(|srv| &*srv.target).collect();
        let families = self.source.families;
        let mut targets = Targets::new();
        let mut shortest = Duration::MAX;
        for (name, ip, ttl) in records.glue() {
            let in_family = if ip.is_ipv4() { families.v4() } else { families.v6() };
            if in_family && names.contains(&**name) {
                shortest = shortest.min(ttl);
                targets.entry(name.clone()).or_default().push(ip);
            }
        }
        (targets, shortest)
    }

    /// Looks up the targets without addresses. Returns the shortest TTL.
    async fn complete(
        &self,
        wanted: &[Srv],
        targets: &mut Targets,
        truncated: bool,
        memory: &mut ServiceMemory,
        evidence: &mut Vec<Evidence>,
    ) -> Result<Duration, Error> {
        let mut missing: Vec<Arc<str>> = wanted.iter().map(|srv| srv.target.clone()).collect();
        missing.sort();
        missing.dedup();
        missing.retain(|name| !targets.contains_key(name));
        if !truncated {
            return self.look_up(missing, targets, memory, evidence).await;
        }
        let (all, ttl) = self.all_addresses(memory, evidence).await?;
        self.assign(&all, &mut missing, targets);
        let ttl = ttl.min(self.look_up(missing, targets, memory, evidence).await?);
        // Every address of the Service must belong to a target; otherwise the record of a target was cut off.
        let known: HashSet<IpAddr> = targets.values().flatten().copied().collect();
        if all.is_empty() || !all.iter().all(|ip| known.contains(ip)) {
            return Err(self.truncated());
        }
        Ok(ttl)
    }

    /// Queries the addresses of each target. Returns the shortest TTL.
    async fn look_up(
        &self,
        names: Vec<Arc<str>>,
        targets: &mut Targets,
        memory: &mut ServiceMemory,
        evidence: &mut Vec<Evidence>,
    ) -> Result<Duration, Error> {
        let look_up = |name: Arc<str>| async move {
            let (mut memory, mut evidence) = (AddressMemory::default(), Vec::new());
            let answer = self.source.addresses(&name, &mut memory, Duration::ZERO, &mut evidence, &mut |_, _| ()).await;
            (name, answer, evidence)
        };
        let mut shortest = Duration::MAX;
        let mut lookups = stream::iter(names).map(look_up).buffer_unordered(PARALLEL);
        while let Some((name, answer, seen)) = lookups.next().await {
            evidence.extend(seen);
            match answer {
                Ok(Answer::Found { value, ttl }) => {
                    shortest = shortest.min(ttl);
                    memory.looked_up.insert(name.clone(), (value.ips.clone(), clock::now()));
                    targets.insert(name, value.ips);
                }
                Ok(Answer::NoData { ttl } | Answer::NxDomain { ttl }) => shortest = shortest.min(ttl),
                Err(error) => {
                    let ips = memory.last_known(&name, self.source.max_stale).ok_or(error)?.to_vec();
                    targets.insert(name, ips);
                }
            }
        }
        memory.looked_up.retain(|name, _| targets.contains_key(name));
        Ok(shortest)
    }

    /// Queries all addresses of the Service: one query for each type instead of one for each pod.
    async fn all_addresses(
        &self,
        memory: &mut ServiceMemory,
        evidence: &mut Vec<Evidence>,
    ) -> Result<(Vec<IpAddr>, Duration), Error> {
        let service = self.service();
        let answer = self.source.addresses(service, &mut memory.all, Duration::ZERO, evidence, &mut |_, _| ()).await?;
        match answer {
            Answer::Found { value, ttl } => match value.failed {
                Some(error) => Err(error),
                None => Ok((value.ips, ttl)),
            },
            Answer::NoData { .. } | Answer::NxDomain { .. } => Ok((Vec::new(), Duration::MAX)),
        }
    }

    /// Assigns addresses of the Service to targets by name: a pod without a hostname is named after its address. The
    /// label is only a hint, so a target gets no address that the Service does not have.
    fn assign(&self, all: &[IpAddr], missing: &mut Vec<Arc<str>>, targets: &mut Targets) {
        let by_label: BTreeMap<String, IpAddr> = all.iter().map(|ip| (ip_label(*ip), *ip)).collect();
        missing.retain(|name| match self.label(name).and_then(|label| by_label.get(label)) {
            Some(ip) => {
                targets.insert(name.clone(), vec![*ip]);
                false
            }
            None => true,
        });
    }

    /// Returns the endpoints of the records. In the cluster zone the weights are only 100 divided by the number of
    /// addresses, so all endpoints are equal. Elsewhere, priority and weight follow RFC 2782.
    fn endpoints(&self, wanted: &[Srv], targets: &Targets) -> Vec<Endpoint> {
        let mut merged: BTreeMap<Identity, Merged> = BTreeMap::new();
        for srv in wanted {
            // In the cluster, a target below the Service is a pod with a hostname.
            let label = self.label(&srv.target).filter(|_| self.in_cluster);
            let hostname = label.and_then(|label| Hostname::new(label).ok());
            let ips = targets.get(&srv.target).map_or(&[][..], Vec::as_slice);
            for endpoint in endpoints(ips, srv.port) {
                let endpoint = match &hostname {
                    Some(hostname) => endpoint.with_hostname(hostname.clone()),
                    None => endpoint,
                };
                merged.entry(endpoint.identity().clone()).or_default().add(srv, &endpoint);
            }
        }
        merged.into_iter().map(|(identity, merged)| merged.into_endpoint(&identity, self.in_cluster)).collect()
    }

    fn truncated(&self) -> Error {
        Error::transient(format!(
            "SRV answer for {}. was truncated, its records do not fit into 64 KiB: write the port as a number, or use \
             EndpointSlices",
            self.name
        ))
    }
}

/// What the records of one endpoint say together, whatever their order.
#[derive(Debug, Default)]
struct Merged {
    addrs: BTreeSet<SocketAddr>,
    /// The lowest one; `None` before the first record.
    priority: Option<u16>,
    /// The sum of the weights.
    weight: u32,
}

impl Merged {
    fn add(&mut self, srv: &Srv, endpoint: &Endpoint) {
        self.addrs.extend(endpoint.addrs());
        self.priority = Some(self.priority.map_or(srv.priority, |known| known.min(srv.priority)));
        self.weight = self.weight.saturating_add(srv.weight.into());
    }

    fn into_endpoint(self, identity: &Identity, in_cluster: bool) -> Endpoint {
        let endpoint = self.addrs.into_iter().fold(Endpoint::new(identity.addr()), Endpoint::with_addr);
        let endpoint = match identity.hostname() {
            Some(hostname) => endpoint.with_hostname(hostname.clone()),
            None => endpoint,
        };
        if in_cluster {
            return endpoint;
        }
        endpoint.with_priority(self.priority.unwrap_or_default()).with_weight(self.weight)
    }
}

/// Returns the label that CoreDNS gives to an endpoint without a hostname.
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
    fn an_endpoint_without_a_hostname_is_named_after_its_address() {
        for (ip, label) in [("10.0.0.1", "10-0-0-1"), ("fd00::1", "fd00--1"), ("fd00::", "fd00--0")] {
            assert_eq!(ip_label(ip.parse().unwrap()), label);
        }
    }
}
