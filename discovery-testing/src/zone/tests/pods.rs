//! Pods with ports of their own.

use super::*;

/// As with a named `targetPort`: the EndpointSlices of one Service have different ports.
#[test]
fn pods_have_ports_of_their_own() {
    let zone = zone([nginx()
        .udp_port("stats", 9100)
        .pod(Pod::new("10.1.0.1"))
        .pod(Pod::new("10.1.0.2").port("Web", 8081).hostname("same"))
        .pod(Pod::new("10.1.0.3").port("web", 8082).hostname("same"))
        .pod(Pod::new("10.1.0.4").without_port("web").without_port("stats"))]);
    let (whole, name) = (svc("nginx.shop"), svc("_web._tcp.nginx.shop"));
    let host = |label: &str| svc(&format!("{label}.nginx.shop"));
    let srv = |name: &str, weight: u16, port: u16, label: &str| format!("{name} SRV 0 {weight} {port} {}", host(label));
    assert_eq!(
        show(&zone.answer(&name, QType::SRV).answers),
        [srv(&name, 33, 8080, "10-1-0-1"), srv(&name, 33, 8081, "same"), srv(&name, 33, 8082, "same")]
    );
    assert_eq!(zone.answer(&whole, QType::A).answers.len(), 4);
    assert_eq!(zone.answer(&name, QType::A).answers.len(), 3);
    // Every port of every pod, and of a pod without ports the address alone.
    let all = zone.answer(&whole, QType::SRV);
    assert_eq!((all.answers.len(), all.additionals.len()), (5, 3));
    let bare = host("10-1-0-4");
    assert_answer(&zone, &bare, QType::A, &[&format!("{bare} A 10.1.0.4")]);
    assert_nodata(&zone, &bare, QType::SRV);
    let same = host("same");
    assert_eq!(
        show(&zone.answer(&same, QType::SRV).answers),
        [(8081, "same"), (9100, "same"), (8082, "same")].map(|(port, label)| srv(&same, 25, port, label))
    );
}

#[test]
fn unnamed_port_of_a_pod_may_differ() {
    let service = Service::headless("shop", "bare").unnamed_port(80).pod(Pod::new("10.1.0.1").port("", 8081));
    service.require_ports();
    let name = svc("bare.shop");
    let srv = format!("{name} SRV 0 100 8081 {}", svc("10-1-0-1.bare.shop"));
    assert_answer(&zone([service]), &name, QType::SRV, &[&srv]);
}

#[test]
#[should_panic(expected = "pod 10.1.0.1 sets port \"grpc\", which Service \"nginx\" does not have: it has [\"web\"]")]
fn panic_names_a_port_that_the_service_does_not_have() {
    nginx().pod(Pod::new("10.1.0.1").port("grpc", 9090)).require_ports();
}
