//! One test per rule of the DNS specification, with the cases of CoreDNS' `handler_test.go` where one exists.

mod apex;
mod inside;
mod pods;
mod unsynced;

use hickory_proto::op::ResponseCode;

use super::*;

/// Completes a name: `orders.shop` is `orders.shop.svc.cluster.local.`.
fn svc(name: &str) -> String {
    format!("{name}.svc.cluster.local.")
}

fn zone(services: impl IntoIterator<Item = Service>) -> Zone {
    let domain = DnsName::require("domain", "cluster.local");
    let mut zone = Zone::new(&domain, Ipv4Addr::LOCALHOST.into(), DEFAULT_TTL, PodRecords::default());
    for service in services {
        zone.apply(service);
    }
    zone
}

fn orders() -> Service {
    Service::cluster_ip("shop", "orders").ip("10.0.0.1").port("http", 80)
}

fn nginx() -> Service {
    Service::headless("shop", "nginx").port("web", 8080)
}

/// Formats records in zone file notation, without TTL and class.
fn show(records: &[Record]) -> Vec<String> {
    let show = |record: &Record| {
        let data = match &record.data {
            Data::A(ip) => ip.to_string(),
            Data::Aaaa(ip) => ip.to_string(),
            Data::Srv { priority, weight, port, target } => format!("{priority} {weight} {port} {target}"),
            Data::Txt(text) => text.clone(),
            Data::Ptr(name) | Data::Cname(name) | Data::Ns(name) => name.clone(),
            Data::Soa { minimum, .. } => minimum.to_string(),
        };
        format!("{} {} {data}", record.owner, record.data.qtype())
    };
    records.iter().map(show).collect()
}

#[track_caller]
fn assert_answer(zone: &Zone, name: &str, qtype: QType, expected: &[&str]) {
    let answer = zone.answer(name, qtype);
    assert_eq!(answer.code, ResponseCode::NoError);
    assert_eq!(show(&answer.answers), expected);
    assert!(answer.authorities.is_empty());
}

#[track_caller]
fn assert_negative(zone: &Zone, name: &str, qtype: QType, code: ResponseCode) {
    let answer = zone.answer(name, qtype);
    assert_eq!((answer.code, answer.answers), (code, vec![]), "{name}");
    let [soa] = answer.authorities.as_slice() else {
        panic!("{name}: expected one SOA");
    };
    let Data::Soa { minimum, .. } = soa.data else {
        panic!("{name}: not an SOA");
    };
    assert_eq!((soa.ttl, minimum), (zone.ttl, zone.ttl));
}

#[track_caller]
fn assert_nodata(zone: &Zone, name: &str, qtype: QType) {
    assert_negative(zone, name, qtype, ResponseCode::NoError);
}

#[track_caller]
fn assert_nxdomain(zone: &Zone, name: &str, qtype: QType) {
    assert_negative(zone, name, qtype, ResponseCode::NXDomain);
}

#[test]
fn answers_with_the_schema_version() {
    let zone = zone([]);
    let answer = zone.answer("dns-version.cluster.local.", QType::TXT);
    assert_eq!(show(&answer.answers), ["dns-version.cluster.local. TXT 1.1.0"]);
    assert_eq!(answer.answers[0].ttl, 28_800);
}

#[test]
fn cluster_ip_answers_a_with_its_address() {
    let zone = zone([orders()]);
    let name = svc("orders.shop");
    assert_answer(&zone, &name, QType::A, &[&format!("{name} A 10.0.0.1")]);
    assert_eq!(zone.answer(&name, QType::A).answers[0].ttl, 5);
    assert_nodata(&zone, &name, QType::AAAA);
}

#[test]
fn dual_stack_cluster_ip_answers_both_types() {
    let zone = zone([orders().ip("fd00::1")]);
    let name = svc("orders.shop");
    assert_answer(&zone, &name, QType::A, &[&format!("{name} A 10.0.0.1")]);
    assert_answer(&zone, &name, QType::AAAA, &[&format!("{name} AAAA fd00::1")]);
}

