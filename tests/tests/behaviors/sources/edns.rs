//! T1: EDNS, and nameservers that do not understand it (RFC 6891 section 7).

use std::time::Duration;

use discovery_core::{Environment, Resolver, context::Families};
use hickory_proto::op::{Message, ResponseCode};
use tests::{addrs, brisk, refusal, within};

use crate::support::raw_dns::{RawDns, Replies, answer, at_once, failure, with_edns};

/// The resolver of a pod with this nameserver.
fn pod(dns: &RawDns) -> Resolver {
    let vars = [("POD_NAMESPACE", "shop"), ("DISCOVERY_CLUSTER_DOMAIN", "cluster.local")];
    let builder = Resolver::builder().environment(Environment::empty().with_env(vars)).nameservers([dns.addr()]);
    builder.families(Families::V4).refresh(brisk()).build().unwrap()
}

/// A nameserver that answers queries without EDNS only, and the others with this failure, or with silence.
async fn without_edns(failed: Option<ResponseCode>, with_question: bool) -> RawDns {
    RawDns::start(move |query, _| match (&query.edns, failed) {
        (None, _) => at_once(&answer(query)),
        (Some(_), None) => Replies::new(),
        (Some(_), Some(code)) => {
            let mut response = failure(query, code);
            if !with_question {
                response.queries.clear();
            }
            at_once(&response)
        }
    })
    .await
}

fn with_opt(dns: &RawDns) -> usize {
    dns.queries().iter().filter(|query| query.edns.is_some()).count()
}

/// T1.
#[tokio::test]
async fn a_nameserver_without_edns_is_asked_once_more_without_it_and_remembered() {
    use ResponseCode::{FormErr, NotImp, ServFail};
    for (code, with_question) in [(FormErr, true), (FormErr, false), (NotImp, true), (NotImp, false), (ServFail, true)]
    {
        let dns = without_edns(Some(code), with_question).await;
        let resolver = pod(&dns);
        let upstream = within("an answer", resolver.resolve("orders:80")).await.expect("endpoints");
        assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:80"], "{code}");
        assert_eq!((with_opt(&dns), dns.queries().len()), (1, 2), "{code}");
        for target in ["billing:80", "stock:80", "mail:80"] {
            within(target, resolver.resolve(target)).await.unwrap();
        }
        assert_eq!(with_opt(&dns), 1, "{code}: remembered for all names");
    }
}

/// T1. The third packet goes without EDNS.
#[tokio::test]
async fn a_nameserver_that_drops_edns_is_asked_without_it_and_remembered() {
    let dns = without_edns(None, true).await;
    let resolver = pod(&dns);
    within("an answer", resolver.resolve("orders:80")).await.expect("endpoints");
    let lost = with_opt(&dns);
    assert_eq!(lost, 2);
    for target in ["billing:80", "stock:80", "mail:80"] {
        within(target, resolver.resolve(target)).await.unwrap();
    }
    assert_eq!(with_opt(&dns), lost);
}

/// T1. Most failures are not about EDNS.
#[tokio::test]
async fn lost_packets_and_failures_do_not_switch_edns_off() {
    // The first packets are lost.
    let dns = RawDns::start(|query, nth| if nth <= 1 { Replies::new() } else { at_once(&answer(query)) }).await;
    let resolver = pod(&dns);
    for target in ["orders:80", "billing:80"] {
        within(target, resolver.resolve(target)).await.unwrap();
    }
    assert_eq!(with_opt(&dns), dns.queries().len());

    // A nameserver that has EDNS in its failure understands EDNS.
    let dns = RawDns::start(|query, _| at_once(&with_edns(failure(query, ResponseCode::ServFail)))).await;
    assert!(refusal(&pod(&dns), "orders:80").await.is_transient());
    assert_eq!(with_opt(&dns), dns.queries().len());

    // A nameserver that has answered a query with EDNS before understands EDNS, too, with or without it in the answer.
    let dns = RawDns::start(|query, nth| {
        at_once(&if nth == 1 { answer(query) } else { failure(query, ResponseCode::ServFail) })
    })
    .await;
    let resolver = pod(&dns);
    within("an answer", resolver.resolve("orders:80")).await.unwrap();
    assert!(refusal(&resolver, "billing:80").await.is_transient());
    assert_eq!(with_opt(&dns), dns.queries().len());
}

