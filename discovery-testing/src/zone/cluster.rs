//! Answers for names of the cluster domain: CoreDNS `plugin/kubernetes/handler.go`.

use std::collections::BTreeSet;

use super::{
    Zone,
    find::{Found, Host},
    record::{Answer, Data, Rcode, Record},
};
use crate::{
    name::{DnsName, is_within},
    question::QType,
};

/// `DNSSchemaVersion` of CoreDNS.
const SCHEMA_VERSION: &str = "1.1.0";
/// Seconds: the value of the specification's example, fixed in CoreDNS.
const SCHEMA_TTL: u32 = 28_800;
/// CoreDNS follows so many aliases and then stops (`len(previousRecords) > 7`).
const MAX_ALIASES: usize = 8;

impl Zone {
    pub(super) fn cluster_answer(&self, name: &str, key: &str, qtype: QType) -> Answer {
        let apex = key == self.domain;
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
            // A name that holds nothing has no TXT, not even an empty one.
            QType::TXT => self.find(key).filter(|found| !found.is_empty()).map(|_| Vec::new()),
            QType::SOA => Some(self.apex_soa(name, apex)),
            // Compared with its case, unlike everything else.
            QType::NS if name == self.domain => {
                let (answer, glue) = self.apex_ns(name);
                additionals.push(glue);
                Some(vec![answer])
            }
            // "a fake A lookup, so we can distinguish between NODATA and NXDOMAIN"
            _ => self.find(key).map(|_| Vec::new()),
        };
        match records {
            Some(answers) if answers.is_empty() => self.negative(name, Rcode::NoError),
            Some(answers) => Answer { additionals, ..Answer::of(answers) },
            None if self.synced => self.negative(name, Rcode::NxDomain),
            None => Answer::code(Rcode::ServFail),
        }
    }

    /// The SOA of a zone; NODATA for every name below, be there such a name or not.
    pub(super) fn apex_soa(&self, name: &str, apex: bool) -> Vec<Record> {
        if apex { vec![self.soa(name)] } else { Vec::new() }
    }

    /// The NS of a zone, and its address. CoreDNS names the Service that it runs behind itself.
    pub(super) fn apex_ns(&self, name: &str) -> (Record, Record) {
        let server = format!("ns.dns.{name}");
        let glue = Record::new(&server, self.ttl, self.server.into());
        (Record::new(name, self.ttl, Data::Ns(server)), glue)
    }

    /// A or AAAA records, aliases resolved. `None` is NXDOMAIN.
    /// `aliases` are the targets already followed, normalized.
    pub(super) fn addresses(&self, name: &str, key: &str, qtype: QType, aliases: &[String]) -> Option<Vec<Record>> {
        let mut records: Vec<Record> = Vec::new();
        let mut seen = BTreeSet::new();
        for found in self.find(key)? {
            match found.host {
                Host::Ip(ip) => {
                    let data = Data::from(ip);
                    if data.qtype() == qtype && seen.insert(ip) {
                        records.push(Record::new(name, self.ttl, data));
                    }
                }
                Host::Alias(target) => {
                    records.extend(self.through(name, key, &target, qtype, aliases));
                }
            }
        }
        Some(records)
    }

    /// The CNAME and what it leads to; nothing where it loops or leads to nothing inside the cluster.
    fn through(&self, name: &str, key: &str, target: &DnsName, qtype: QType, aliases: &[String]) -> Vec<Record> {
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
            // An upstream NXDOMAIN is no error here: the CNAME stands alone.
            records.extend(self.resolve_external(target.as_str(), qtype).records);
        }
        records
    }

    fn cname(&self, name: &str, target: &DnsName) -> Record {
        let data = Data::Cname(target.as_str().to_owned());
        Record::new(name, self.ttl, data)
    }

    fn alias(&self, name: &str, found: &[Found]) -> Vec<Record> {
        let aliases = found.iter().filter_map(|found| match &found.host {
            Host::Alias(target) => Some(self.cname(name, target)),
            Host::Ip(_) => None,
        });
        aliases.collect()
    }

    fn is_schema(&self, key: &str) -> bool {
        key.strip_suffix(self.domain.as_str()) == Some("dns-version.")
    }
}

/// The one TXT record.
fn schema(name: &str) -> Record {
    Record::new(name, SCHEMA_TTL, Data::Txt(SCHEMA_VERSION.to_owned()))
}
