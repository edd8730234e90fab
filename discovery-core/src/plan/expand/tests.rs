//! The queries of each form of a name.

use super::*;
use crate::name::{ClusterDomain, Namespace};

pub(super) fn in_pod() -> Scope {
    Scope::new(Namespace::new("shop").ok(), ClusterDomain::new("cluster.local").ok())
}

pub(super) fn plan_for(target: &str, scope: &Scope) -> Plan {
    Plan::new(&Target::new(target).expect(target), scope)
}

fn queries(target: &str, scope: &Scope) -> Vec<String> {
    let show = |c: &Candidate| match &c.question {
        Question::Addresses(name) => format!("{name}"),
        Question::Srv { name, only: None } => format!("SRV {name}"),
        Question::Srv { name, only: Some(only) } => format!("SRV {name} only {only}"),
    };
    plan_for(target, scope).dns.iter().map(show).collect()
}

#[test]
fn every_form_of_a_name_has_its_queries() {
    for (target, expected) in [
        ("orders", vec!["orders.shop.svc.cluster.local"]),
        (
            "orders.billing",
            vec!["orders.billing.shop.svc.cluster.local", "orders.billing.svc.cluster.local", "orders.billing"],
        ),
        (
            "web-0.nginx:http",
            vec![
                "SRV _http._tcp.nginx.shop.svc.cluster.local only web-0",
                "SRV _http._tcp.web-0.nginx.svc.cluster.local",
                "SRV _http._tcp.web-0.nginx",
            ],
        ),
        ("orders.billing.svc", vec!["orders.billing.svc.cluster.local"]),
        ("orders.billing.svc.cluster.local", vec!["orders.billing.svc.cluster.local"]),
        ("orders.billing.svc.cluster.local.", vec!["orders.billing.svc.cluster.local"]),
        ("web-0.nginx.default.svc.cluster.local", vec!["web-0.nginx.default.svc.cluster.local"]),
        ("web-0.nginx.default.svc", vec!["web-0.nginx.default.svc.cluster.local"]),
        ("web-0.nginx.default", vec!["web-0.nginx.default.svc.cluster.local", "web-0.nginx.default"]),
        ("_http._tcp.orders", vec!["SRV _http._tcp.orders.shop.svc.cluster.local"]),
        ("_http._tcp.orders.billing.svc", vec!["SRV _http._tcp.orders.billing.svc.cluster.local"]),
        ("_http._tcp.web-0.nginx.shop.svc", vec!["SRV _http._tcp.nginx.shop.svc.cluster.local only web-0"]),
        ("http://rates-eureka.platform-team-a.svc:8080/eureka", vec!["rates-eureka.platform-team-a.svc.cluster.local"]),
        ("api.eu.example.com", vec!["api.eu.example.com"]),
        ("db.example.com.:5432", vec!["db.example.com"]),
        ("10-1-2-3.shop.pod.cluster.local", vec!["10-1-2-3.shop.pod.cluster.local"]),
        ("10.0.0.1:80", vec![]),
        ("localhost:80", vec![]),
    ] {
        assert_eq!(queries(target, &in_pod()), expected, "{target}");
    }
}

