//! Declared names inside the cluster domain.

use super::*;

fn declare(zone: &mut Zone, name: &str, data: impl Into<Data>) {
    zone.external.add(&DnsName::require("name", name), data.into());
}

/// As the `hosts` plugin of CoreDNS, which comes before `kubernetes`: authoritative, and NODATA without an SOA.
#[test]
fn declared_name_inside_the_cluster_domain_is_answered() {
    let mut zone = zone([orders()]);
    let legacy = "legacy.cluster.local.";
    declare(&mut zone, legacy, IpAddr::from([192, 0, 2, 7]));
    let answer = zone.answer(legacy, QType::A);
    assert_eq!((show(&answer.answers), answer.authoritative), (vec![format!("{legacy} A 192.0.2.7")], true));
    for qtype in [QType::AAAA, QType::SRV, QType::NS] {
        assert_eq!(zone.answer(legacy, qtype), Answer::from_records(Vec::new()), "{qtype}");
    }
    // Seen with CoreDNS 1.14.7.
    assert_nxdomain(&zone, legacy, QType::PTR);
    assert_nxdomain(&zone, "other.cluster.local.", QType::A);
    assert_nxdomain(&zone, "a.legacy.cluster.local.", QType::A);
    // Neither the upstream resolver nor the API has a part in it.
    zone.external.down = true;
    zone.synced = false;
    assert_answer(&zone, legacy, QType::A, &[&format!("{legacy} A 192.0.2.7")]);
}

#[test]
fn declared_name_takes_precedence_over_the_service_of_that_name() {
    let mut zone = zone([orders()]);
    let name = svc("orders.shop");
    declare(&mut zone, &name, IpAddr::from([192, 0, 2, 7]));
    assert_answer(&zone, &name, QType::A, &[&format!("{name} A 192.0.2.7")]);
    declare(&mut zone, "dns-version.cluster.local", Data::Txt("1.0.0".to_owned()));
    assert_eq!(
        show(&zone.answer("dns-version.cluster.local.", QType::TXT).answers),
        ["dns-version.cluster.local. TXT 1.0.0"]
    );
}

/// As with `fallthrough` in CoreDNS: a plugin after `kubernetes` answers what `kubernetes` denies.
#[test]
fn declared_wildcard_inside_the_cluster_domain_answers_what_is_denied() {
    let mut zone = zone([orders()]);
    declare(&mut zone, "*.cluster.local", IpAddr::from([192, 0, 2, 8]));
    for denied in [svc("none.shop"), "other.cluster.local.".to_owned()] {
        assert_answer(&zone, &denied, QType::A, &[&format!("{denied} A 192.0.2.8")]);
    }
    let name = svc("orders.shop");
    assert_answer(&zone, &name, QType::A, &[&format!("{name} A 10.0.0.1")]);
    assert_nodata(&zone, &name, QType::AAAA);
    assert_nodata(&zone, &svc("shop"), QType::A);
    // A wildcard above the cluster domain belongs to the upstream resolver, which is not asked.
    assert!(zone.external.remove(&DnsName::require("name", "*.cluster.local")));
    declare(&mut zone, "*.local", IpAddr::from([6, 6, 6, 6]));
    assert_nxdomain(&zone, &svc("none.shop"), QType::A);
    assert_answer(&zone, "db.local.", QType::A, &["db.local. A 6.6.6.6"]);
}

#[test]
fn declared_alias_inside_the_cluster_domain_is_followed() {
    let mut zone = zone([orders()]);
    let (alias, target) = ("alias.cluster.local.", svc("orders.shop"));
    declare(&mut zone, alias, Data::Cname(target.clone()));
    let expected = [format!("{alias} CNAME {target}"), format!("{target} A 10.0.0.1")];
    assert_eq!(show(&zone.answer(alias, QType::A).answers), expected);
    assert_answer(&zone, alias, QType::CNAME, &[&expected[0]]);
    declare(&mut zone, "www.example.com", Data::Cname("Legacy.cluster.local.".to_owned()));
    declare(&mut zone, "legacy.cluster.local", IpAddr::from([192, 0, 2, 7]));
    let through = zone.answer("www.example.com.", QType::A);
    assert_eq!(show(&through.answers)[1], "Legacy.cluster.local. A 192.0.2.7");
    // Outside the cluster the upstream resolver is needed.
    declare(&mut zone, "out.cluster.local", Data::Cname("db.example.com.".to_owned()));
    declare(&mut zone, "db.example.com", IpAddr::from([10, 9, 9, 9]));
    assert_eq!(show(&zone.answer("out.cluster.local.", QType::A).answers)[1], "db.example.com. A 10.9.9.9");
    zone.external.down = true;
    assert_eq!(zone.answer("out.cluster.local.", QType::A).code, ResponseCode::ServFail);
}
