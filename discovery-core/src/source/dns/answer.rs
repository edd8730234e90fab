//! What one response says about one question. Pure.

use std::{sync::Arc, time::Duration};

use super::record::{Data, Query, Rcode, Record, Response};
use crate::Error;

/// Longest chain of CNAMEs that is followed, over all responses.
pub(crate) const MAX_CNAMES: usize = 8;

/// A negative answer without an SOA says nothing of its lifetime: CoreDNS's own TTL is taken.
const NEGATIVE_WITHOUT_SOA: Duration = Duration::from_secs(5);

/// What a response says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Records of the asked type, and how long they hold, CNAMEs included.
    Found { records: Vec<Record>, ttl: Duration },
    /// The name exists, without such records.
    NoData { ttl: Duration },
    /// The name does not exist.
    NxDomain { ttl: Duration },
    /// The name is an alias of another one, of which nothing is said: ask for that one.
    Chase { name: Arc<str>, ttl: Duration, cnames: usize },
}

/// Reads `response` as an answer to `query`; `cnames` have been followed before.
pub(crate) fn read(query: &Query, response: &Response, cnames: usize) -> Result<Answer, Error> {
    if let Rcode::Failure(code) = &response.rcode {
        return Err(Error::transient(format!("{query} was answered {code}")));
    }
    let alias = follow(query, response, cnames)?;
    if response.rcode == Rcode::NxDomain {
        return Ok(Answer::NxDomain { ttl: negative_ttl(response) });
    }
    let of_alias = |record: &&Record| record.name == alias.name && record.data.is(query.rtype);
    let records: Vec<Record> = response.answers.iter().filter(of_alias).cloned().collect();
    if let Some(least) = records.iter().map(|record| record.ttl).min() {
        return Ok(Answer::Found { records, ttl: alias.ttl.min(seconds(least)) });
    }
    let has_soa = response.authorities.iter().any(|record| matches!(record.data, Data::Soa(_)));
    if alias.cnames > cnames && !has_soa {
        return Ok(Answer::Chase { name: alias.name, ttl: alias.ttl, cnames: alias.cnames });
    }
    Ok(Answer::NoData { ttl: alias.ttl.min(negative_ttl(response)) })
}

struct Alias {
    name: Arc<str>,
    ttl: Duration,
    cnames: usize,
}

/// Walks the CNAMEs of the answer, in whatever order they are given.
fn follow(query: &Query, response: &Response, cnames: usize) -> Result<Alias, Error> {
    let mut alias = Alias { name: query.name.clone(), ttl: Duration::MAX, cnames };
    loop {
        let next = response.answers.iter().find_map(|record| match &record.data {
            Data::Cname(target) if record.name == alias.name => Some((target, record.ttl)),
            _ => None,
        });
        let Some((target, ttl)) = next else { return Ok(alias) };
        alias.cnames += 1;
        if alias.cnames > MAX_CNAMES {
            let rule = format!("{query} leads through more than {MAX_CNAMES} CNAMEs, or in a circle");
            return Err(Error::transient(rule));
        }
        alias.ttl = alias.ttl.min(seconds(ttl));
        alias.name = target.clone();
    }
}

/// RFC 2308 section 5: the smaller of the SOA's TTL and its MINIMUM field.
fn negative_ttl(response: &Response) -> Duration {
    let of_soa = |record: &Record| match record.data {
        Data::Soa(minimum) => Some(seconds(minimum.min(record.ttl))),
        _ => None,
    };
    response.authorities.iter().find_map(of_soa).unwrap_or(NEGATIVE_WITHOUT_SOA)
}

fn seconds(ttl: u32) -> Duration {
    Duration::from_secs(ttl.into())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::source::dns::record::Rtype;

    const NAME: &str = "db.shop.svc.cluster.local";

    fn record(name: &str, ttl: u32, data: Data) -> Record {
        Record { name: name.into(), ttl, data }
    }

    fn a(name: &str, ttl: u32) -> Record {
        record(name, ttl, Data::A(Ipv4Addr::new(10, 0, 0, 1)))
    }

    fn cname(name: &str, ttl: u32, target: &str) -> Record {
        record(name, ttl, Data::Cname(target.into()))
    }

    fn soa(ttl: u32, minimum: u32) -> Record {
        record("cluster.local", ttl, Data::Soa(minimum))
    }

    fn read_a(rcode: Rcode, answers: Vec<Record>, authorities: Vec<Record>) -> Result<Answer, Error> {
        let response = Response { rcode, answers, authorities, additionals: Vec::new(), cut: false };
        read(&Query::new(NAME, Rtype::A), &response, 0)
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn f16_the_smallest_ttl_of_a_chain_counts() {
        let chain = vec![a("c.example", 30), cname(NAME, 5, "b.example"), cname("b.example", 60, "c.example")];
        let answer = read_a(Rcode::NoError, chain, vec![]).expect("answer");
        assert_eq!(answer, Answer::Found { records: vec![a("c.example", 30)], ttl: secs(5) });
    }

    #[test]
    fn f16_a_cname_without_its_target_is_chased() {
        let answer = read_a(Rcode::NoError, vec![cname(NAME, 5, "b.example")], vec![]).expect("answer");
        assert_eq!(answer, Answer::Chase { name: "b.example".into(), ttl: secs(5), cnames: 1 });
    }

    #[test]
    fn f16_a_circle_of_cnames_is_an_error() {
        let circle = vec![cname(NAME, 5, "b.example"), cname("b.example", 5, NAME)];
        let error = read_a(Rcode::NoError, circle, vec![]).expect_err("circle");
        assert!(error.is_transient(), "{error}");
    }

    #[test]
    fn records_of_other_names_are_not_answers() {
        let answer = read_a(Rcode::NoError, vec![a("evil.example", 5)], vec![soa(5, 5)]).expect("answer");
        assert_eq!(answer, Answer::NoData { ttl: secs(5) });
    }

    #[test]
    fn nxdomain_and_nodata_are_told_apart_and_live_as_long_as_their_soa() {
        let nx = read_a(Rcode::NxDomain, vec![], vec![soa(30, 5)]).expect("answer");
        assert_eq!(nx, Answer::NxDomain { ttl: secs(5) });
        let nodata = read_a(Rcode::NoError, vec![], vec![soa(3, 30)]).expect("answer");
        assert_eq!(nodata, Answer::NoData { ttl: secs(3) });
        let bare = read_a(Rcode::NxDomain, vec![], vec![]).expect("answer");
        assert_eq!(bare, Answer::NxDomain { ttl: NEGATIVE_WITHOUT_SOA });
    }

    #[test]
    fn a_failure_code_is_transient() {
        assert!(read_a(Rcode::Failure("SERVFAIL".into()), vec![], vec![]).expect_err("fails").is_transient());
    }
}