/// A search list would append its entries to the labels, and `_http._tcp.web-0.nginx.shop.svc.cluster.local` does not
/// exist by the Kubernetes DNS specification.
#[test]
fn the_srv_form_of_a_name_is_not_read_as_a_pod() {
    for (target, expected, services) in [
        (
            "_http._tcp.orders.billing",
            vec!["SRV _http._tcp.orders.billing.svc.cluster.local", "SRV _http._tcp.orders.billing"],
            vec!["orders.billing"],
        ),
        (
            "http://_http._tcp.orders.billing/v1",
            vec!["SRV _http._tcp.orders.billing.svc.cluster.local", "SRV _http._tcp.orders.billing"],
            vec!["orders.billing"],
        ),
        (
            "_dns._udp.kube-dns.kube-system",
            vec!["SRV _dns._udp.kube-dns.kube-system.svc.cluster.local", "SRV _dns._udp.kube-dns.kube-system"],
            vec!["kube-dns.kube-system"],
        ),
        ("_sip._tcp.voice.example.com", vec!["SRV _sip._tcp.voice.example.com"], vec![]),
        ("_http._tcp.orders.billing.", vec!["SRV _http._tcp.orders.billing"], vec![]),
    ] {
        assert_eq!(queries(target, &in_pod()), expected, "{target}");
        let planned = plan_for(target, &in_pod()).services;
        assert_eq!(planned.iter().map(ToString::to_string).collect::<Vec<_>>(), services, "{target}");
    }
    let laptop = plan_for("_sip._tcp.voice.example.com", &Scope::default());
    assert!(laptop.refused.is_empty(), "{:?}", laptop.refused);
    for (target, wants) in [("_http._tcp.orders.billing", true), ("_sip._tcp.voice.example.com", false)] {
        assert_eq!(Plan::wants_cluster_domain(&Target::new(target).expect(target)), wants, "{target}");
    }
}

#[test]
fn services_are_planned_without_the_cluster_domain() {
    let own = Scope::new(Namespace::new("shop").ok(), None);
    for (target, services) in [
        ("orders", vec!["orders.shop"]),
        ("orders.billing", vec!["orders.billing.shop", "orders.billing"]),
        ("orders.billing.svc:http", vec!["orders.billing"]),
        ("web-0.nginx.default.svc", vec!["web-0.nginx.default"]),
        ("web-0.nginx.default", vec!["web-0.nginx.default"]),
        ("api.eu.example.com", vec![]),
        ("example.com.", vec![]),
        ("10.0.0.1:80", vec![]),
    ] {
        let named = |scope| plan_for(target, scope).services.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(named(&own), services, "{target}");
        assert_eq!(named(&in_pod()), services, "{target}");
    }
    let full = plan_for("orders.billing.svc.cluster.local.", &in_pod());
    assert_eq!(full.services.len(), 1);
}

#[test]
fn variables_are_planned_for_the_own_namespace_only() {
    for (target, service) in [
        ("orders", Some("orders")),
        ("orders.shop", Some("orders")),
        ("orders.shop.svc", Some("orders")),
        ("orders.shop.svc.cluster.local", Some("orders")),
        ("orders.billing", None),
        ("web-0.nginx.shop.svc", None),
        ("db.example.com", None),
    ] {
        let plan = plan_for(target, &in_pod());
        assert_eq!(plan.env.as_ref().map(ServiceName::as_str), service, "{target}");
    }
}

#[test]
fn a_name_too_long_after_expansion_is_skipped() {
    let label = "x".repeat(63);
    let plan = plan_for(&format!("{label}.{label}.{label}.{}.svc", "y".repeat(55)), &in_pod());
    assert_eq!(plan.dns.len(), 1, "as a host of five labels it fits");
    let plan = plan_for(&format!("{label}.{label}.{label}.svc"), &in_pod());
    assert_eq!(plan.dns.len(), 1);
    let long = Scope::new(None, ClusterDomain::new(&format!("{label}.example")).ok());
    let plan = plan_for(&format!("{label}.{label}.{label}.svc"), &long);
    assert!(plan.dns.is_empty() && plan.refused[0].contains("253"), "{:?}", plan.refused);
}

#[test]
fn only_relative_names_of_a_service_depend_on_the_cluster_domain() {
    for (target, wants) in [
        ("orders", true),
        ("orders.shop", true),
        ("web-0.nginx.shop.svc", true),
        ("api.eu.example.com", false),
        ("db.example.com.", false),
        ("10.0.0.1", false),
    ] {
        assert_eq!(Plan::wants_cluster_domain(&Target::new(target).expect(target)), wants, "{target}");
    }
}
