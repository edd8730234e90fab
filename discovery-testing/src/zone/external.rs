//! Names outside the cluster: what an upstream resolver would answer.

use std::collections::BTreeMap;

use super::{
    Zone,
    record::{Answer, Data, Rcode, Record},
};
use crate::{
    name::{DnsName, is_within, normalize},
    question::QType,
};

/// A chain of aliases longer than this is a mistake of the test; resolvers stop near here too.
const MAX_ALIASES: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct External {
    names: BTreeMap<String, Entry>,
    /// True if the upstream cannot be reached.
    pub(crate) down: bool,
}

#[derive(Debug, Default)]
struct Entry {
    data: Vec<Data>,
    /// Seconds; the zone's TTL if absent.
    ttl: Option<u32>,
}

impl External {
    pub(crate) fn add(&mut self, name: &DnsName, data: Data) {
        let held = &mut self.names.entry(name.key()).or_default().data;
        if !held.contains(&data) {
            held.push(data);
        }
    }

    pub(crate) fn set_ttl(&mut self, name: &DnsName, ttl: u32) {
        self.names.entry(name.key()).or_default().ttl = Some(ttl);
    }

    pub(crate) fn remove(&mut self, name: &DnsName) -> bool {
        self.names.remove(&name.key()).is_some()
    }

    /// The entry itself, or the wildcard at the closest encloser (RFC 4592 section 3.3.1).
    fn entry(&self, key: &str) -> Option<&Entry> {
        if let Some(entry) = self.names.get(key) {
            return Some(entry);
        }
        if self.exists_above(key) {
            return None;
        }
        let mut rest = key;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(entry) = self.names.get(&format!("*.{parent}")) {
                return Some(entry);
            }
            if self.names.contains_key(parent) || self.exists_above(parent) {
                return None;
            }
            rest = parent;
        }
        None
    }

    /// True for an empty non-terminal: names are declared below it.
    fn exists_above(&self, key: &str) -> bool {
        self.names.keys().any(|name| name != key && is_within(name, key))
    }
}

pub(super) struct Resolved {
    pub(super) records: Vec<Record>,
    /// False if the last name of the chain is not declared.
    exists: bool,
}

impl Zone {
    pub(super) fn external_answer(&self, name: &str, qtype: QType) -> Answer {
        if self.external.down {
            return Answer::code(Rcode::ServFail);
        }
        let Resolved { records, exists } = self.resolve_external(name, qtype);
        let rcode = if exists { Rcode::NoError } else { Rcode::NxDomain };
        let last_is_alias = matches!(records.last(), Some(r) if r.data.qtype() != qtype);
        if !exists || records.is_empty() || last_is_alias {
            return Answer { answers: records, ..self.negative(name, rcode) };
        }
        let additionals = self.external_glue(&records);
        Answer { authoritative: false, additionals, ..Answer::of(records) }
    }

    /// Follows aliases from `name`, back into the cluster if need be.
    pub(super) fn resolve_external(&self, name: &str, qtype: QType) -> Resolved {
        let mut records = Vec::new();
        let mut current = name.to_owned();
        for _ in 0..=MAX_ALIASES {
            let key = normalize(&current);
            if is_within(&key, &self.domain) {
                let inside = self.addresses(&current, &key, qtype, &[]);
                let exists = inside.is_some();
                records.extend(inside.unwrap_or_default());
                return Resolved { records, exists };
            }
            let Some(entry) = self.external.entry(&key) else {
                let exists = self.external.exists_above(&key);
                return Resolved { records, exists };
            };
            let ttl = entry.ttl.unwrap_or(self.ttl);
            let of_type = entry.data.iter().filter(|data| data.qtype() == qtype);
            let held = records.len();
            records.extend(of_type.map(|data| Record::new(&current, ttl, data.clone())));
            let target = entry.data.iter().find_map(|data| match data {
                Data::Cname(target) => Some(target),
                _ => None,
            });
            let Some(target) = target.filter(|_| records.len() == held) else {
                break;
            };
            records.push(Record::new(&current, ttl, Data::Cname(target.clone())));
            current.clone_from(target);
        }
        Resolved { records, exists: true }
    }

    /// Addresses of the SRV targets that are known.
    fn external_glue(&self, records: &[Record]) -> Vec<Record> {
        let mut glue: Vec<Record> = Vec::new();
        for record in records {
            let Data::Srv { target, .. } = &record.data else {
                continue;
            };
            for qtype in [QType::A, QType::AAAA] {
                for found in self.resolve_external(target, qtype).records {
                    if !glue.contains(&found) {
                        glue.push(found);
                    }
                }
            }
        }
        glue
    }
}
