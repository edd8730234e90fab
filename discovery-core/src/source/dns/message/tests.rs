//! Reading responses, and strategies for random ones. The F numbers refer to `docs/failure-modes.md`.

use proptest::prelude::*;

use super::{read::NEGATIVE_WITHOUT_SOA, *};

const NAME: &str = "db.shop.svc.cluster.local";

fn record(name: &str, ttl: u32, data: Data) -> Record {
    Record { name: name.into(), ttl, data }
}

fn a(name: &str, ttl: u32) -> Record {
    record(name, ttl, Data::A(Ipv4Addr::new(10, 0, 0, 1)))
}

/// The records of an answer with one address.
pub(in super::super) fn addresses(rtype: Rtype) -> Records {
    let data = match rtype {
        Rtype::Aaaa => Data::Aaaa(Ipv6Addr::LOCALHOST),
        _ => Data::A(Ipv4Addr::LOCALHOST),
    };
    Records { records: vec![record(NAME, 5, data)], aliases: Vec::new(), additionals: Vec::new(), truncated: false }
}

fn cname(name: &str, ttl: u32, target: &str) -> Record {
    record(name, ttl, Data::Cname(target.into()))
}

fn soa(ttl: u32, minimum: u32) -> Record {
    record("cluster.local", ttl, Data::Soa(minimum))
}

fn response_of(rcode: Rcode, answers: Vec<Record>, authorities: Vec<Record>) -> Response {
    Response { rcode, answers, authorities, additionals: Vec::new(), truncated: false, referral: false, edns: true }
}

fn read(rcode: Rcode, answers: Vec<Record>, authorities: Vec<Record>) -> Result<Resolution, Error> {
    response_of(rcode, answers, authorities).read(&Query::new(NAME, Rtype::A))
}

