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
        if self.scope.cluster_only {
            let name = self.name;
            self.plan.refused.push(format!(
                "`{name}` is not looked up as a host: only names of the cluster are (DISCOVERY_CLUSTER_ONLY); write \
                 `{name}.` with the final dot for the host"
            ));
            return;
        }
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
mod tests;
