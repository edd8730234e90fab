//! One backend.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use crate::name::Hostname;

/// One backend: one or more addresses with the same port, and what its source knows about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    identity: Identity,
    /// Further addresses of the same backend; nearly always empty.
    more: Vec<SocketAddr>,
    weight: u32,
    priority: u16,
    zone: Option<Arc<str>>,
    node: Option<Arc<str>>,
    zone_hints: Option<Arc<[Arc<str>]>>,
    conditions: Conditions,
    retained: bool,
}

impl Endpoint {
    /// Creates a backend at one address, with weight 1, priority 0 and the default conditions.
    ///
    /// An IPv4-mapped IPv6 address is the IPv4 address: `[::ffff:10.0.0.1]:80` is `10.0.0.1:80`.
    ///
    /// Port 0 stands for an unknown port: the target has no port, and no source gave one.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            identity: Identity { addr: canonical(addr), hostname: None, uid: None },
            more: Vec::new(),
            weight: 1,
            priority: 0,
            zone: None,
            node: None,
            zone_hints: None,
            conditions: Conditions::default(),
            retained: false,
        }
    }

    /// Adds another address of the same backend, to try after a connect error at the first one.
    #[must_use]
    pub fn with_addr(mut self, addr: SocketAddr) -> Self {
        let addr = canonical(addr);
        if addr != self.identity.addr && !self.more.contains(&addr) {
            self.more.push(addr);
        }
        self
    }

    /// This machine, at both of its loopback addresses: one backend, whichever of them the server listens on.
    #[cfg(feature = "resolver")]
    pub(crate) fn localhost(port: u16) -> Self {
        use std::net::{Ipv4Addr, Ipv6Addr};
        Self::new((Ipv4Addr::LOCALHOST, port).into()).with_addr((Ipv6Addr::LOCALHOST, port).into())
    }

    /// Sets the pod's host name.
    #[must_use]
    pub fn with_hostname(mut self, hostname: Hostname) -> Self {
        self.identity.hostname = Some(hostname);
        self
    }

    /// Sets the pod's UID.
    #[must_use]
    pub fn with_uid(mut self, uid: impl Into<Arc<str>>) -> Self {
        self.identity.uid = Some(uid.into());
        self
    }

    /// Sets the weight, relative to the other endpoints of its priority. Beside others that have a weight, an endpoint of
    /// weight 0 has a very small chance, and is used when they have been tried (RFC 2782).
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the priority. Requests fail over to endpoints of a higher number after all of the lower ones failed (RFC
    /// 2782).
    #[must_use]
    pub fn with_priority(mut self, priority: u16) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the zone, `topology.kubernetes.io/zone`.
    #[must_use]
    pub fn with_zone(mut self, zone: impl Into<Arc<str>>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Sets the node name.
    #[must_use]
    pub fn with_node(mut self, node: impl Into<Arc<str>>) -> Self {
        self.node = Some(node.into());
        self
    }

    /// Sets the zones whose clients should use the endpoint: the hints of an EndpointSlice (`hints.forZones`).
    #[must_use]
    pub fn with_zone_hints(mut self, zones: impl Into<Arc<[Arc<str>]>>) -> Self {
        self.zone_hints = Some(zones.into());
        self
    }

    /// Sets the conditions.
    #[must_use]
    pub fn with_conditions(mut self, conditions: Conditions) -> Self {
        self.conditions = conditions;
        self
    }

    /// Marks the endpoint as [retained](Self::is_retained), or not.
    #[must_use]
    pub fn with_retained(mut self, retained: bool) -> Self {
        self.retained = retained;
        self
    }

    /// Returns the endpoint with those of its addresses that `keep` accepts; `None` if it accepts none.
    #[cfg(feature = "resolver")]
    pub(crate) fn with_addrs_that(&self, keep: impl Fn(IpAddr) -> bool) -> Option<Self> {
        let mut kept = self.addrs().filter(|addr| keep(addr.ip()));
        let addr = kept.next()?;
        let more = kept.collect();
        Some(Self { identity: Identity { addr, ..self.identity.clone() }, more, ..self.clone() })
    }

    /// The identity, which statistics follow.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The first address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.identity.addr
    }

    /// All addresses, the first one first; never empty.
    pub fn addrs(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        std::iter::once(self.identity.addr).chain(self.more.iter().copied())
    }

    /// The port; 0 if the target has no port and no source gave one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.identity.addr.port()
    }

    /// The pod's host name, such as `web-0`, if the source gives one.
    #[must_use]
    pub fn hostname(&self) -> Option<&Hostname> {
        self.identity.hostname()
    }

    /// The weight, relative to the other endpoints of the same priority.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// The priority; endpoints of the lowest number are used first.
    #[must_use]
    pub fn priority(&self) -> u16 {
        self.priority
    }

    /// The zone, if the source gives one.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// The node name, if the source gives one.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// The zones whose clients should use the endpoint; empty if the source gives no hints.
    pub fn zone_hints(&self) -> impl Iterator<Item = &str> + '_ {
        self.zone_hints.iter().flat_map(|zones| zones.iter()).map(|zone| &**zone)
    }

    /// The conditions.
    #[must_use]
    pub fn conditions(&self) -> Conditions {
        self.conditions
    }

    /// Whether the newest answer lacks the endpoint, and the endpoint stays because requests on it succeed. Sources never
    /// set it; see `refresh` for the rules.
    #[must_use]
    pub fn is_retained(&self) -> bool {
        self.retained
    }
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, addr.port()),
        // The zone of a link-local address stays.
        IpAddr::V6(_) => addr,
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identity.fmt(f)?;
        f.write_str(if self.retained { " (retained)" } else { "" })
    }
}

/// What makes two endpoints the same: the first address with its port, the host name, and the UID of the pod, as far as
/// the source knows them. Statistics follow the identity, so an address that comes back as another pod starts with
/// empty statistics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    addr: SocketAddr,
    hostname: Option<Hostname>,
    uid: Option<Arc<str>>,
}

impl Identity {
    /// The first address with its port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The pod's host name, if the source gives one.
    #[must_use]
    pub fn hostname(&self) -> Option<&Hostname> {
        self.hostname.as_ref()
    }

    /// The pod's UID, if the source gives one.
    #[must_use]
    pub fn uid(&self) -> Option<&str> {
        self.uid.as_deref()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(hostname) = &self.hostname {
            write!(f, "{hostname}/")?;
        }
        // Port 0 stands for an unknown port.
        if self.addr.port() == 0 { self.addr.ip().fmt(f) } else { self.addr.fmt(f) }
    }
}

/// The conditions of an endpoint, with the defaults of Kubernetes for absent ones (`discovery.k8s.io/v1`
/// `EndpointConditions`: ready and serving are true, terminating is false).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Conditions {
    /// Ready for traffic.
    pub ready: bool,
    /// Responds to requests, whether or not it is terminating.
    pub serving: bool,
    /// Terminating.
    pub terminating: bool,
}

impl Default for Conditions {
    fn default() -> Self {
        Self { ready: true, serving: true, terminating: false }
    }
}