#[test]
fn cluster_ip_answers_srv_by_port_and_protocol() {
    let zone = zone([orders().udp_port("dns", 53)]);
    let (name, target) = (svc("_http._tcp.orders.shop"), svc("orders.shop"));
    assert_answer(&zone, &name, QType::SRV, &[&format!("{name} SRV 0 100 80 {target}")]);
    let glue = zone.answer(&name, QType::SRV).additionals;
    assert_eq!(show(&glue), [format!("{target} A 10.0.0.1")]);
    let udp = svc("_dns._udp.orders.shop");
    assert_answer(&zone, &udp, QType::SRV, &[&format!("{udp} SRV 0 100 53 {target}")]);
    assert_nxdomain(&zone, &svc("_http._udp.orders.shop"), QType::SRV);
    assert_nxdomain(&zone, &svc("_other._tcp.orders.shop"), QType::SRV);
}

#[test]
fn dual_stack_srv_has_one_record_of_half_the_weight() {
    let zone = zone([orders().ip("fd00::1")]);
    let (name, target) = (svc("_http._tcp.orders.shop"), svc("orders.shop"));
    assert_answer(&zone, &name, QType::SRV, &[&format!("{name} SRV 0 50 80 {target}")]);
    let glue = zone.answer(&name, QType::SRV).additionals;
    assert_eq!(show(&glue), [format!("{target} A 10.0.0.1"), format!("{target} AAAA fd00::1")]);
}

#[test]
fn headless_lists_only_ready_endpoints() {
    let zone = zone([nginx().pod(Pod::new("10.1.0.1")).pod(Pod::new("10.1.0.2").not_ready()).pod(Pod::new("fd00::2"))]);
    let name = svc("nginx.shop");
    assert_answer(&zone, &name, QType::A, &[&format!("{name} A 10.1.0.1")]);
    assert_answer(&zone, &name, QType::AAAA, &[&format!("{name} AAAA fd00::2")]);
}

#[test]
fn headless_without_a_ready_endpoint_is_nxdomain() {
    let unready = nginx().pod(Pod::new("10.1.0.1").not_ready());
    for service in [nginx(), unready] {
        let zone = zone([service]);
        assert_nxdomain(&zone, &svc("nginx.shop"), QType::A);
        assert_nxdomain(&zone, &svc("_web._tcp.nginx.shop"), QType::SRV);
    }
}

#[test]
fn headless_with_ready_endpoints_of_the_other_family_is_nodata() {
    let zone = zone([nginx().pod(Pod::new("10.1.0.1"))]);
    assert_nodata(&zone, &svc("nginx.shop"), QType::AAAA);
}

#[test]
fn headless_lists_each_address_once() {
    let zone = zone([nginx().port("admin", 9090).pod(Pod::new("10.1.0.1"))]);
    let name = svc("nginx.shop");
    assert_answer(&zone, &name, QType::A, &[&format!("{name} A 10.1.0.1")]);
}

#[test]
fn publish_not_ready_addresses_lists_unready_pods() {
    let unready = nginx().pod(Pod::new("10.1.0.1").not_ready());
    let zone = zone([unready.publish_not_ready_addresses()]);
    let name = svc("nginx.shop");
    assert_answer(&zone, &name, QType::A, &[&format!("{name} A 10.1.0.1")]);
}

#[test]
fn headless_endpoint_answers_by_its_host_name() {
    let zone = zone([nginx()
        .pod(Pod::new("10.1.0.1").hostname("web-0"))
        .pod(Pod::new("10.1.0.2").hostname("dup"))
        .pod(Pod::new("10.1.0.3").hostname("dup"))
        .pod(Pod::new("10.1.0.4"))
        .pod(Pod::new("fd00::"))]);
    for (host, qtype, ips) in [
        ("web-0", QType::A, &["10.1.0.1"][..]),
        ("dup", QType::A, &["10.1.0.2", "10.1.0.3"]),
        ("10-1-0-4", QType::A, &["10.1.0.4"]),
        ("fd00--0", QType::AAAA, &["fd00::"]),
    ] {
        let name = svc(&format!("{host}.nginx.shop"));
        let expected: Vec<_> = ips.iter().map(|ip| format!("{name} {qtype} {ip}")).collect();
        assert_eq!(show(&zone.answer(&name, qtype).answers), expected);
    }
    assert_nodata(&zone, &svc("web-0.nginx.shop"), QType::AAAA);
    assert_nxdomain(&zone, &svc("10-1-0-1.nginx.shop"), QType::A);
    assert_nxdomain(&zone, &svc("web-1.nginx.shop"), QType::A);
}

