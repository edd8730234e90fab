//! What becomes of a flow, and why.

use std::{fmt, net::SocketAddr};

use super::{Connection, Sender, ServicePortName, Topology, programmed::Programmed};

/// What becomes of a flow, and why. It borrows from the snapshot: making one allocates nothing and counts no
/// references.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Verdict<'a> {
    /// What becomes of the flow.
    pub action: Action,
    /// Why.
    pub reason: Reason<'a>,
}

impl<'a> Verdict<'a> {
    pub(super) const fn new(action: Action, reason: Reason<'a>) -> Self {
        Self { action, reason }
    }

    /// The endpoint that the flow goes to.
    #[must_use]
    pub const fn endpoint(&self) -> Option<SocketAddr> {
        match self.action {
            Action::Endpoint { addr, .. } => Some(addr),
            _ => None,
        }
    }

    /// Whether the endpoint sees the node's address in place of the client's; false when there is no endpoint.
    #[must_use]
    pub const fn is_masqueraded(&self) -> bool {
        matches!(self.action, Action::Endpoint { masquerade: true, .. })
    }

    /// The port of a Service that decided.
    #[must_use]
    pub fn service_port(&self) -> Option<&'a ServicePortName> {
        self.matched().map(|matched| matched.service_port())
    }

    /// How the port of a Service decided, if one did.
    #[must_use]
    pub const fn matched(&self) -> Option<Matched<'a>> {
        match self.reason {
            Reason::Service(matched) => Some(matched),
            _ => None,
        }
    }

    /// Counts the flow as a connection, which IPVS's schedulers look at, until the result is closed or dropped.
    /// `None` when the mode counts nothing.
    #[must_use]
    pub fn open(&self, flow: &super::Flow<'_>) -> Option<Connection> {
        self.matched()?.port.open(flow, self.endpoint()?)
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.action, self.reason)
    }
}

/// What becomes of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// It goes to an endpoint.
    #[non_exhaustive]
    Endpoint {
        /// The endpoint.
        addr: SocketAddr,
        /// Whether the endpoint sees the node's address in place of the client's.
        masquerade: bool,
    },
    /// It is refused: the client learns at once.
    Reject,
    /// It is dropped: the client waits in vain.
    Drop,
    /// It is none of the proxy's business, and goes where routes lead.
    Untouched,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint { addr, .. } => write!(f, "to {addr}"),
            Self::Reject => f.write_str("rejected"),
            Self::Drop => f.write_str("dropped"),
            Self::Untouched => f.write_str("untouched"),
        }
    }
}

/// Why.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Reason<'a> {
    /// A port of a Service decided.
    Service(Matched<'a>),
    /// The address is a Service's cluster IP, the port is none of its own.
    UnservedPort,
    /// The address is of the service range, and no Service has it.
    Unallocated,
    /// The destination is nothing that Services are reached by.
    NoService,
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(matched) => matched.fmt(f),
            Self::UnservedPort => f.write_str("the Service of this cluster IP has no such port"),
            Self::Unallocated => f.write_str("no Service has this address of the service range"),
            Self::NoService => f.write_str("no Service has this address and port"),
        }
    }
}

/// How the port of a Service decided.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Matched<'a> {
    pub(super) port: &'a Programmed,
    /// Who sends, as far as the rules care.
    pub sender: Sender,
    /// Which of its addresses the destination is.
    pub destination: Destination,
    /// Which endpoints the flow may use.
    pub scope: Scope,
    /// How one of them was chosen, or why none.
    pub choice: Choice,
    /// Why the source address is hidden, or that it is not.
    pub masquerade: Masquerade,
}