/// T1. A failure with EDNS and without it: one more query, and then none for a while.
#[tokio::test]
async fn a_nameserver_that_always_fails_is_not_asked_twice_each_time() {
    let dns = RawDns::start(|query, _| at_once(&failure(query, ResponseCode::ServFail))).await;
    let resolver = pod(&dns);
    for n in 0..5 {
        assert!(refusal(&resolver, &format!("orders-{n}:80")).await.is_transient());
    }
    assert_eq!(dns.queries().len() - with_opt(&dns), 1);
}

fn edited(query: &Message, edit: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = answer(query).to_vec().unwrap();
    edit(&mut bytes);
    bytes
}

/// F17. What is not the response to the query does not end it: the response that follows counts.
#[tokio::test]
async fn packets_that_are_not_the_response_are_passed_over() {
    let name_end = |bytes: &[u8]| 12 + bytes[12..].iter().position(|byte| *byte == 0).unwrap();
    type Edit = fn(&mut Vec<u8>, usize);
    let edits: [(&str, Edit); 8] = [
        ("another id", |bytes, _| bytes[0] ^= 1),
        ("a query", |bytes, _| bytes[2] &= 0x7f),
        ("another operation", |bytes, _| bytes[2] |= 0x28),
        ("another class", |bytes, end| bytes[end + 4] = 3),
        ("another type", |bytes, end| bytes[end + 2] = 28),
        ("another name", |bytes, _| bytes[13] ^= 1),
        ("cut off", |bytes, end| bytes.truncate(end + 6)),
        ("two bytes", |bytes, _| bytes.truncate(2)),
    ];
    for (what, edit) in edits {
        let dns = RawDns::start(move |query, _| {
            let wrong = edited(query, |bytes| {
                let end = name_end(bytes);
                edit(bytes, end);
            });
            vec![(Duration::ZERO, wrong), (Duration::from_millis(60), answer(query).to_vec().unwrap())]
        })
        .await;
        let upstream = within(what, pod(&dns).resolve("orders:80")).await.expect(what);
        assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:80"], "{what}");
        assert_eq!(dns.queries().len(), 1, "{what}");
    }
}

/// RFC 2308 section 2.2.
#[tokio::test]
async fn a_referral_is_a_failure_and_not_nodata() {
    use hickory_proto::rr::{Name, RData, Record, rdata::NS};
    let dns = RawDns::start(|query, _| {
        let mut response = failure(query, ResponseCode::NoError);
        let server = RData::NS(NS(Name::from_ascii("a.root-servers.net.").unwrap()));
        response.authorities.push(Record::from_rdata(Name::root(), 518_400, server));
        at_once(&response)
    })
    .await;
    let error = refusal(&pod(&dns), "db.example.com:80").await;
    assert!(error.is_transient() && !error.is_no_endpoints(), "{error}");
    assert!(error.to_string().contains("referral"), "{error}");
}

/// Each packet of a question has its own id, from all of the 16 bits.
#[tokio::test]
async fn every_packet_has_a_fresh_id() {
    let dns =
        RawDns::start(|query, nth| if nth.is_multiple_of(3) { at_once(&answer(query)) } else { Replies::new() }).await;
    let resolver = pod(&dns);
    for n in 0..8 {
        within("an answer", resolver.resolve(format!("orders-{n}:80").as_str())).await.unwrap();
    }
    let ids: std::collections::BTreeSet<u16> = dns.queries().iter().map(|query| query.metadata.id).collect();
    assert!(ids.len() + 1 >= dns.queries().len(), "one pair may be equal by chance: {ids:?}");
    assert!(ids.iter().any(|id| *id > 0x7fff) && ids.iter().any(|id| *id < 0x8000), "{ids:?}");
}