/// `hdls1` of CoreDNS' `handler_test.go`: six addresses, weight 16, one record for the two called `dup-name`.
#[test]
fn headless_srv_matches_coredns() {
    let zone = zone([Service::headless("testns", "hdls1")
        .port("http", 80)
        .pod(Pod::new("172.0.0.2"))
        .pod(Pod::new("172.0.0.3"))
        .pod(Pod::new("172.0.0.4").hostname("dup-name"))
        .pod(Pod::new("172.0.0.5").hostname("dup-name"))
        .pod(Pod::new("5678:abcd::1"))
        .pod(Pod::new("5678:abcd::2"))]);
    let name = svc("_http._tcp.hdls1.testns");
    let host = |label: &str| svc(&format!("{label}.hdls1.testns"));
    let answer = zone.answer(&name, QType::SRV);
    let hosts = ["172-0-0-2", "172-0-0-3", "dup-name", "5678-abcd--1", "5678-abcd--2"];
    let srv = hosts.map(|label| format!("{name} SRV 0 16 80 {}", host(label)));
    assert_eq!(show(&answer.answers), srv);
    assert_eq!(
        show(&answer.additionals),
        [
            format!("{} A 172.0.0.2", host("172-0-0-2")),
            format!("{} A 172.0.0.3", host("172-0-0-3")),
            format!("{} A 172.0.0.4", host("dup-name")),
            format!("{} A 172.0.0.5", host("dup-name")),
            format!("{} AAAA 5678:abcd::1", host("5678-abcd--1")),
            format!("{} AAAA 5678:abcd::2", host("5678-abcd--2")),
        ]
    );
}

#[test]
fn headless_srv_of_many_endpoints_has_weight_1() {
    let pods = (1..=150).map(|n| Pod::new(Ipv4Addr::new(10, 1, 0, n)));
    let zone = zone([pods.fold(nginx(), Service::pod)]);
    let answer = zone.answer(&svc("_web._tcp.nginx.shop"), QType::SRV);
    assert_eq!(answer.answers.len(), 150);
    assert!(matches!(answer.answers[0].data, Data::Srv { weight: 1, .. }));
}

#[test]
fn unnamed_port_appears_under_the_bare_name_only() {
    let zone = zone([orders().unnamed_port(9000)]);
    let name = svc("orders.shop");
    let srv = [80, 9000].map(|port| format!("{name} SRV 0 50 {port} {name}"));
    assert_eq!(show(&zone.answer(&name, QType::SRV).answers), srv);
}

#[test]
fn port_name_answers_a_as_well() {
    let zone = zone([orders()]);
    let name = svc("_http._tcp.orders.shop");
    assert_answer(&zone, &name, QType::A, &[&format!("{name} A 10.0.0.1")]);
}

#[test]
fn headless_without_ports_has_addresses_but_no_srv() {
    let zone = zone([Service::headless("shop", "bare").pod(Pod::new("172.0.0.20"))]);
    for name in [svc("bare.shop"), svc("172-0-0-20.bare.shop")] {
        assert_answer(&zone, &name, QType::A, &[&format!("{name} A 172.0.0.20")]);
        assert_nodata(&zone, &name, QType::SRV);
    }
}

fn external(target: &str) -> Zone {
    let mut zone = zone([orders(), Service::external_name("shop", "db", target)]);
    let name = DnsName::require("name", "db.example.com");
    zone.external.add(&name, Data::from(IpAddr::from([10, 9, 9, 9])));
    zone.external.set_ttl(&name, 300);
    zone
}

/// Seen with CoreDNS 1.14.7.
#[test]
fn negative_answer_is_valid_for_at_most_five_minutes() {
    let mut zone = external("db.example.com");
    zone.ttl = 600;
    let [soa] = &zone.answer(&svc("none.shop"), QType::A).authorities[..] else { panic!("expected one SOA") };
    assert!(matches!(soa.data, Data::Soa { minimum: 600, .. }) && soa.ttl == 300, "{soa:?}");
}

