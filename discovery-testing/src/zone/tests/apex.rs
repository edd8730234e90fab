//! The Service in front of the server.

use super::*;

/// `TestNsAddrs` of CoreDNS' `ns_test.go`, one Service at a time.
#[test]
fn apex_ns_names_the_service_in_front_of_the_server() {
    let ns = |zone: &Zone, apex: &str| {
        let answer = zone.answer(apex, QType::NS);
        (show(&answer.answers), show(&answer.additionals))
    };
    let mut zone = zone([orders()]);
    zone.set_front("kube-system", "dns-service");
    let own = (
        vec!["cluster.local. NS ns.dns.cluster.local.".to_owned()],
        vec!["ns.dns.cluster.local. A 127.0.0.1".to_owned()],
    );
    assert_eq!(ns(&zone, "cluster.local."), own, "not declared");

    zone.apply(Service::cluster_ip("kube-system", "dns-service").ip("10.0.0.111").ip("10::111").udp_port("dns", 53));
    let name = svc("dns-service.kube-system");
    let expected = (
        vec![format!("cluster.local. NS {name}")],
        vec![format!("{name} A 10.0.0.111"), format!("{name} AAAA 10::111")],
    );
    assert_eq!(ns(&zone, "cluster.local."), expected);
    assert_answer(&zone, "ns.dns.cluster.local.", QType::A, &["ns.dns.cluster.local. A 10.0.0.111"]);
    assert_answer(&zone, "ns.dns.cluster.local.", QType::AAAA, &["ns.dns.cluster.local. AAAA 10::111"]);
    let reverse = "dns-service.kube-system.svc.in-addr.arpa.";
    assert_eq!(ns(&zone, "in-addr.arpa.").0, [format!("in-addr.arpa. NS {reverse}")]);
    // The SOA does not follow.
    let soa = zone.answer("cluster.local.", QType::SOA).answers;
    assert!(matches!(&soa[0].data, Data::Soa { mname, .. } if mname == "ns.dns.cluster.local."));

    zone.apply(Service::headless("kube-system", "dns-service").pod(Pod::new("10.244.0.20")).pod(Pod::new("fd00::20")));
    let pods = ["10-244-0-20", "fd00--20"].map(|label| svc(&format!("{label}.dns-service.kube-system")));
    let expected = (
        pods.iter().map(|pod| format!("cluster.local. NS {pod}")).collect(),
        vec![format!("{} A 10.244.0.20", pods[0]), format!("{} AAAA fd00::20", pods[1])],
    );
    assert_eq!(ns(&zone, "cluster.local."), expected);

    for without in [
        Service::headless("kube-system", "dns-service").pod(Pod::new("10.244.0.20").not_ready()),
        Service::external_name("kube-system", "dns-service", "dns.example.com"),
    ] {
        zone.apply(without);
        assert_eq!(ns(&zone, "cluster.local."), own, "without an address");
    }
}
