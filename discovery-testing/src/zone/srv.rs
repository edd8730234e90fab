//! SRV records of the cluster and their Additional section: CoreDNS `plugin.SRV`.

use std::collections::BTreeSet;

use super::{
    Zone,
    find::{Found, Host},
    record::{Data, Record},
};

impl Zone {
    /// The records, and an address record for each address of each target.
    pub(super) fn srv_records(&self, name: &str, found: &[Found]) -> (Vec<Record>, Vec<Record>) {
        let domain = self.domain_in(name);
        // The weight is counted over all entries, before duplicates and port-less ones are left out.
        let total = found.iter().filter(|f| matches!(f.host, Host::Ip(_))).count();
        let weight = weight(total);
        let (mut answers, mut glue) = (Vec::new(), Vec::new());
        let (mut ports_seen, mut addresses_seen) = (BTreeSet::new(), BTreeSet::new());
        for entry in found {
            let (Host::Ip(ip), Some(port)) = (&entry.host, entry.port) else {
                continue;
            };
            let target = format!("{}.{domain}", entry.target);
            if ports_seen.insert((target.clone(), port)) {
                let data = Data::Srv { priority: 0, weight, port, target: target.clone() };
                answers.push(Record::new(name, self.ttl, data));
            }
            if addresses_seen.insert((target.clone(), *ip)) {
                glue.push(Record::new(target, self.ttl, (*ip).into()));
            }
        }
        (answers, glue)
    }
}

/// `max(1, floor(100 / total))`, in the floating point arithmetic of CoreDNS.
fn weight(total: usize) -> u16 {
    // A list of entries is far below 2^53, and the result is at most 100.
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
    fn weight_is_a_share_of_100_and_never_0() {
        let shares = [1, 2, 3, 6, 7, 100, 101, 1000].map(weight);
        assert_eq!(shares, [100, 50, 33, 16, 14, 1, 1, 1]);
    }
}