impl<'a> Matched<'a> {
    /// The port.
    #[must_use]
    pub const fn service_port(&self) -> &'a ServicePortName {
        self.port.name()
    }

    /// What hints have led to. They do not matter in the local scope.
    #[must_use]
    pub fn topology(&self) -> Topology {
        self.port.usable().topology
    }

    /// Whether the endpoints that the flow may use are terminating ones, for want of ready ones.
    #[must_use]
    pub fn terminating_only(&self) -> bool {
        match self.scope {
            Scope::Local => self.port.usable().local_terminating,
            Scope::Cluster | Scope::ShortCircuit | Scope::NoneLocal => self.port.usable().cluster_terminating,
        }
    }
}

impl fmt::Display for Matched<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} of {}", self.port.name().protocol, self.destination, self.port.name())?;
        write!(f, ", {}", self.scope)?;
        if self.scope != Scope::Local && self.topology() != Topology::NoHints {
            write!(f, ", {}", self.topology())?;
        }
        if self.terminating_only() {
            f.write_str(", only terminating ones left")?;
        }
        write!(f, ", {}", self.choice)?;
        match self.masquerade {
            Masquerade::No => Ok(()),
            why => write!(f, ", masqueraded: {why}"),
        }
    }
}

/// How the destination of a flow belongs to a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Destination {
    /// Its cluster IP.
    ClusterIp,
    /// One of its external IPs.
    ExternalIp,
    /// An address of its load balancer.
    LoadBalancer,
    /// Its port on this node.
    NodePort,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClusterIp => "cluster IP",
            Self::ExternalIp => "external IP",
            Self::LoadBalancer => "load balancer",
            Self::NodePort => "node port",
        })
    }
}

/// Which endpoints a flow may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// The cluster set: the policy is `Cluster`.
    Cluster,
    /// The local set: the policy is `Local`.
    Local,
    /// The cluster set, though the policy is `Local`: the sender is in the cluster, so no load balancer would have
    /// sent it to another node.
    ShortCircuit,
    /// The cluster set, though the policy is `Local`, for want of local endpoints: IPVS only.
    NoneLocal,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "endpoints of the cluster",
            Self::Local => "endpoints of this node",
            Self::ShortCircuit => "endpoints of the cluster (policy Local, sent from inside)",
            Self::NoneLocal => "endpoints of the cluster (policy Local, none here)",
        })
    }
}

/// How an endpoint was chosen, or why none was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Choice {
    /// By the mode's way to spread load; without session affinity.
    Balanced,
    /// By the mode's way to spread load, and remembered for this client.
    Recorded,
    /// The endpoint of this client's earlier connection.
    Remembered,
    /// The Service has no usable endpoint anywhere.
    NoEndpoints,
    /// The Service has usable endpoints, but none on this node, and the policy is `Local`.
    NoLocalEndpoints,
    /// The client is in none of the Service's source ranges.
    SourceRange,
    /// IPVS's scheduler has no destination for this client: each that it could go to has weight 0.
    NoDestination,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Balanced => "chosen without affinity",
            Self::Recorded => "chosen and remembered for the client",
            Self::Remembered => "remembered from the client's earlier connection",
            Self::NoEndpoints => "no endpoints",
            Self::NoLocalEndpoints => "no endpoints on this node",
            Self::SourceRange => "the client is in no source range",
            Self::NoDestination => "no destination is available for the client",
        })
    }
}

/// Why the endpoint sees the node's address in place of the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Masquerade {
    /// It does not.
    No,
    /// `--masquerade-all`.
    All,
    /// The sender is not a pod, so replies would not find the way back through this node.
    NotFromPod,
    /// External traffic with policy `Cluster`: the endpoint may be on another node.
    External,
    /// External traffic that this node itself sends.
    FromNode,
    /// The endpoint is the client itself.
    Hairpin,
    /// Userspace mode ends connections itself and dials the endpoint.
    Userspace,
}

impl fmt::Display for Masquerade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "no",
            Self::All => "all traffic is",
            Self::NotFromPod => "not from a pod",
            Self::External => "external traffic",
            Self::FromNode => "external traffic of this node",
            Self::Hairpin => "the endpoint is the client",
            Self::Userspace => "the proxy dials",
        })
    }
}
