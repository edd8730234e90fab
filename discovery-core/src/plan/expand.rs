//! Expansion of a target to its queries.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Candidate, NameKind, Plan, Question, Scope, ServiceRef, hosts::hosts_reading};
use crate::name::{DomainName, Host, Hostname, Namespace, Port, ServiceName, Target};

pub(super) fn plan(target: &Target, scope: &Scope) -> Plan {
    let mut plan = Plan {
        target: target.clone(),
        fixed: None,
        env: None,
        services: Vec::new(),
        dns: Vec::new(),
        hosts: None,
        refused: Vec::new(),
    };
    match target.host() {
        Host::Ip(ip) => plan.fixed = Some(vec![*ip]),
        Host::Localhost => {
            plan.fixed = Some(vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
        }
        Host::Name { name, absolute } => {
            let mut expansion = Expansion { name, scope, plan: &mut plan };
            if *absolute {
                expansion.absolute();
            } else {
                expansion.relative();
            }
            plan.hosts = hosts_reading(name, *absolute, scope, &plan);
        }
    }
    plan
}

pub(super) fn wants_cluster_domain(target: &Target) -> bool {
    match target.host() {
        // A name of four or more labels is a host, or already has the domain; `a.b.c.svc` is the exception.
        Host::Name { name, absolute: false } => {
            let is_host = name.label_count() == 3 && target.excludes_pods();
            (name.label_count() <= 3 && !is_host)
                || (name.label_count() == 4 && name.labels().next_back() == Some("svc"))
        }
        _ => false,
    }
}

struct Expansion<'a> {
    name: &'a DomainName,
    scope: &'a Scope,
    plan: &'a mut Plan,
}

