//! The records of a zone itself: SOA and NS (CoreDNS `plugin.SOA`, `plugin.NS` and `plugin/kubernetes/ns.go`).

use std::net::IpAddr;

use super::{Data, Record, Zone, service_key};

/// Settings.
impl Zone {
    /// Names the Service whose endpoints include this server.
    pub(crate) fn set_front(&mut self, namespace: &str, name: &str) {
        self.touch();
        self.front = Some(service_key(namespace, name));
    }
}

/// Records.
impl Zone {
    /// Returns the SOA of a zone; NODATA for every name below it, whether the name exists or not.
    pub(super) fn apex_soa(&self, name: &str, is_apex: bool) -> Vec<Record> {
        if is_apex { vec![self.soa(name)] } else { Vec::new() }
    }

    /// Returns the NS records of a zone, one for each name, and one address record for each address.
    pub(super) fn apex_ns(&self, zone: &str) -> (Vec<Record>, Vec<Record>) {
        let (mut answers, mut glue) = (Vec::new(), Vec::new());
        for (server, ip) in self.nameservers(zone) {
            let answer = Record::new(zone, self.ttl, Data::Ns(server.clone()));
            if !answers.contains(&answer) {
                answers.push(answer);
            }
            glue.push(Record::new(server, self.ttl, ip.into()));
        }
        (answers, glue)
    }

    /// Returns the addresses that `ns.dns.<zone>` has.
    pub(super) fn own_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.nameservers("").into_iter().map(|(_, ip)| ip)
    }

    /// Returns the names and addresses of the Service in front of this server. Without that Service, or while the Service
    /// has no address, the server has its own address and the name `ns.dns.<zone>` (CoreDNS `nsAddrs`).
    fn nameservers(&self, zone: &str) -> Vec<(String, IpAddr)> {
        let front = self.front.as_ref().and_then(|key| self.services.get(key));
        let published = front.map(|service| service.addresses()).unwrap_or_default();
        if published.is_empty() {
            return vec![(format!("ns.dns.{zone}"), self.server)];
        }
        published.into_iter().map(|(name, ip)| (format!("{name}.{zone}"), ip)).collect()
    }
}