/// Reads a response that has to answer the query.
fn answer(rcode: Rcode, answers: Vec<Record>, authorities: Vec<Record>) -> Answer<Records> {
    match read(rcode, answers, authorities).expect("an answer") {
        Resolution::Answer(answer) => answer,
        other => panic!("not an answer: {other:?}"),
    }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// F16.
#[test]
fn the_smallest_ttl_of_a_cname_chain_counts() {
    let chain = vec![a("c.example", 30), cname(NAME, 5, "b.example"), cname("b.example", 60, "c.example")];
    let aliases = vec!["b.example".into(), "c.example".into()];
    let value = Records { records: vec![a("c.example", 30)], aliases, additionals: vec![], truncated: false };
    assert_eq!(answer(Rcode::NoError, chain, vec![]), Answer::Found { value, ttl: secs(5) });
}

/// F16.
#[test]
fn a_cname_without_its_target_leads_to_another_query() {
    let resolution = read(Rcode::NoError, vec![cname(NAME, 5, "b.example")], vec![]).expect("an alias");
    let next = Query { aliases: vec!["b.example".into()], max_ttl: secs(5), ..Query::new("b.example", Rtype::A) };
    assert_eq!(resolution, Resolution::Alias(next));
}

/// F16.
#[test]
fn a_cname_loop_is_an_error() {
    let cycle = vec![cname(NAME, 5, "b.example"), cname("b.example", 5, NAME)];
    let error = read(Rcode::NoError, cycle, vec![]).expect_err("a loop");
    assert!(error.is_transient(), "{error}");
}

#[test]
fn records_of_other_names_are_not_answers() {
    for authorities in [vec![soa(5, 5)], vec![]] {
        let resolution = read(Rcode::NoError, vec![a("evil.example", 5)], authorities).expect("an answer");
        assert_eq!(resolution, Resolution::OtherName { owner: "evil.example".into(), ttl: secs(5) });
    }
    let chain = vec![cname(NAME, 3, "b.example"), a("evil.example", 5)];
    let resolution = read(Rcode::NoError, chain, vec![soa(5, 5)]).expect("an answer");
    assert_eq!(resolution, Resolution::OtherName { owner: "evil.example".into(), ttl: secs(3) });
    let of_another = vec![cname("evil.example", 5, "c.example")];
    let resolution = read(Rcode::NoError, of_another, vec![soa(5, 5)]).expect("an answer");
    assert_eq!(resolution, Resolution::OtherName { owner: "evil.example".into(), ttl: secs(5) });
    let alias_alone = answer(Rcode::NoError, vec![cname(NAME, 5, "b.example")], vec![soa(5, 5)]);
    assert_eq!(alias_alone, Answer::NoData { ttl: secs(5) });
    let other_type = answer(Rcode::NoError, vec![record("evil.example", 5, Data::Other)], vec![soa(5, 5)]);
    assert_eq!(other_type, Answer::NoData { ttl: secs(5) });
}

#[test]
fn a_negative_answer_lasts_as_long_as_its_soa_says() {
    let nxdomain = answer(Rcode::NxDomain, vec![], vec![soa(30, 5)]);
    assert_eq!(nxdomain, Answer::NxDomain { ttl: secs(5) });
    let nodata = answer(Rcode::NoError, vec![], vec![soa(3, 30)]);
    assert_eq!(nodata, Answer::NoData { ttl: secs(3) });
    let without_soa = answer(Rcode::NxDomain, vec![], vec![]);
    assert_eq!(without_soa, Answer::NxDomain { ttl: NEGATIVE_WITHOUT_SOA });
}

/// RFC 4291 2.5.5.2.
#[test]
fn an_ipv4_mapped_address_is_the_ipv4_address() {
    let aaaa = |ip: &str| record(NAME, 5, Data::Aaaa(ip.parse().expect("an address")));
    let records = vec![aaaa("::ffff:10.0.0.1"), aaaa("::ffff:0.0.0.0"), aaaa("::"), aaaa("fd00::1"), aaaa("::1")];
    let found = Records { additionals: records.clone(), aliases: vec![], records, truncated: false };
    let expected = ["10.0.0.1", "fd00::1", "::1"];
    assert_eq!(found.ips().map(|ip| ip.to_string()).collect::<Vec<_>>(), expected);
    assert_eq!(found.glue().map(|(_, ip, _)| ip.to_string()).collect::<Vec<_>>(), expected);
}

#[test]
fn a_failure_code_is_transient() {
    assert!(read(Rcode::Failure("SERVFAIL".into()), vec![], vec![]).expect_err("a failure").is_transient());
}

/// RFC 2308 section 2.2. With a CNAME, the target is asked for instead.
#[test]
fn a_referral_is_a_failure() {
    let referral = |answers| Response { referral: true, ..response_of(Rcode::NoError, answers, vec![]) };
    let query = Query::new(NAME, Rtype::A);
    assert!(referral(vec![]).check(&query, "a", Standing::First).expect_err("a failure").is_transient());
    assert!(referral(vec![]).read(&query).expect_err("a failure").is_transient());
    assert!(matches!(referral(vec![cname(NAME, 5, "b.example")]).read(&query), Ok(Resolution::Alias(_))));
}

#[test]
fn a_later_nameserver_may_deny_a_host_and_no_service() {
    let denied = response_of(Rcode::NxDomain, vec![], vec![]);
    let check = |name: &str, rtype, standing| denied.check(&Query::new(name, rtype), "b", standing);
    assert!(matches!(check(NAME, Rtype::A, Standing::First), Ok(Use::Answer)));
    for name in [NAME, "_http._tcp.db.shop.svc.k8s.example.com", "10-0-0-1.shop.pod.cluster.local"] {
        assert!(
            [Standing::Proved, Standing::Unproved].iter().all(|standing| check(name, Rtype::A, *standing).is_err()),
            "{name}"
        );
    }
    assert!(check("dns-version.cluster.local", Rtype::Txt, Standing::Proved).is_err());
    assert!(matches!(check("db.example.com", Rtype::A, Standing::Later), Ok(Use::IfEarlierAreDead(_))));
}

/// A captive portal, or a wildcard, answers every name.
#[test]
fn a_later_nameserver_answers_for_the_cluster_after_it_has_proved_the_zone() {
    let query = Query::new(NAME, Rtype::A);
    for answers in [vec![a(NAME, 5)], vec![cname(NAME, 5, "portal.example")]] {
        let found = response_of(Rcode::NoError, answers, vec![]);
        let error = found.check(&query, "b", Standing::Unproved).expect_err("no proof").to_string();
        assert!(error.contains("has not proved") && error.contains("dns-version"), "{error}");
    }
    let found = response_of(Rcode::NoError, vec![a(NAME, 5)], vec![]);
    for standing in [Standing::First, Standing::Later, Standing::Proved] {
        assert!(matches!(found.check(&query, "b", standing), Ok(Use::Answer)), "{standing:?}");
    }
}

#[test]
fn a_version_is_a_proof_and_the_text_of_a_wildcard_is_not() {
    let name = "dns-version.cluster.local";
    for (text, proves) in
        [("1.1.0", true), ("1.0", true), ("", false), ("1", false), ("v=spf1 -all", false), ("1..0", false)]
    {
        let of = |owner| response_of(Rcode::NoError, vec![record(owner, 5, Data::Txt(text.into()))], vec![]);
        assert_eq!(of(name).has_version(name), proves, "{text}");
        assert!(!of("dns-version.elsewhere").has_version(name), "{text}");
    }
}

/// The nameserver of the cluster zone is the one whose SOA is that of the domain right above `svc`.
#[test]
fn only_the_soa_right_above_svc_is_authoritative_for_the_cluster() {
    let is_of_cluster_zone = |name: &str, soa: &str| {
        let soa = record(soa, 5, Data::Soa(5));
        response_of(Rcode::NxDomain, vec![], vec![soa]).is_of_cluster_zone(&Query::new(name, Rtype::A))
    };
    assert!(is_of_cluster_zone("orders.shop.svc.cluster.local", "cluster.local"));
    assert!(is_of_cluster_zone("_http._tcp.orders.shop.svc.k8s.example.com", "k8s.example.com"));
    for (name, soa) in [
        ("orders.shop.svc.cluster.local", ""),
        ("orders.shop.svc.cluster.local", "local"),
        ("orders.shop.svc.k8s.example.com", "example.com"),
        ("orders.shop.svc.cluster.local", "shop.svc.cluster.local"),
        ("db.example.com", "example.com"),
        ("db.example.com", ""),
    ] {
        assert!(!is_of_cluster_zone(name, soa), "{name} {soa:?}");
    }
}

fn name() -> impl Strategy<Value = Arc<str>> {
    prop_oneof![
        Just("orders.shop.svc.cluster.local"),
        Just("_http._tcp.orders.shop.svc.cluster.local"),
        Just("web-0.orders.shop.svc.cluster.local"),
        Just("web-1.orders.shop.svc.cluster.local"),
        Just("db.example.com"),
        Just(""),
        Just("a..b"),
    ]
    .prop_map(Arc::from)
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|ip| Data::A(ip.into())),
        Just(Data::A(Ipv4Addr::UNSPECIFIED)),
        any::<[u8; 16]>().prop_map(|ip| Data::Aaaa(ip.into())),
        name().prop_map(Data::Cname),
        (any::<u16>(), any::<u16>(), prop_oneof![Just(0), any::<u16>()], name())
            .prop_map(|(priority, weight, port, target)| Data::Srv(Srv { priority, weight, port, target })),
        any::<u32>().prop_map(Data::Soa),
        Just(Data::Other),
    ]
}

