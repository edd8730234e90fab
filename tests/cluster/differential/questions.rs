//! The questions: every name and type that the servers may treat differently.

use std::{collections::BTreeSet, net::IpAddr};

use super::world::{DnsService, Kind, World};

/// The record types of the questions, with the numbers that IANA assigned.
pub(super) const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const PTR: u16 = 12;
const MX: u16 = 15;
const TXT: u16 = 16;
const AAAA: u16 = 28;
pub(super) const SRV: u16 = 33;
const HTTPS: u16 = 65;
const EVERY: [u16; 10] = [A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, HTTPS];
const USUAL: [u16; 4] = [A, AAAA, SRV, CNAME];

const ZONE: &str = "cluster.local";

/// The name in the Corefile of the harness: inside the cluster domain, and not a Service.
pub(super) const IN_COREFILE: &str = "legacy.cluster.local";

/// All questions about a world: names with their trailing dot, and types.
pub(super) fn all(world: &World) -> BTreeSet<(String, u16)> {
    let mut asked = BTreeSet::new();
    let mut ask = |name: String, types: &[u16]| {
        asked.extend(types.iter().map(|rtype| (format!("{name}."), *rtype)));
    };
    for name in [
        ZONE.to_owned(),
        ZONE.to_uppercase(),
        format!("dns-version.{ZONE}"),
        format!("Dns-Version.{ZONE}"),
        format!("svc.{ZONE}"),
        format!("pod.{ZONE}"),
        format!("nothing.{ZONE}"),
        format!("svc.{ZONE}").to_uppercase(),
        format!("ns.dns.{ZONE}"),
        format!("a.ns.dns.{ZONE}"),
        format!("dns.{ZONE}"),
        IN_COREFILE.to_owned(),
        format!("a.{IN_COREFILE}"),
        format!("a.b.c.d.e.f.svc.{ZONE}"),
        "IN-ADDR.ARPA".to_owned(),
        "1.2.3.4.5.in-addr.arpa".to_owned(),
        "300.1.2.3.in-addr.arpa".to_owned(),
        "ip6.arpa".to_owned(),
        "1.0.ip6.arpa".to_owned(),
        format!("none.svc.{ZONE}"),
        format!("none.pod.{ZONE}"),
        format!("a.b.none.svc.{ZONE}"),
        "in-addr.arpa".to_owned(),
        "9.244.10.in-addr.arpa".to_owned(),
        "254.255.244.10.in-addr.arpa".to_owned(),
    ] {
        ask(name, &EVERY);
    }
    for namespace in &world.namespaces {
        for name in [
            format!("{namespace}.svc.{ZONE}"),
            format!("{namespace}.pod.{ZONE}"),
            format!("none.{namespace}.svc.{ZONE}"),
            format!("a.none.{namespace}.svc.{ZONE}"),
            format!("_http._tcp.none.{namespace}.svc.{ZONE}"),
            format!("10-244-16-1.{namespace}.pod.{ZONE}"),
            format!("fd00-244--1.{namespace}.pod.{ZONE}"),
            format!("not-an-address.{namespace}.pod.{ZONE}"),
            format!("a.10-244-16-1.{namespace}.pod.{ZONE}"),
            format!("{namespace}.{ZONE}"),
        ] {
            ask(name, &EVERY);
        }
    }
    for service in &world.services {
        about_service(service, &mut ask);
    }
    for host in ["db.example.com", "v6.example.com", "alias.example.com", "mixed.example.com", "nowhere.example.com"] {
        ask(host.to_owned(), &[A, AAAA]);
    }
    asked
}

/// Questions to a server that knows no objects, except for those about itself.
pub(super) fn unsynced() -> impl Iterator<Item = (String, u16)> {
    let denied = ["orders.shop.svc", "_http._tcp.orders.shop.svc", "shop.svc", "nothing"];
    let names = denied.into_iter().chain(["svc", "dns-version"]).map(|name| format!("{name}.{ZONE}."));
    let others = [format!("{ZONE}."), format!("{IN_COREFILE}."), "1.0.96.10.in-addr.arpa.".to_owned()];
    names.chain(others).flat_map(|name| EVERY.into_iter().map(move |rtype| (name.clone(), rtype))).filter(
        // NS records name the server itself.
        |(name, rtype)| !(name.as_str() == format!("{ZONE}.") && *rtype == NS),
    )
}

fn about_service(service: &DnsService, ask: &mut impl FnMut(String, &[u16])) {
    let below = format!("{}.{}.svc.{ZONE}", service.name, service.namespace);
    ask(below.clone(), &EVERY);
    ask(below.to_uppercase(), &EVERY);
    ask(mixed(&below), &[A, SRV]);
    for port in ["http", "grpc", "dns", "metrics", "none"] {
        for protocol in ["tcp", "udp"] {
            ask(format!("_{port}._{protocol}.{below}"), &[SRV]);
        }
    }
    ask(format!("_http._sctp.{below}"), &[SRV, A]);
    ask(format!("_http2._sctp.{below}"), &[SRV]);
    ask(format!("_http._tcp.{below}"), &EVERY);
    ask(format!("_HTTP._TCP.{below}"), &[SRV]);
    ask(format!("http._tcp.{below}"), &[SRV]);
    ask(format!("_http.tcp.{below}"), &[SRV]);
    ask(format!("_tcp.{below}"), &[SRV, A]);
    ask(format!("_.{below}"), &[A]);
    ask(format!("_http._tcp.more.{below}"), &[SRV, A]);
    ask(format!("none.{below}"), &EVERY);
    ask(format!("shared.{below}"), &EVERY);
    ask(format!("*.{below}"), &[A]);
    for (at, backend) in service.backends.iter().enumerate() {
        ask(format!("web-{at}.{below}"), &USUAL);
        for ip in &backend.ips {
            ask(format!("{}.{below}", dashed(ip)), &[A, AAAA, SRV]);
            ask(reverse(ip), &[PTR, A, SRV]);
        }
    }
    if let Kind::ClusterIp(ips) = &service.kind {
        for ip in ips {
            ask(reverse(ip), &[PTR, TXT]);
            ask(format!("{}.{below}", dashed(ip)), &[A]);
        }
    }
}

/// The name with every other letter in upper case.
fn mixed(name: &str) -> String {
    let case = |(at, c): (usize, char)| if at % 2 == 0 { c.to_ascii_uppercase() } else { c };
    name.chars().enumerate().map(case).collect()
}

fn dashed(ip: &IpAddr) -> String {
    ip.to_string().replace(['.', ':'], "-")
}

fn reverse(ip: &IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(ip) => {
            let nibbles = ip.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            let labels: Vec<String> = nibbles.map(|nibble| format!("{nibble:x}")).collect();
            format!("{}.ip6.arpa", labels.join("."))
        }
    }
}
