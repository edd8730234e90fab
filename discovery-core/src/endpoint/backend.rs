//! One backend.

use std::{fmt, net::SocketAddr, sync::Arc};

use crate::name::Hostname;

/// One backend: one or more addresses (all with the same port), and what its source knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    identity: Identity,
    /// Further addresses of the same backend; nearly always none.
    more: Vec<SocketAddr>,
    weight: u32,
    priority: u16,
    zone: Option<Arc<str>>,
    node: Option<Arc<str>>,
    zone_hints: Option<Arc<[Arc<str>]>>,
    conditions: Conditions,
}

impl Endpoint {
    /// A backend at one address, with weight 1, priority 0 and the default conditions.
    ///
    /// Port 0 stands for "not known": the target wrote no port and no source gave one.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            identity: Identity { addr, hostname: None, uid: None },
            more: Vec::new(),
            weight: 1,
            priority: 0,
            zone: None,
            node: None,
            zone_hints: None,
            conditions: Conditions::default(),
        }
    }

    /// Adds a further address of the same backend, to be tried when the first cannot be reached.
    #[must_use]
    pub fn with_addr(mut self, addr: SocketAddr) -> Self {
        if addr != self.identity.addr && !self.more.contains(&addr) {
            self.more.push(addr);
        }
        self
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

    /// Sets the weight, relative to the other endpoints of its priority; 0 takes part only when all are 0.
    #[must_use]
    pub fn with_weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the priority: endpoints of a higher number are used when all of the lower ones failed
    /// (RFC 2782).
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

    /// Sets the name of the node.
    #[must_use]
    pub fn with_node(mut self, node: impl Into<Arc<str>>) -> Self {
        self.node = Some(node.into());
        self
    }

    /// Sets the zones whose clients are meant to use it, the hints of an EndpointSlice (`hints.forZones`).
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

    /// What the endpoint is.
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

    /// The port; 0 when the target wrote none and no source gave one.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.identity.addr.port()
    }

    /// The pod's host name, such as `web-0`, where the source gives one.
    #[must_use]
    pub fn hostname(&self) -> Option<&Hostname> {
        self.identity.hostname()
    }

    /// The weight relative to the others of the same priority.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.weight
    }

    /// The priority; lower is used first.
    #[must_use]
    pub fn priority(&self) -> u16 {
        self.priority
    }

    /// The zone, where the source gives one.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        self.zone.as_deref()
    }

    /// The node's name, where the source gives one.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// The zones whose clients are meant to use it; none where the source gives no hints.
    pub fn zone_hints(&self) -> impl Iterator<Item = &str> + '_ {
        self.zone_hints.iter().flat_map(|zones| zones.iter()).map(|zone| &**zone)
    }

    /// The conditions.
    #[must_use]
    pub fn conditions(&self) -> Conditions {
        self.conditions
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identity.fmt(f)
    }
}

/// What an endpoint *is*: first address with its port, host name, and the UID of its pod, as far as the
/// source knows them. Statistics follow the identity, so an address that comes back as another pod starts
/// afresh.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    addr: SocketAddr,
    hostname: Option<Hostname>,
    uid: Option<Arc<str>>,
}

impl Identity {
    /// The first address and the port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The pod's host name, where the source gives one.
    #[must_use]
    pub fn hostname(&self) -> Option<&Hostname> {
        self.hostname.as_ref()
    }

    /// The pod's UID, where the source gives one.
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
        // Port 0 stands for "not known".
        if self.addr.port() == 0 { self.addr.ip().fmt(f) } else { self.addr.fmt(f) }
    }
}

/// What is known of an endpoint's state, with the defaults that Kubernetes gives to absent conditions
/// (`discovery.k8s.io/v1` `EndpointConditions`: ready and serving true, terminating false).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Conditions {
    /// Wants traffic.
    pub ready: bool,
    /// Answers, whether or not it is terminating.
    pub serving: bool,
    /// Is about to go.
    pub terminating: bool,
}

impl Default for Conditions {
    fn default() -> Self {
        Self { ready: true, serving: true, terminating: false }
    }
}