fn section() -> impl Strategy<Value = Vec<Record>> {
    let record = (name(), any::<u32>(), data()).prop_map(|(name, ttl, data)| Record { name, ttl, data });
    prop::collection::vec(record, 0..8)
}

/// Random responses.
pub(in super::super) fn response() -> impl Strategy<Value = Response> {
    let rcode = prop_oneof![
        6 => Just(Rcode::NoError),
        1 => Just(Rcode::NxDomain),
        1 => Just(Rcode::Failure("SERVFAIL".to_owned())),
    ];
    let sections = (section(), section(), section());
    (rcode, sections, any::<bool>()).prop_map(|(rcode, (answers, authorities, additionals), referral)| Response {
        rcode,
        answers,
        authorities,
        additionals,
        truncated: false,
        referral,
        edns: true,
    })
}

/// An SRV or CNAME record may lead to any octets, which must not reach a log as they are.
#[test]
fn the_error_of_a_name_that_cannot_be_queried_has_no_control_characters() {
    let name = "web-0.order\\200.shop.svc.cluster.local";
    let Err(error) = Query::new(name, Rtype::Aaaa).to_request(true) else { panic!("an octet above ASCII") };
    assert!(error.to_string().contains("web-0.order\\200.shop"), "{error}");
    let mut causes = vec![error.to_string()];
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    assert!(causes.iter().all(|cause| !cause.contains(char::is_control)), "{causes:?}");
}
