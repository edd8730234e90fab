//! What one response says about one query.

use std::{sync::Arc, time::Duration};

use super::{Answer, Data, Error, Query, Rcode, Record, Records, Resolution, Response, seconds};

/// The longest chain of CNAMEs that is followed, over all responses.
const MAX_CNAMES: usize = 8;

/// The TTL of a negative answer without an SOA, which does not state one: CoreDNS's own TTL.
pub(super) const NEGATIVE_WITHOUT_SOA: Duration = Duration::from_secs(5);

/// Where a nameserver stands when it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Standing {
    /// The first nameserver, which the kubelet or the user names for the cluster.
    First,
    /// A later nameserver; the name is not in the cluster's zone.
    Later,
    /// A later nameserver that has proved that it serves the cluster's zone, for a name in the zone.
    Proved,
    /// A later nameserver that has not proved it, for a name in the zone.
    Unproved,
}

/// Whether a response may be used.
#[derive(Debug)]
pub(in super::super) enum Use {
    /// The response is an answer.
    Answer,
    /// The response is an answer if the nameservers that come before this one are dead; otherwise this is the failure.
    IfEarlierAreDead(Error),
}

impl Response {
    /// Checks whether the response of nameserver `from` may be used as an answer to `query`.
    ///
    /// The records of a later nameserver are used, in the cluster's zone only after it has proved the zone: a captive
    /// portal answers every name. Its negative answer for a name of the cluster is used only if the nameserver is
    /// authoritative for the cluster zone: a node's resolver does not know the cluster's names. Its negative answer for
    /// a host is used if the earlier nameservers do not respond, as in libc; if they respond with a failure, they may
    /// know hosts that this one does not.
    pub(in super::super) fn check(
        &self,
        query: &Query,
        from: impl std::fmt::Display,
        standing: Standing,
    ) -> Result<Use, Error> {
        let negative = match &self.rcode {
            Rcode::Failure(code) => {
                return Err(Error::transient(format!("nameserver {from} answered {query} with {code}")));
            }
            Rcode::NoError if standing == Standing::Unproved && self.has_records(query) => {
                return Err(Error::transient(format!(
                    "ignored the records for {query} from fallback nameserver {from}: it has not proved that it serves \
                     the cluster's zone (TXT dns-version); a captive portal or a wildcard answers every name"
                )));
            }
            Rcode::NoError if self.answers.iter().any(|record| record.data.is(query.rtype)) => return Ok(Use::Answer),
            Rcode::NoError if self.is_referral() => {
                return Err(Error::transient(format!(
                    "nameserver {from} answered {query} with a referral to other nameservers: it does not resolve names \
                     for its clients"
                )));
            }
            Rcode::NoError => "NODATA",
            Rcode::NxDomain => "NXDOMAIN",
        };
        if standing != Standing::First && !self.is_of_cluster_zone(query) {
            let error = Error::transient(format!(
                "ignored {negative} for {query} from fallback nameserver {from}: earlier nameservers gave no usable \
                 answer"
            ));
            return if query.is_for_cluster() { Err(error) } else { Ok(Use::IfEarlierAreDead(error)) };
        }
        Ok(Use::Answer)
    }

    /// Whether the answer section leads to records: it has some of the queried type, or CNAMEs.
    pub(in super::super) fn has_records(&self, query: &Query) -> bool {
        self.answers.iter().any(|record| record.data.is(query.rtype) || matches!(record.data, Data::Cname(_)))
    }

    /// Whether the response has a TXT record of `name` that is the version of a DNS schema, such as `1.1.0`.
    pub(in super::super) fn has_version(&self, name: &str) -> bool {
        self.answers.iter().any(|record| match &record.data {
            Data::Txt(text) => &*record.name == name && is_version(text),
            _ => false,
        })
    }

    /// Whether the response is a negative answer of a nameserver that is authoritative for `zone`.
    pub(in super::super) fn is_denied_by(&self, zone: &str) -> bool {
        let is_soa = |record: &Record| matches!(record.data, Data::Soa(_)) && &*record.name == zone;
        self.answers.is_empty() && self.authorities.iter().any(is_soa)
    }

