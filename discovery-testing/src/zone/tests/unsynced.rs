//! A server that has not synced with the API.

use super::*;

/// `TestNotSyncedServeDNS` of CoreDNS' `handler_test.go`: SERVFAIL, authoritative, with the SOA of the zone. The reverse
/// zones belong to the same plugin.
#[test]
fn unsynced_server_answers_servfail_with_its_soa_instead_of_nxdomain() {
    let mut zone = zone([orders()]);
    zone.synced = false;
    for (name, qtype, owner) in [
        (svc("none.shop"), QType::A, "cluster.local."),
        (svc("none.shop"), QType::TXT, "cluster.local."),
        (svc("None.SHOP"), QType::SRV, "cluster.local."),
        (svc("orders.none"), QType::NS, "cluster.local."),
        ("9.9.9.10.in-addr.arpa.".to_owned(), QType::PTR, "in-addr.arpa."),
        ("9.9.9.10.in-addr.arpa.".to_owned(), QType::TXT, "in-addr.arpa."),
    ] {
        let answer = zone.answer(&name, qtype);
        assert_eq!((answer.code, answer.authoritative), (ResponseCode::ServFail, true), "{name} {qtype}");
        assert_eq!(show(&answer.authorities), [format!("{owner} SOA 5")], "{name} {qtype}");
        assert!(answer.answers.is_empty());
    }
    let name = svc("orders.shop");
    assert_answer(&zone, &name, QType::A, &[&format!("{name} A 10.0.0.1")]);
    assert_nodata(&zone, &name, QType::AAAA);
    assert_nxdomain(&zone, "none.example.com.", QType::A);
}
