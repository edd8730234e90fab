//! Declared names inside the zones of this server: those of the cluster that are not Services, and reverse names.
//!
//! An exact name is answered as the `hosts` plugin of CoreDNS does, which comes before `kubernetes` in `plugin.cfg`. A
//! wildcard answers what `kubernetes` denies, as a plugin after `kubernetes` with its option `fallthrough` does.

use hickory_proto::op::ResponseCode;

use super::{Answer, Data, Record, Zone, reverse};
use crate::{name::is_within, query::QType};

impl Zone {
    /// Returns the answer for a declared name that is not a wildcard; `None` if it is not declared. The `hosts` plugin
    /// looks for PTR under addresses only, and leaves every other PTR query to `kubernetes`.
    pub(super) fn inside_answer(&self, name: &str, key: &str, qtype: QType) -> Option<Answer> {
        let entry = self.external.exact(key).filter(|entry| qtype != QType::PTR || entry.is_alias());
        entry.map(|_| self.declared_answer(name, qtype))
    }

    /// Returns NXDOMAIN, or the answer of a wildcard. A server that has not synced with the API cannot deny a name, and
    /// answers SERVFAIL with its SOA (CoreDNS `handler.go`; `fallthrough` comes before that).
    pub(super) fn denied(&self, name: &str, key: &str, qtype: QType) -> Answer {
        let zone = reverse::zone_of(key).unwrap_or(&self.domain);
        if self.external.wildcard(key, zone).is_some() {
            return self.declared_answer(name, qtype);
        }
        let code = if self.synced { ResponseCode::NXDomain } else { ResponseCode::ServFail };
        self.negative(name, code)
    }

    /// The server is authoritative. NODATA has no SOA, because a hosts file has none.
    fn declared_answer(&self, name: &str, qtype: QType) -> Answer {
        let (records, exists) = self.resolve_external(name, qtype);
        let leaves = |record: &Record| matches!(&record.data, Data::Cname(target) if !self.serves(target));
        if self.external.down && qtype != QType::CNAME && records.iter().any(leaves) {
            return Answer::from_code(ResponseCode::ServFail);
        }
        let last_is_alias = records.last().is_some_and(|record| record.data.qtype() != qtype);
        if !exists || last_is_alias {
            let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
            return Answer { answers: records, ..self.negative(name, code) };
        }
        let additionals = self.external_glue(&records);
        Answer { additionals, ..Answer::from_records(records) }
    }

    /// Returns whether this server is authoritative for a name.
    fn serves(&self, name: &str) -> bool {
        let key = name.to_ascii_lowercase();
        is_within(&key, &self.domain) || reverse::zone_of(&key).is_some()
    }
}