/// Seen with CoreDNS 1.14.7.
#[test]
fn some_types_ignore_whether_the_name_exists() {
    let zone = external("db.example.com");
    assert_nodata(&zone, &svc("none.shop"), QType::SOA);
    assert_nodata(&zone, "9.9.9.10.in-addr.arpa.", QType::SOA);
    for empty in ["cluster.local.", "svc.cluster.local.", "shop.svc.cluster.local."] {
        assert_nodata(&zone, empty, QType::A);
        assert_nxdomain(&zone, empty, QType::TXT);
    }
    assert_nodata(&zone, &svc("db.shop"), QType::TXT);
    assert_nodata(&zone, "CLUSTER.LOCAL.", QType::NS);
    assert_eq!(show(&zone.answer("IN-ADDR.ARPA.", QType::SOA).answers), ["IN-ADDR.ARPA. SOA 5"]);
}

#[test]
fn external_name_answers_with_a_cname() {
    let zone = external("db.example.com");
    let name = svc("db.shop");
    let cname = format!("{name} CNAME db.example.com.");
    assert_answer(&zone, &name, QType::A, &[&cname, "db.example.com. A 10.9.9.9"]);
    let ttls: Vec<u32> = zone.answer(&name, QType::A).answers.iter().map(|r| r.ttl).collect();
    assert_eq!(ttls, [5, 300]);
    assert_answer(&zone, &name, QType::AAAA, &[&cname]);
    assert_answer(&zone, &name, QType::CNAME, &[&cname]);
    assert_nodata(&zone, &name, QType::SRV);
    assert_nxdomain(&zone, &svc("_http._tcp.db.shop"), QType::SRV);
    assert_nxdomain(&zone, &svc("x.db.shop"), QType::CNAME);
}

#[test]
fn external_name_with_upstream_nxdomain_is_the_cname_alone() {
    let zone = external("gone.example.com");
    let name = svc("db.shop");
    assert_answer(&zone, &name, QType::A, &[&format!("{name} CNAME gone.example.com.")]);
}

/// Seen with CoreDNS 1.14.7.
#[test]
fn external_name_that_looks_like_an_address_is_nxdomain() {
    for qtype in [QType::A, QType::AAAA, QType::CNAME, QType::SRV, QType::TXT] {
        assert_nxdomain(&external("1.2.3.4"), &svc("db.shop"), qtype);
    }
}

#[test]
fn external_name_with_upstream_failure_is_nodata() {
    let mut zone = external("db.example.com");
    zone.external.down = true;
    assert_nodata(&zone, &svc("db.shop"), QType::A);
    assert_eq!(zone.answer("db.example.com.", QType::A).code, ResponseCode::ServFail);
}

#[test]
fn external_name_may_refer_to_the_cluster() {
    let zone = external("orders.shop.svc.cluster.local");
    let (name, target) = (svc("db.shop"), svc("orders.shop"));
    let expected = [format!("{name} CNAME {target}"), format!("{target} A 10.0.0.1")];
    assert_eq!(show(&zone.answer(&name, QType::A).answers), expected);
    // The target has no record of this type.
    assert_nodata(&zone, &name, QType::AAAA);
    assert_nodata(&external("none.shop.svc.cluster.local"), &name, QType::A);
}

#[test]
fn external_name_loop_is_nodata() {
    let name = svc("db.shop");
    assert_nodata(&external(&name), &name, QType::A);
    let mut zone = external(&svc("back.shop"));
    zone.apply(Service::external_name("shop", "back", &name));
    assert_nodata(&zone, &name, QType::A);
}

#[test]
fn ptr_answers_for_services_and_endpoints() {
    let mut zone = zone([
        orders(),
        nginx()
            .pod(Pod::new("10.1.0.1").hostname("web-0"))
            .pod(Pod::new("fd00::1"))
            .pod(Pod::new("10.1.0.9").not_ready()),
    ]);
    zone.apply(Service::headless("shop", "peers").pod(Pod::new("10.1.0.1")));
    let reverse6 = format!("1.{}0.0.d.f.ip6.arpa.", "0.".repeat(27));
    for (name, targets) in [
        ("1.0.0.10.in-addr.arpa.", &["orders.shop"][..]),
        ("1.0.1.10.IN-ADDR.arpa.", &["10-1-0-1.peers.shop", "web-0.nginx.shop"]),
        (&reverse6, &["fd00--1.nginx.shop"]),
    ] {
        let expected: Vec<_> = targets.iter().map(|t| format!("{name} PTR {}", svc(t))).collect();
        assert_eq!(show(&zone.answer(name, QType::PTR).answers), expected);
    }
    for unknown in ["9.0.1.10.in-addr.arpa.", "0.10.in-addr.arpa.", "x.in-addr.arpa."] {
        assert_nxdomain(&zone, unknown, QType::PTR);
    }
}