    /// Returns the answer to `query`, or the query to send next if the name is an alias.
    pub(in super::super) fn read(self, query: &Query) -> Result<Resolution, Error> {
        if let Rcode::Failure(code) = &self.rcode {
            return Err(Error::transient(format!("{query} was answered with {code}")));
        }
        if self.is_referral() {
            return Err(Error::transient(format!("{query} was answered with a referral to other nameservers")));
        }
        let target = self.follow_cnames(query)?;
        let negative_ttl = self.negative_ttl();
        if self.rcode == Rcode::NxDomain {
            return Ok(Resolution::Answer(Answer::NxDomain { ttl: negative_ttl.min(query.max_ttl) }));
        }
        let has_soa = self.authorities.iter().any(|record| matches!(record.data, Data::Soa(_)));
        let other_name = self.other_name(query, &target);
        let is_answer = |record: &Record| record.name == target.name && record.data.is(query.rtype);
        let records: Vec<Record> = self.answers.into_iter().filter(is_answer).collect();
        let ttl = negative_ttl.min(target.max_ttl);
        Ok(if let Some(ttl) = records.iter().map(|record| record.ttl).min() {
            let ttl = seconds(ttl).min(target.max_ttl);
            let (additionals, truncated) = (self.additionals, self.truncated);
            let value = Records { records, aliases: target.aliases, additionals, truncated };
            Resolution::Answer(Answer::Found { value, ttl })
        } else if target.aliases.len() > query.aliases.len() && !has_soa {
            Resolution::Alias(target)
        } else if let Some(owner) = other_name {
            Resolution::OtherName { owner, ttl }
        } else {
            Resolution::Answer(Answer::NoData { ttl })
        })
    }

    /// The owner of records in the answer section that could answer the query, if they were not another name's: neither the
    /// queried one nor one that it is an alias of.
    fn other_name(&self, query: &Query, target: &Query) -> Option<Arc<str>> {
        let leads_on = |data: &Data| data.is(query.rtype) || matches!(data, Data::Cname(_));
        let is_known = |name: &Arc<str>| *name == query.name || target.aliases.contains(name);
        let other = self.answers.iter().find(|record| leads_on(&record.data) && !is_known(&record.name))?;
        Some(other.name.clone())
    }

    /// RFC 2308 section 2.2: a referral has no answers, and it is not NODATA.
    fn is_referral(&self) -> bool {
        self.rcode == Rcode::NoError && self.referral && self.answers.is_empty()
    }

    /// Follows the CNAMEs in the answer section, in whatever order they are.
    fn follow_cnames(&self, query: &Query) -> Result<Query, Error> {
        let mut target = query.clone();
        loop {
            let next = self.answers.iter().find_map(|record| match &record.data {
                Data::Cname(name) if record.name == target.name => Some((name, record.ttl)),
                _ => None,
            });
            let Some((name, ttl)) = next else { return Ok(target) };
            target.aliases.push(name.clone());
            if target.aliases.len() > MAX_CNAMES {
                return Err(Error::transient(format!(
                    "gave up on {query} after {MAX_CNAMES} CNAMEs: the chain is too long or a loop"
                )));
            }
            target.max_ttl = target.max_ttl.min(seconds(ttl));
            target.name = name.clone();
        }
    }

    /// RFC 2308 section 5: the smaller of the SOA's TTL and its MINIMUM field.
    fn negative_ttl(&self) -> Duration {
        let of_soa = |record: &Record| match record.data {
            Data::Soa(minimum) => Some(seconds(minimum.min(record.ttl))),
            _ => None,
        };
        self.authorities.iter().find_map(of_soa).unwrap_or(NEGATIVE_WITHOUT_SOA)
    }

    /// Whether the nameserver is authoritative for the cluster zone of the queried name: the SOA is that of the domain
    /// right above `svc`. Outside the cluster, a resolver denies such a name with the SOA of the root or of its own
    /// domain.
    pub(super) fn is_of_cluster_zone(&self, query: &Query) -> bool {
        self.authorities.iter().filter(|record| matches!(record.data, Data::Soa(_))).any(|soa| {
            query.name.strip_suffix(&*soa.name).is_some_and(|within| !soa.name.is_empty() && within.ends_with(".svc."))
        })
    }
}

/// Whether the text is a version: whole numbers, separated by dots.
pub(super) fn is_version(text: &str) -> bool {
    text.contains('.') && text.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}
