//! PTR records: CoreDNS `plugin/kubernetes/reverse.go`.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use hickory_proto::op::ResponseCode;

use super::{Answer, Data, Record, Zone};
use crate::{name::is_within, query::QType};

const ZONES: [&str; 2] = ["in-addr.arpa.", "ip6.arpa."];

/// Returns the reverse zone of a normalized name.
pub(super) fn zone_of(key: &str) -> Option<&'static str> {
    ZONES.into_iter().find(|zone| is_within(key, zone))
}

impl Zone {
    pub(super) fn reverse_answer(&self, name: &str, key: &str, qtype: QType) -> Answer {
        let is_apex = ZONES.contains(&key);
        match qtype {
            QType::SOA => {
                let soa = self.apex_soa(name, is_apex);
                return if soa.is_empty() {
                    self.negative(name, ResponseCode::NoError)
                } else {
                    Answer::from_records(soa)
                };
            }
            QType::NS if ZONES.contains(&name) => {
                let (answers, additionals) = self.apex_ns(name);
                return Answer { additionals, ..Answer::from_records(answers) };
            }
            QType::TXT => return self.denied(name, key, qtype),
            _ if is_apex => return self.negative(name, ResponseCode::NoError),
            _ => {}
        }
        let targets = match (qtype, address(key)) {
            (QType::PTR, Some(ip)) => self.names_of(ip),
            _ => BTreeSet::new(),
        };
        if targets.is_empty() {
            return self.denied(name, key, qtype);
        }
        let records = targets.into_iter().map(|target| Record::new(name, self.ttl, Data::Ptr(target)));
        Answer::from_records(records.collect())
    }

    /// Returns the name of the Service with that ClusterIP, else of every endpoint with that address.
    fn names_of(&self, ip: IpAddr) -> BTreeSet<String> {
        let services = || self.services.values();
        if let Some(service) = services().find(|service| service.cluster_ips().contains(&ip)) {
            return BTreeSet::from([format!("{}.{}", service.dns_name(), self.domain)]);
        }
        services()
            .flat_map(|service| service.endpoints().map(move |endpoint| (service, endpoint)))
            .filter(|(_, (_, address))| *address == ip)
            .map(|(service, (label, _))| format!("{label}.{}.{}", service.dns_name(), self.domain))
            .collect()
    }
}

/// Parses the address of a complete reverse name.
fn address(key: &str) -> Option<IpAddr> {
    if let Some(head) = key.strip_suffix(".in-addr.arpa.") {
        let mut octets = Vec::new();
        for label in head.rsplit('.') {
            octets.push(label.parse().ok()?);
        }
        return <[u8; 4]>::try_from(octets).ok().map(|o| Ipv4Addr::from(o).into());
    }
    let head = key.strip_suffix(".ip6.arpa.")?;
    let mut bits = 0_u128;
    let mut nibbles = 0;
    for label in head.rsplit('.') {
        let digit = label.chars().next().filter(|_| label.len() == 1)?;
        bits = bits << 4 | u128::from(digit.to_digit(16)?);
        nibbles += 1;
    }
    (nibbles == 32).then(|| Ipv6Addr::from(bits).into())
}
