//! The health check for load balancers, and the counters of Services without local endpoints.
//!
//! Source: k/k pkg/proxy/healthcheck/service_health.go (test `TestServer`), pkg/proxy/metrics
//! (`sync_proxy_rules_no_local_endpoints_total`).
//!
//! A Service of type `LoadBalancer` with external policy `Local` has a port on every node that reports whether the node
//! has endpoints of the Service. Only ready endpoints count, once for each address: a terminating endpoint still
//! serves, but the load balancer should use another node.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use super::{EndpointInfo, NamespacedName, program::PortState, table::BuildMixer};

/// A Service's health check on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthCheck {
    /// The Service.
    pub service: NamespacedName,
    /// The port that it is served on, at the addresses that serve node ports.
    pub port: u16,
    /// The number of distinct addresses of ready endpoints on this node.
    pub local_endpoints: usize,
}

impl HealthCheck {
    pub(super) fn new<'a>(
        service: &NamespacedName,
        port: u16,
        endpoints: impl Iterator<Item = &'a EndpointInfo>,
    ) -> Self {
        let local = endpoints.filter(|endpoint| endpoint.is_local && endpoint.ready);
        let local: HashSet<IpAddr, BuildMixer> = local.map(|endpoint| endpoint.addr.ip()).collect();
        Self { service: service.clone(), port, local_endpoints: local.len() }
    }

    /// Returns the response to any request, given whether the proxy itself is healthy.
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

/// The HTTP response of a health check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HealthAnswer {
    /// The status code: 200 or 503.
    pub status: u16,
    /// The header names and values.
    pub headers: [(&'static str, String); 3],
    /// The JSON body.
    pub body: String,
}

/// The number of Services that have endpoints, but none on this node although their policy is `Local`. This node drops
/// their traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoLocalEndpoints {
    /// Services whose internal policy is `Local`.
    pub internal: u64,
    /// Services whose external policy is `Local`.
    pub external: u64,
}

impl NoLocalEndpoints {
    /// The counts of one Service, given its ports.
    pub(super) fn from_ports<'a>(ports: impl Iterator<Item = &'a Arc<PortState>>) -> Self {
        let (mut internal, mut external) = (false, false);
        for port in ports.filter(|port| port.usable.has_any && port.usable.local.is_empty()) {
            internal |= port.info.internal_policy_local;
            external |= port.info.external_policy_local && port.info.externally_accessible();
        }
        Self { internal: internal.into(), external: external.into() }
    }

    /// Replaces the counts of one Service.
    pub(super) fn replace(&mut self, old: Self, new: Self) {
        self.internal = self.internal - old.internal + new.internal;
        self.external = self.external - old.external + new.external;
    }
}
