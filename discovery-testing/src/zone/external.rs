//! Declared names, and the answers for those outside the cluster: like an upstream resolver would.

use std::collections::BTreeMap;

use hickory_proto::op::ResponseCode;

use super::{Answer, Data, Record, Zone};
use crate::{
    name::{DnsName, is_within, normalize},
    query::QType,
};

/// A longer chain of aliases is a mistake in the test; resolvers stop at a similar length.
const MAX_ALIASES: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct External {
    names: BTreeMap<String, Entry>,
    /// True if the upstream resolver is unreachable.
    pub(crate) down: bool,
}

#[derive(Debug, Default)]
pub(super) struct Entry {
    data: Vec<Data>,
    /// Seconds; the TTL of the zone if absent.
    ttl: Option<u32>,
}

impl Entry {
    pub(super) fn is_alias(&self) -> bool {
        self.data.iter().any(|data| matches!(data, Data::Cname(_)))
    }
}

impl External {
    pub(crate) fn add(&mut self, name: &DnsName, data: Data) {
        let known = &mut self.names.entry(name.key()).or_default().data;
        if !known.contains(&data) {
            known.push(data);
        }
    }

    pub(crate) fn set_ttl(&mut self, name: &DnsName, ttl: u32) {
        self.names.entry(name.key()).or_default().ttl = Some(ttl);
    }

    pub(crate) fn remove(&mut self, name: &DnsName) -> bool {
        self.names.remove(&name.key()).is_some()
    }

    /// Returns the entry of this name, if it has records.
    pub(super) fn exact(&self, key: &str) -> Option<&Entry> {
        self.names.get(key).filter(|entry| !entry.data.is_empty())
    }

    /// Returns the entry of the wildcard at the closest encloser within `zone` (RFC 4592 section 3.3.1).
    pub(super) fn wildcard(&self, key: &str, zone: &str) -> Option<&Entry> {
        if self.is_non_terminal(key) {
            return None;
        }
        let mut rest = key;
        while let Some((_, parent)) = rest.split_once('.').filter(|(_, parent)| is_within(parent, zone)) {
            if let Some(entry) = self.names.get(&format!("*.{parent}")) {
                return Some(entry);
            }
            if self.names.contains_key(parent) || self.is_non_terminal(parent) {
                return None;
            }
            rest = parent;
        }
        None
    }

    /// Returns true for an empty non-terminal: a name with declared names below it.
    fn is_non_terminal(&self, key: &str) -> bool {
        self.names.keys().any(|name| name != key && is_within(name, key))
    }
}

impl Zone {
    pub(super) fn external_answer(&self, name: &str, qtype: QType) -> Answer {
        if self.external.down {
            return Answer::from_code(ResponseCode::ServFail);
        }
        let (records, exists) = self.resolve_external(name, qtype);
        let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
        let last_is_alias = matches!(records.last(), Some(r) if r.data.qtype() != qtype);
        if !exists || records.is_empty() || last_is_alias {
            return Answer { answers: records, ..self.negative(name, code) };
        }
        let additionals = self.external_glue(&records);
        Answer { authoritative: false, additionals, ..Answer::from_records(records) }
    }

    /// Follows aliases from `name`, back into the cluster if need be. Returns the records, and whether the last name of
    /// the chain exists.
    pub(super) fn resolve_external(&self, name: &str, qtype: QType) -> (Vec<Record>, bool) {
        let mut records = Vec::new();
        let mut current = name.to_owned();
        for _ in 0..=MAX_ALIASES {
            let key = normalize(&current);
            let entry = match self.external.exact(&key) {
                None if is_within(&key, &self.domain) => match self.addresses(&current, &key, qtype, &[]) {
                    Some(inside) => {
                        records.extend(inside);
                        return (records, true);
                    }
                    None => self.external.wildcard(&key, &self.domain),
                },
                None => self.external.wildcard(&key, "."),
                exact => exact,
            };
            let Some(entry) = entry else {
                let exists = self.external.is_non_terminal(&key) && !is_within(&key, &self.domain);
                return (records, exists);
            };
            let ttl = entry.ttl.unwrap_or(self.ttl);
            let of_type = entry.data.iter().filter(|data| data.qtype() == qtype);
            let before = records.len();
            records.extend(of_type.map(|data| Record::new(&current, ttl, data.clone())));
            let target = entry.data.iter().find_map(|data| match data {
                Data::Cname(target) => Some(target),
                _ => None,
            });
            let Some(target) = target.filter(|_| records.len() == before) else {
                break;
            };
            records.push(Record::new(&current, ttl, Data::Cname(target.clone())));
            current.clone_from(target);
        }
        (records, true)
    }

    /// Returns the addresses of the SRV targets, as far as they are declared.
    pub(super) fn external_glue(&self, records: &[Record]) -> Vec<Record> {
        let mut glue: Vec<Record> = Vec::new();
        for record in records {
            let Data::Srv { target, .. } = &record.data else {
                continue;
            };
            for qtype in [QType::A, QType::AAAA] {
                for found in self.resolve_external(target, qtype).0 {
                    if !glue.contains(&found) {
                        glue.push(found);
                    }
                }
            }
        }
        glue
    }
}
