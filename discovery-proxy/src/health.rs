//! What a load balancer's health check is told, and what is counted.
//!
//! Source: k/k pkg/proxy/healthcheck/service_health.go (test `TestServer`), pkg/proxy/metrics
//! (`sync_proxy_rules_no_local_endpoints_total`).
//!
//! A Service of type `LoadBalancer` with external policy `Local` has a port on every node that says whether the node
//! has endpoints of it. Endpoints are counted by address, and only ready ones: a terminating endpoint still serves, but
//! the load balancer should go elsewhere.

use std::{collections::BTreeSet, net::IpAddr};

use super::{EndpointInfo, NamespacedName, UsableEndpoints, programmed::Programmed};

/// A Service's health check on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthCheck {
    /// The Service.
    pub service: NamespacedName,
    /// The port that it is served on, at the addresses that have node ports.
    pub port: u16,
    /// Ready endpoints on this node, each address once.
    pub local_endpoints: usize,
}

impl HealthCheck {
    pub(super) fn new<'a>(
        service: &NamespacedName,
        port: u16,
        endpoints: impl Iterator<Item = &'a EndpointInfo>,
    ) -> Self {
        let local = endpoints.filter(|endpoint| endpoint.is_local && endpoint.ready);
        let local: BTreeSet<IpAddr> = local.map(|endpoint| endpoint.addr.ip()).collect();
        Self { service: service.clone(), port, local_endpoints: local.len() }
    }

    /// The answer to any request, given whether the proxy itself works.
    #[must_use]
    pub fn answer(&self, proxy_healthy: bool) -> HealthAnswer {
        let NamespacedName { namespace, name } = &self.service;
        let body = format!(
            "{{\"service\":{{\"namespace\":\"{namespace}\",\"name\":\"{name}\"}},\
             \"localEndpoints\":{},\"serviceProxyHealthy\":{proxy_healthy}}}",
            self.local_endpoints
        );
        let status = if self.local_endpoints > 0 && proxy_healthy { 200 } else { 503 };
        let headers = [
            ("Content-Type", "application/json".to_owned()),
            ("X-Content-Type-Options", "nosniff".to_owned()),
            ("X-Load-Balancing-Endpoint-Weight", self.local_endpoints.to_string()),
        ];
        HealthAnswer { status, headers, body }
    }
}

/// An HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthAnswer {
    /// 200 or 503.
    pub status: u16,
    /// The headers.
    pub headers: [(&'static str, String); 3],
    /// JSON.
    pub body: String,
}

/// Services that have endpoints, but none on this node where their policy wants them: their traffic is dropped here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoLocalEndpoints {
    /// By internal policy.
    pub internal: u64,
    /// By external policy.
    pub external: u64,
}

impl NoLocalEndpoints {
    /// What the ports of one Service count for.
    pub(super) fn of_service(ports: &[&Programmed]) -> Self {
        let lacks = |usable: &UsableEndpoints| usable.has_any && usable.local.is_empty();
        let internal = |port: &Programmed| port.info.internal_policy_local && lacks(&port.usable);
        let external = |port: &Programmed| {
            port.info.external_policy_local && port.info.externally_accessible() && lacks(&port.usable)
        };
        Self {
            internal: ports.iter().copied().any(internal).into(),
            external: ports.iter().copied().any(external).into(),
        }
    }

    pub(super) fn replace(&mut self, old: Self, new: Self) {
        self.internal = self.internal - old.internal + new.internal;
        self.external = self.external - old.external + new.external;
    }
}
