//! How the names of hosts are expanded.

use super::{
    tests::{in_pod, plan_for},
    *,
};
use crate::{name::ClusterDomain, plan::SearchList};

fn queries(target: &str, scope: &Scope) -> Vec<String> {
    plan_for(target, scope).dns.iter().map(|candidate| candidate.question.name().to_string()).collect()
}

/// The strict rule is for the names of Services, pods and Namespaces.
#[test]
fn a_name_that_cannot_be_a_service_is_a_host() {
    for (target, expected) in [
        ("my_db.example.com", vec!["my_db.example.com"]),
        ("foo-.example.com", vec!["foo-.example.com"]),
        ("orders_v2.shop", vec!["orders_v2.shop"]),
        ("my_db.eu.example.com:5432", vec!["my_db.eu.example.com"]),
        ("api_gateway:8080", vec![]),
        ("orders_v2.shop.svc.cluster.local", vec![]),
    ] {
        let plan = plan_for(target, &in_pod());
        assert_eq!(queries(target, &in_pod()), expected, "{target}");
        assert!(plan.services.is_empty() && plan.env.is_none(), "{plan:?}");
        let is_host = target.contains(".eu.");
        assert_eq!(plan.refused.iter().any(|why| why.contains("is not a valid")), !is_host, "{plan:?}");
    }
}

#[test]
fn hosts_are_completed_with_the_search_list_outside_a_cluster() {
    let search = SearchList::new(vec![DomainName::new("corp.example").unwrap()], 1);
    let laptop = Scope::default().with_search(search.clone());
    for (target, expected) in [
        ("db", vec!["db.corp.example", "db"]),
        ("api_gateway:8080", vec!["api_gateway.corp.example", "api_gateway"]),
        ("db.", vec!["db"]),
        ("db.team", vec!["db.team", "db.team.corp.example"]),
        ("orders.shop.svc", vec![]),
    ] {
        assert_eq!(queries(target, &laptop), expected, "{target}");
    }
    assert!(plan_for("db", &laptop).refused[0].contains("POD_NAMESPACE"), "the reading as a Service is skipped");
    let domain = ClusterDomain::new("cluster.local").ok();
    let found = Scope::new(None, domain).with_search(search);
    assert_eq!(queries("db", &found), ["db.corp.example", "db"]);
}

#[test]
fn outside_a_cluster_only_hosts_are_planned_and_the_plan_says_what_to_set() {
    let laptop = Scope::default();
    assert_eq!(queries("db.example.com:5432", &laptop), ["db.example.com"]);
    assert_eq!(queries("example.com", &laptop), ["example.com"]);
    assert_eq!(plan_for("orders", &laptop).env.as_ref().map(ServiceName::as_str), Some("orders"));
    let bare = plan_for("orders", &laptop);
    assert!(bare.dns.is_empty());
    assert!(bare.refused[0].contains("POD_NAMESPACE"), "{:?}", bare.refused);
    let service = plan_for("orders.shop.svc", &laptop);
    assert!(service.dns.is_empty());
    assert!(service.refused[0].contains("DISCOVERY_CLUSTER_DOMAIN"), "{:?}", service.refused);
}