#[test]
fn pod_names_follow_the_pod_records_setting() {
    let mut zone = zone([nginx().pod(Pod::new("10.1.0.1"))]);
    let known = "10-1-0-1.shop.pod.cluster.local.";
    let unknown = "10-1-0-2.shop.pod.cluster.local.";
    let v6 = "fd00--1.shop.pod.cluster.local.";
    assert_nxdomain(&zone, known, QType::A);
    zone.pod_records = PodRecords::Insecure;
    assert_answer(&zone, unknown, QType::A, &[&format!("{unknown} A 10.1.0.2")]);
    assert_answer(&zone, v6, QType::AAAA, &[&format!("{v6} AAAA fd00::1")]);
    assert_nxdomain(&zone, "nonsense.shop.pod.cluster.local.", QType::A);
    assert_nxdomain(&zone, "10-1-0-1.none.pod.cluster.local.", QType::A);
    zone.pod_records = PodRecords::Verified;
    assert_answer(&zone, known, QType::A, &[&format!("{known} A 10.1.0.1")]);
    assert_nxdomain(&zone, unknown, QType::A);
}

#[test]
fn empty_non_terminals_are_nodata() {
    let mut zone = zone([orders()]);
    zone.add_namespace("empty".to_owned());
    for name in ["cluster.local.", "svc.cluster.local.", "pod.cluster.local."] {
        assert_nodata(&zone, name, QType::A);
    }
    assert_nodata(&zone, &svc("empty"), QType::AAAA);
    zone.remove("shop", "orders");
    assert_nodata(&zone, &svc("shop"), QType::A);
}

#[test]
fn unknown_names_are_nxdomain() {
    let zone = zone([orders()]);
    for name in ["none.shop", "x.orders.shop", "x.none.shop", "orders.none", "none", "a.b.c.orders.shop"] {
        assert_nxdomain(&zone, &svc(name), QType::A);
        assert_nxdomain(&zone, &svc(name), QType::NS);
    }
    assert_nxdomain(&zone, "foo.cluster.local.", QType::A);
}

#[test]
fn apex_answers_soa_and_ns() {
    let zone = zone([orders()]);
    assert_answer(&zone, "cluster.local.", QType::SOA, &["cluster.local. SOA 5"]);
    let ns = "ns.dns.cluster.local.";
    assert_answer(&zone, "cluster.local.", QType::NS, &[&format!("cluster.local. NS {ns}")]);
    assert_answer(&zone, ns, QType::A, &[&format!("{ns} A 127.0.0.1")]);
    assert_nodata(&zone, &svc("orders.shop"), QType::SOA);
}

#[test]
fn zone_ttl_applies_to_negative_answers() {
    let mut zone = zone([orders()]);
    zone.ttl = 30;
    assert_nxdomain(&zone, &svc("none.shop"), QType::A);
    assert_eq!(zone.answer(&svc("orders.shop"), QType::A).answers[0].ttl, 30);
}

#[test]
fn echoes_the_case_of_the_query() {
    let zone = zone([orders()]);
    let name = "_HTTP._tcp.Orders.SHOP.svc.Cluster.LOCAL.";
    let target = "orders.shop.svc.Cluster.LOCAL.";
    assert_answer(&zone, name, QType::SRV, &[&format!("{name} SRV 0 100 80 {target}")]);
    let soa = zone.answer("None.SHOP.svc.Cluster.LOCAL.", QType::A).authorities;
    assert_eq!(show(&soa), ["Cluster.LOCAL. SOA 5"]);
}

#[test]
fn refuses_zone_transfers() {
    let answer = zone([]).answer("cluster.local.", QType::Other(252));
    assert_eq!(answer, Answer::from_code(ResponseCode::Refused));
}

