//! From a target to its questions.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Candidate, NameKind, Plan, Question, Scope, ServiceRef};
use crate::name::{DomainName, Host, Hostname, Namespace, Port, ServiceName, Target};

pub(super) fn plan(target: &Target, scope: &Scope) -> Plan {
    let mut plan = Plan {
        target: target.clone(),
        fixed: None,
        env: None,
        services: Vec::new(),
        dns: Vec::new(),
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
                expansion.written_in_full();
            } else {
                expansion.relative();
            }
        }
    }
    plan
}

pub(super) fn wants_cluster_domain(target: &Target) -> bool {
    match target.host() {
        // Four labels and more are a host, or already hold the domain; `a.b.c.svc` is the exception.
        Host::Name { name, absolute: false } => {
            name.label_count() <= 3 || (name.label_count() == 4 && name.labels().next_back() == Some("svc"))
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
    /// A name with its final dot is read as it stands.
    fn written_in_full(&mut self) {
        if !self.inside_cluster_domain() {
            self.push(NameKind::Host, self.name.as_str(), None, false);
        }
    }

    /// The readings in the order in which a search list `<ns>.svc.<domain> svc.<domain> <domain>` tries
    /// them, without those that the DNS specification of Kubernetes can never answer.
    fn relative(&mut self) {
        if self.inside_cluster_domain() {
            return;
        }
        let labels: Vec<&str> = self.name.labels().collect();
        match *labels.as_slice() {
            [service] => self.own_namespace(service),
            [service, namespace] => {
                self.pod_of_own_namespace(service, namespace);
                self.service(service, namespace);
                self.push(NameKind::Host, self.name.as_str(), None, false);
            }
            [service, namespace, "svc"] => self.service(service, namespace),
            [pod, service, namespace] => {
                self.pod(pod, service, namespace);
                self.push(NameKind::Host, self.name.as_str(), None, false);
            }
            [pod, service, namespace, "svc"] => self.pod(pod, service, namespace),
            _ => self.push(NameKind::Host, self.name.as_str(), None, false),
        }
    }

    /// `service.namespace.svc.<domain>` and the like, with or without the final dot.
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
        self.plan.env = ServiceName::new(service).ok();
        match &self.scope.namespace {
            Some(namespace) => {
                let namespace = namespace.clone();
                self.service(service, namespace.as_str());
            }
            None => self.refuse_without_namespace(&format!("`{service}` alone is read in the own namespace")),
        }
    }

    fn pod_of_own_namespace(&mut self, pod: &str, service: &str) {
        match &self.scope.namespace {
            Some(namespace) => {
                let namespace = namespace.clone();
                self.pod(pod, service, namespace.as_str());
            }
            None => self.refuse_without_namespace(&format!("`{pod}.{service}` as a pod of the own namespace")),
        }
    }

    fn refuse_without_namespace(&mut self, what: &str) {
        self.plan.refused.push(format!(
            "{what}, which is not known: set POD_NAMESPACE (downward API `metadata.namespace`) or \
             DISCOVERY_NAMESPACE, or write the namespace, as in `{}.<namespace>.svc`",
            self.name
        ));
    }

    fn service(&mut self, service: &str, namespace: &str) {
        if self.scope.namespace.as_ref().is_some_and(|own| own.as_str() == namespace) {
            self.plan.env = ServiceName::new(service).ok();
        }
        self.refer(service, namespace, None);
        let Some(zone) = self.zone() else { return };
        self.push(NameKind::Service, &format!("{service}.{namespace}.{zone}"), None, true);
    }

    /// A pod has addresses of its own; its named ports are those of its Service, narrowed to the pod.
    fn pod(&mut self, pod: &str, service: &str, namespace: &str) {
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

    /// `svc.<domain>`, or the remark that the domain is not known.
    fn zone(&mut self) -> Option<String> {
        let Some(domain) = &self.scope.cluster_domain else {
            let remark = "names of Services need the cluster's domain, which is not known: run in a pod with \
                          dnsPolicy ClusterFirst, or set DISCOVERY_CLUSTER_DOMAIN";
            if !self.plan.refused.iter().any(|said| said == remark) {
                self.plan.refused.push(remark.to_owned());
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
mod tests {
    use super::*;
    use crate::name::{ClusterDomain, Namespace};

    fn in_pod() -> Scope {
        Scope::new(Namespace::new("shop").ok(), ClusterDomain::new("cluster.local").ok())
    }

    fn planned(target: &str, scope: &Scope) -> Plan {
        Plan::new(&Target::new(target).expect(target), scope)
    }

    fn asked(target: &str, scope: &Scope) -> Vec<String> {
        let show = |c: &Candidate| match &c.question {
            Question::Addresses(name) => format!("{name}"),
            Question::Srv { name, only: None } => format!("SRV {name}"),
            Question::Srv { name, only: Some(only) } => format!("SRV {name} only {only}"),
        };
        planned(target, scope).dns.iter().map(show).collect()
    }

    /// The forms and their questions: contract of Kubernetes DNS, table "query budget".
    #[test]
    fn every_form_leads_to_its_questions() {
        for (target, questions) in [
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
            assert_eq!(asked(target, &in_pod()), questions, "{target}");
        }
    }

    #[test]
    fn the_services_that_a_name_may_mean_are_named_without_the_domain() {
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
            let named = |scope| planned(target, scope).services.iter().map(ToString::to_string).collect::<Vec<_>>();
            assert_eq!(named(&own), services, "{target}");
            assert_eq!(named(&in_pod()), services, "{target}");
        }
        let full = planned("orders.billing.svc.cluster.local.", &in_pod());
        assert_eq!(full.services.len(), 1);
    }

    #[test]
    fn env_answers_for_the_own_namespace_only() {
        for (target, service) in [
            ("orders", Some("orders")),
            ("orders.shop", Some("orders")),
            ("orders.shop.svc", Some("orders")),
            ("orders.shop.svc.cluster.local", Some("orders")),
            ("orders.billing", None),
            ("web-0.nginx.shop.svc", None),
            ("db.example.com", None),
        ] {
            let plan = planned(target, &in_pod());
            assert_eq!(plan.env.as_ref().map(ServiceName::as_str), service, "{target}");
        }
    }

    #[test]
    fn outside_a_cluster_hosts_are_planned_and_the_rest_says_what_is_missing() {
        let laptop = Scope::default();
        assert_eq!(asked("db.example.com:5432", &laptop), ["db.example.com"]);
        assert_eq!(asked("example.com", &laptop), ["example.com"]);
        assert_eq!(planned("orders", &laptop).env.as_ref().map(ServiceName::as_str), Some("orders"));
        let bare = planned("orders", &laptop);
        assert!(bare.dns.is_empty());
        assert!(bare.refused[0].contains("POD_NAMESPACE"), "{:?}", bare.refused);
        let service = planned("orders.shop.svc", &laptop);
        assert!(service.dns.is_empty());
        assert!(service.refused[0].contains("DISCOVERY_CLUSTER_DOMAIN"), "{:?}", service.refused);
    }

    #[test]
    fn a_name_that_grows_too_long_is_refused_not_cut() {
        let label = "x".repeat(63);
        let plan = planned(&format!("{label}.{label}.{label}.{}.svc", "y".repeat(55)), &in_pod());
        assert_eq!(plan.dns.len(), 1, "as a host of five labels it fits");
        let plan = planned(&format!("{label}.{label}.{label}.svc"), &in_pod());
        assert_eq!(plan.dns.len(), 1);
        let long = Scope::new(None, ClusterDomain::new(&format!("{label}.example")).ok());
        let plan = planned(&format!("{label}.{label}.{label}.svc"), &long);
        assert!(plan.dns.is_empty() && plan.refused[0].contains("253"), "{:?}", plan.refused);
    }

    #[test]
    fn only_relative_names_of_service_form_want_the_cluster_domain() {
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