impl Expansion<'_> {
    /// A name with a final dot has a single meaning.
    fn absolute(&mut self) {
        if !self.inside_cluster_domain() {
            self.push(NameKind::Host, self.name.as_str(), None, false);
        }
    }

    /// The meanings, in the order in which a search list `<ns>.svc.<domain> svc.<domain> <domain>` tries them, without
    /// those that cannot exist by the Kubernetes DNS specification.
    fn relative(&mut self) {
        if self.inside_cluster_domain() {
            return;
        }
        let labels: Vec<&str> = self.name.labels().collect();
        match *labels.as_slice() {
            [service] => {
                self.own_namespace(service);
                if self.scope.search.is_some() {
                    self.host();
                }
            }
            [service, namespace] => {
                if !self.plan.target.excludes_pods() {
                    self.pod_of_own_namespace(service, namespace);
                }
                self.service(service, namespace);
                self.host();
            }
            [service, namespace, "svc"] => self.service(service, namespace),
            [pod, service, namespace] if !self.plan.target.excludes_pods() => {
                self.pod(pod, service, namespace);
                self.host();
            }
            [pod, service, namespace, "svc"] => self.pod(pod, service, namespace),
            _ => self.host(),
        }
    }

    /// An ordinary host: in a cluster under its name, outside a cluster also below the domains of the search list.
    fn host(&mut self) {
        match &self.scope.search {
            None => self.push(NameKind::Host, self.name.as_str(), None, false),
            Some(search) => {
                for name in search.complete(self.name) {
                    self.push(NameKind::Host, &name, None, false);
                }
            }
        }
    }

    /// Whether these labels can be those of a Service or a pod, whose rules are stricter than those for hosts. Notes the
    /// first one that cannot.
    fn are_strict(&mut self, labels: &[&str]) -> bool {
        let error = labels.iter().find_map(|label| ServiceName::new(label).err());
        let is_strict = error.is_none();
        let noted = error.map(|error| error.to_string()).filter(|error| !self.plan.refused.contains(error));
        self.plan.refused.extend(noted);
        is_strict
    }

    /// A name below the cluster domain, such as `service.namespace.svc.<domain>`, with or without the final dot.
    fn inside_cluster_domain(&mut self) -> bool {
        let Some(domain) = &self.scope.cluster_domain else { return false };
        let Some(inside) = self.name.below(domain.name()) else { return false };
        let labels: Vec<&str> = inside.split('.').collect();
        match *labels.as_slice() {
            [service, namespace, "svc"] => self.service(service, namespace),
            [pod, service, namespace, "svc"] => self.pod(pod, service, namespace),
            _ => self.push(NameKind::Host, self.name.as_str(), None, true),
        }
        true
    }

    fn own_namespace(&mut self, service: &str) {
        if !self.are_strict(&[service]) {
            return;
        }
        self.plan.env = ServiceName::new(service).ok();
        match &self.scope.namespace {
            Some(namespace) => {
                let namespace = namespace.clone();
                self.service(service, namespace.as_str());
            }
            None => self.skip_without_namespace(&format!("`{service}` as a Service of the own namespace")),
        }
    }

    fn pod_of_own_namespace(&mut self, pod: &str, service: &str) {
        match &self.scope.namespace {
            Some(namespace) => {
                let namespace = namespace.clone();
                self.pod(pod, service, namespace.as_str());
            }
            None => self.skip_without_namespace(&format!("`{pod}.{service}` as a pod of the own namespace")),
        }
    }

    fn skip_without_namespace(&mut self, meaning: &str) {
        self.plan.refused.push(format!(
            "cannot look up {meaning}: the own namespace is unknown; set POD_NAMESPACE (downward API \
             `metadata.namespace`) or DISCOVERY_NAMESPACE, or write the namespace, as in `{}.<namespace>.svc`",
            self.name
        ));
    }

    fn service(&mut self, service: &str, namespace: &str) {
        if !self.are_strict(&[service, namespace]) {
            return;
        }
        if self.scope.namespace.as_ref().is_some_and(|own| own.as_str() == namespace) {
            self.plan.env = ServiceName::new(service).ok();
        }
        self.refer(service, namespace, None);
        let Some(zone) = self.zone() else { return };
        self.push(NameKind::Service, &format!("{service}.{namespace}.{zone}"), None, true);
    }

    /// A pod has address records of its own. Its named ports are in the SRV records of its Service, limited to the pod.
    fn pod(&mut self, pod: &str, service: &str, namespace: &str) {
        if !self.are_strict(&[pod, service, namespace]) {
            return;
        }
        if let Ok(pod) = Hostname::new(pod) {
            self.refer(service, namespace, Some(pod));
        }
        let Some(zone) = self.zone() else { return };
        if matches!(self.plan.target.port(), Port::Name(_)) {
            let only = Hostname::new(pod).ok();
            self.push(NameKind::Pod, &format!("{service}.{namespace}.{zone}"), only, true);
        } else {
            self.push(NameKind::Pod, &format!("{pod}.{service}.{namespace}.{zone}"), None, true);
        }
    }

    fn refer(&mut self, service: &str, namespace: &str, pod: Option<Hostname>) {
        if let (Ok(service), Ok(namespace)) = (ServiceName::new(service), Namespace::new(namespace)) {
            self.plan.services.push(ServiceRef { namespace, service, pod });
        }
    }

    /// `svc.<domain>`. Without the domain, notes once what is missing.
    fn zone(&mut self) -> Option<String> {
        let Some(domain) = &self.scope.cluster_domain else {
            let missing = "cannot look up Services in DNS: the cluster domain is unknown; run in a pod with dnsPolicy \
                           ClusterFirst, or set DISCOVERY_CLUSTER_DOMAIN";
            if !self.plan.refused.iter().any(|noted| noted == missing) {
                self.plan.refused.push(missing.to_owned());
            }
            return None;
        };
        Some(format!("svc.{domain}"))
    }

    fn push(&mut self, name_kind: NameKind, host: &str, only: Option<Hostname>, in_cluster: bool) {
        let target = &self.plan.target;
        let (text, srv) = match target.port() {
            Port::Name(port) => (format!("_{port}._{}.{host}", target.protocol()), true),
            Port::Number(_) | Port::Default(_) => (host.to_owned(), false),
        };
        match DomainName::new(&text) {
            Ok(name) if srv => {
                let question = Question::Srv { name, only };
                self.plan.dns.push(Candidate { name_kind, question, in_cluster });
            }
            Ok(name) => {
                let question = Question::Addresses(name);
                self.plan.dns.push(Candidate { name_kind, question, in_cluster });
            }
            Err(error) => self.plan.refused.push(error.to_string()),
        }
    }
}

#[cfg(test)]
mod hosts_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{ClusterDomain, Namespace};

    fn in_pod() -> Scope {
        Scope::new(Namespace::new("shop").ok(), ClusterDomain::new("cluster.local").ok())
    }

    fn plan_for(target: &str, scope: &Scope) -> Plan {
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
            (
                "http://rates-eureka.platform-team-a.svc:8080/eureka",
                vec!["rates-eureka.platform-team-a.svc.cluster.local"],
            ),
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
}
