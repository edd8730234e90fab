//! The port that a target means.

use super::*;
use crate::{
    name::Target,
    source::kubernetes::model::{Service, ServiceKind},
};

fn service_with(kind: ServiceKind, ports: &[(&str, u16, Protocol)]) -> Service {
    let service = Service::new(service("orders"), kind);
    ports.iter().fold(service, |service, (port, number, protocol)| service.with_port(name(port), *number, *protocol))
}

/// `name/protocol`, `=number` or the error text.
fn show_port(service: &Service, target: &str) -> String {
    match target_port(service, &Target::new(target).expect(target)) {
        Ok(TargetPort::Named { name, protocol }) => {
            format!("{}/{protocol}", name.map_or("-".into(), |n| n.to_string()))
        }
        Ok(TargetPort::Number(number)) => format!("={number}"),
        Err(unknown) => unknown.to_string(),
    }
}

#[test]
fn finds_ports_by_name_number_and_scheme() {
    use Protocol::{Tcp, Udp};
    let several = service_with(
        ServiceKind::ClusterIp,
        &[("admin", 9000, Tcp), ("http", 80, Tcp), ("grpc", 443, Tcp), ("dns", 53, Udp)],
    );
    let single = service_with(ServiceKind::ClusterIp, &[("", 8080, Tcp)]);
    let has = "it has admin 9000/tcp, http 80/tcp, grpc 443/tcp, dns 53/udp";
    for (service, target, port) in [
        (&several, "orders:http", "http/tcp".to_owned()),
        (&several, "orders:80", "http/tcp".to_owned()),
        (&several, "http://orders", "http/tcp".to_owned()),
        (&several, "https://orders", "grpc/tcp".to_owned()),
        (&several, "grpc://orders", "grpc/tcp".to_owned()),
        (&several, "orders", "admin/tcp".to_owned()),
        (&several, "_dns._udp.orders", "dns/udp".to_owned()),
        (&several, "orders:dns", format!("Service `orders` has no port `dns`/tcp; {has}")),
        (&several, "orders:8080", format!("Service `orders` has no port 8080/tcp; {has}")),
        (&several, "redis://orders", format!("Service `orders` has no tcp port for scheme `redis`; {has}")),
        (&single, "orders:8080", "-/tcp".to_owned()),
        (&single, "http://orders", "-/tcp".to_owned()),
        (&single, "orders", "-/tcp".to_owned()),
        (&single, "orders:80", "Service `orders` has no port 80/tcp; it has 8080/tcp".to_owned()),
    ] {
        assert_eq!(show_port(service, target), port, "{target}");
    }
}

#[test]
fn headless_services_accept_any_port_number() {
    let headless = service_with(ServiceKind::Headless, &[("http", 80, Protocol::Tcp)]);
    let bare = service_with(ServiceKind::Headless, &[]);
    for (service, target, port) in [
        (&headless, "orders:80", "http/tcp"),
        (&headless, "orders:8080", "=8080"),
        (&headless, "https://orders", "http/tcp"),
        (&bare, "orders:9042", "=9042"),
        (&bare, "http://orders", "=80"),
        (&bare, "orders", "=0"),
        (&bare, "orders:http", "Service `orders` has no port `http`/tcp; it has no ports"),
    ] {
        assert_eq!(show_port(service, target), port, "{target}");
    }
}

#[test]
fn port_number_works_without_ports_in_the_slices() {
    let slices = [Slice::new("a", service("s"), AddressType::Ipv4).with_endpoint(at("10.0.1.1", READY))];
    let merged = endpoints(&slices, &TargetPort::Number(9042), AddressType::Ipv4, Families::Both);
    assert_eq!(show(&merged), ["10.0.1.1:9042"]);
}
