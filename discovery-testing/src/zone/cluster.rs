//! Answers for names of the cluster domain: CoreDNS `plugin/kubernetes/handler.go`.

use std::collections::BTreeSet;

use hickory_proto::op::ResponseCode;

use super::{Answer, Data, Record, Zone, names::Found};
use crate::{
    name::{DnsName, is_within},
    query::QType,
};

/// `DNSSchemaVersion` of CoreDNS.
const SCHEMA_VERSION: &str = "1.1.0";
/// Seconds: the value in the specification's example, hard-coded in CoreDNS.
const SCHEMA_TTL: u32 = 28_800;
/// CoreDNS follows this many aliases and then stops (`len(previousRecords) > 7`).
const MAX_ALIASES: usize = 8;

impl Zone {
    pub(super) fn cluster_answer(&self, name: &str, key: &str, qtype: QType) -> Answer {
        let is_apex = key == self.domain;
        let mut additionals = Vec::new();
        let records = match qtype {
            QType::A | QType::AAAA => self.addresses(name, key, qtype, &[]),
            QType::SRV => self.find(key).map(|found| {
                let (answers, glue) = self.srv_records(name, &found);
                additionals = glue;
                answers
            }),
            QType::CNAME => self.find(key).map(|found| self.alias(name, &found)),
            QType::TXT | QType::PTR if self.is_own_name(key) => None,
            QType::TXT if self.is_schema(key) => Some(vec![schema(name)]),
            // NXDOMAIN for a name without records, not even NODATA.
            QType::TXT => self.find(key).filter(|found| !found.is_empty()).map(|_| Vec::new()),
            QType::SOA => Some(self.apex_soa(name, is_apex)),
            // Case-sensitive, unlike all other types.
            QType::NS if name == self.domain => {
                let (answers, glue) = self.apex_ns(name);
                additionals = glue;
                Some(answers)
            }
            // CoreDNS: "a fake A lookup, so we can distinguish between NODATA and NXDOMAIN".
            _ => self.find(key).map(|_| Vec::new()),
        };
        match records {
            Some(answers) if answers.is_empty() => self.negative(name, ResponseCode::NoError),
            Some(answers) => Answer { additionals, ..Answer::from_records(answers) },
            None => self.denied(name, key, qtype),
        }
    }

    /// Returns A or AAAA records, with aliases resolved. `None` is NXDOMAIN. `aliases` are the targets followed so far,
    /// normalized.
    pub(super) fn addresses(&self, name: &str, key: &str, qtype: QType, aliases: &[String]) -> Option<Vec<Record>> {
        let mut records: Vec<Record> = Vec::new();
        let mut seen = BTreeSet::new();
        for found in self.find(key)? {
            match found {
                Found::Address { ip, .. } => {
                    let data = Data::from(ip);
                    if data.qtype() == qtype && seen.insert(ip) {
                        records.push(Record::new(name, self.ttl, data));
                    }
                }
                Found::Alias(target) => records.extend(self.follow(name, key, &target, qtype, aliases)),
            }
        }
        Some(records)
    }

    /// Returns the CNAME and the records of its target; nothing if the alias loops or has no records inside the
    /// cluster.
    fn follow(&self, name: &str, key: &str, target: &DnsName, qtype: QType, aliases: &[String]) -> Vec<Record> {
        let next = target.key();
        if next == key || aliases.len() >= MAX_ALIASES || aliases.contains(&next) {
            return Vec::new();
        }
        let mut records = vec![self.cname(name, target)];
        if is_within(&next, &self.domain) {
            let followed: Vec<String> = aliases.iter().cloned().chain([next.clone()]).collect();
            match self.addresses(target.as_str(), &next, qtype, &followed) {
                Some(more) if !more.is_empty() => records.extend(more),
                _ => return Vec::new(),
            }
        } else if self.external.down {
            return Vec::new();
        } else {
            // NXDOMAIN from the upstream is not an error here: the answer is the CNAME alone.
            records.extend(self.resolve_external(target.as_str(), qtype).0);
        }
        records
    }

    fn cname(&self, name: &str, target: &DnsName) -> Record {
        let data = Data::Cname(target.as_str().to_owned());
        Record::new(name, self.ttl, data)
    }

    fn alias(&self, name: &str, found: &[Found]) -> Vec<Record> {
        let aliases = found.iter().filter_map(|found| match found {
            Found::Alias(target) => Some(self.cname(name, target)),
            Found::Address { .. } => None,
        });
        aliases.collect()
    }

    /// Returns the SRV records, and one address record for each address of each target: CoreDNS `plugin.SRV`.
    fn srv_records(&self, name: &str, found: &[Found]) -> (Vec<Record>, Vec<Record>) {
        let domain = self.domain_in(name);
        // The weight counts all addresses, duplicates and those without a port included.
        let total = found.iter().filter(|found| matches!(found, Found::Address { .. })).count();
        let weight = weight(total);
        let (mut answers, mut glue) = (Vec::new(), Vec::new());
        let (mut seen_ports, mut seen_addresses) = (BTreeSet::new(), BTreeSet::new());
        for found in found {
            let Found::Address { target, ip, port: Some(port) } = found else {
                continue;
            };
            let (target, port) = (format!("{target}.{domain}"), *port);
            if seen_ports.insert((target.clone(), port)) {
                let data = Data::Srv { priority: 0, weight, port, target: target.clone() };
                answers.push(Record::new(name, self.ttl, data));
            }
            if seen_addresses.insert((target.clone(), *ip)) {
                glue.push(Record::new(target, self.ttl, (*ip).into()));
            }
        }
        (answers, glue)
    }

    fn is_schema(&self, key: &str) -> bool {
        key.strip_suffix(self.domain.as_str()) == Some("dns-version.")
    }
}

/// Returns the TXT record with the version of the schema.
fn schema(name: &str) -> Record {
    Record::new(name, SCHEMA_TTL, Data::Txt(SCHEMA_VERSION.to_owned()))
}

/// `max(1, floor(100 / total))`, in the floating point arithmetic of CoreDNS.
fn weight(total: usize) -> u16 {
    // The number of addresses is far below 2^53, and the result is at most 100.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded, see above"
    )]
    let weight = (100.0 / (total as f64 * 100.0) * 100.0).floor() as u16;
    weight.clamp(1, 100)
}

#[cfg(test)]
mod tests {
    use super::weight;

    #[test]
    fn weight_is_a_share_of_100_and_at_least_1() {
        let shares = [1, 2, 3, 6, 7, 100, 101, 1000].map(weight);
        assert_eq!(shares, [100, 50, 33, 16, 14, 1, 1, 1]);
    }
}