#[test]
fn resolves_names_outside_the_cluster() {
    let mut zone = zone([orders()]);
    let mut add = |name: &str, data: Data| zone.external.add(&DnsName::require("n", name), data);
    add("a.example.com", Data::Cname("B.example.com.".to_owned()));
    add("b.example.com", Data::from(IpAddr::from([1, 1, 1, 1])));
    add("in.example.com", Data::Cname(svc("orders.shop")));
    add("loop.example.com", Data::Cname("loop.example.com.".to_owned()));
    add("*.corp.example", Data::from(IpAddr::from([6, 6, 6, 6])));
    add("host.corp.example", Data::from(IpAddr::from([7, 7, 7, 7])));
    assert_answer(
        &zone,
        "A.example.com.",
        QType::A,
        &["A.example.com. CNAME B.example.com.", "B.example.com. A 1.1.1.1"],
    );
    let inside = zone.answer("in.example.com.", QType::A).answers;
    assert_eq!(show(&inside)[1], format!("{} A 10.0.0.1", svc("orders.shop")));
    let wild = "orders.shop.svc.corp.example.";
    assert_answer(&zone, wild, QType::A, &[&format!("{wild} A 6.6.6.6")]);
    assert_answer(&zone, "host.corp.example.", QType::A, &["host.corp.example. A 7.7.7.7"]);
    assert_nodata(&zone, "corp.example.", QType::A);
    assert_nodata(&zone, "b.example.com.", QType::AAAA);
    assert_nxdomain(&zone, "x.host.corp.example.", QType::A);
    assert_nxdomain(&zone, "none.example.com.", QType::A);
    assert!(!zone.answer("loop.example.com.", QType::A).answers.is_empty());
    let soa = zone.answer("none.example.com.", QType::A).authorities;
    assert_eq!(soa[0].owner, ".");
}

#[test]
fn answers_srv_outside_the_cluster_with_known_addresses() {
    let mut zone = zone([]);
    for (priority, target) in [(1, "A.example.com."), (2, "b.example.com."), (3, ".")] {
        let target = target.to_owned();
        let data = Data::Srv { priority, weight: 5, port: 0, target };
        zone.external.add(&DnsName::require("n", "_x._tcp.example.com"), data);
    }
    let a = DnsName::require("n", "a.example.com");
    zone.external.add(&a, Data::from(IpAddr::from([1, 1, 1, 1])));
    let answer = zone.answer("_x._tcp.example.com.", QType::SRV);
    assert_eq!(answer.answers.len(), 3);
    assert_eq!(show(&answer.additionals), ["A.example.com. A 1.1.1.1"]);
}

#[test]
fn glue_modes_change_the_additional_section() {
    let mut zone = zone([nginx().pod(Pod::new("10.1.0.1")).pod(Pod::new("10.1.0.2"))]);
    let name = svc("_web._tcp.nginx.shop");
    for (glue, count) in [(Glue::Full, 2), (Glue::None, 0), (Glue::Partial(1), 1)] {
        zone.glue = glue;
        assert_eq!(zone.answer(&name, QType::SRV).additionals.len(), count);
    }
    zone.glue = Glue::Misnamed;
    let answer = zone.answer(&name, QType::SRV);
    assert_eq!(answer.answers.len(), 2);
    assert_eq!(show(&answer.additionals)[1], "stray-1.invalid. A 192.0.2.1");
}

#[test]
fn same_seed_gives_the_same_order() {
    let pods = (1..=20).map(|n| Pod::new(Ipv4Addr::new(10, 1, 0, n)));
    let zone = zone([pods.fold(nginx(), Service::pod)]);
    let declared = zone.answer(&svc("nginx.shop"), QType::A);
    let shuffled = |mut order: Order| {
        let mut answer = declared.clone();
        order.apply(&mut answer);
        answer.answers
    };
    let one = shuffled(Order::shuffled(1));
    assert_eq!(one, shuffled(Order::shuffled(1)));
    assert_ne!(one, shuffled(Order::shuffled(2)));
    assert_ne!(one, declared.answers);
    assert!(declared.answers.iter().all(|record| one.contains(record)));
    assert_eq!(shuffled(Order::fixed()), declared.answers);
}

#[test]
fn aliases_stay_first_when_shuffled() {
    let zone = external("db.example.com");
    let mut answer = zone.answer(&svc("db.shop"), QType::A);
    Order::shuffled(7).apply(&mut answer);
    assert_eq!(answer.answers[0].data.qtype(), QType::CNAME);
}
