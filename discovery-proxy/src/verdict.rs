//! The decision for a flow, and the reason for it.

use std::{fmt, net::SocketAddr};

use super::{Connection, Flow, Sender, ServicePortName, Topology, program::PortState};

/// The decision for a flow, and the reason for it.
///
/// A verdict borrows from the snapshot: creating one neither allocates nor counts references. Its `Display` is one
/// line with the action and the whole reason.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Verdict<'a> {
    /// What happens to the flow.
    pub action: Action,
    /// Why it happens.
    pub reason: Reason<'a>,
}

impl<'a> Verdict<'a> {
    /// Returns the endpoint that the flow goes to.
    #[must_use]
    pub const fn endpoint(&self) -> Option<SocketAddr> {
        match self.action {
            Action::Endpoint { addr, .. } => Some(addr),
            _ => None,
        }
    }

    /// Returns whether the endpoint sees the node's address instead of the client's; false without an endpoint.
    #[must_use]
    pub const fn is_masqueraded(&self) -> bool {
        matches!(self.action, Action::Endpoint { masquerade: true, .. })
    }

    /// Returns the name of the Service port that decided.
    #[must_use]
    pub fn service_port(&self) -> Option<&'a ServicePortName> {
        self.matched().map(|matched| matched.service_port())
    }

    /// Returns the Service port that decided, and how; `None` if the destination matches no Service port.
    #[must_use]
    pub const fn matched(&self) -> Option<ServiceMatch<'a>> {
        match self.reason {
            Reason::Service(matched) => Some(matched),
            _ => None,
        }
    }

    /// Counts the flow as a connection, which IPVS's schedulers read, until the result is closed or dropped.
    ///
    /// Returns `None` in the modes that do not count connections.
    #[must_use]
    pub fn open(&self, flow: &Flow<'_>) -> Option<Connection> {
        Connection::open(&self.matched()?.port.state, flow, self.endpoint()?)
    }
}

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.action, self.reason)
    }
}

/// What happens to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// The flow goes to an endpoint.
    #[non_exhaustive]
    Endpoint {
        /// The endpoint.
        addr: SocketAddr,
        /// Whether the endpoint sees the node's address instead of the client's.
        masquerade: bool,
    },
    /// The flow is rejected: the client gets an error at once.
    Reject,
    /// The flow is dropped: the client gets no answer and times out.
    Drop,
    /// The proxy ignores the flow, which follows the node's routes.
    Untouched,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint { addr, .. } => write!(f, "to {addr}"),
            Self::Reject => f.write_str("rejected"),
            Self::Drop => f.write_str("dropped"),
            Self::Untouched => f.write_str("not proxied"),
        }
    }
}

/// The reason for an [`Action`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Reason<'a> {
    /// A Service port decided.
    Service(ServiceMatch<'a>),
    /// The address is a Service's cluster IP, but the Service does not serve the port.
    UnservedPort,
    /// The address is in the Service range, but no Service has it.
    Unallocated,
    /// The destination is not an address that a Service is reached at.
    NoService,
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(matched) => matched.fmt(f),
            Self::UnservedPort => f.write_str("the Service with this cluster IP does not serve this port"),
            Self::Unallocated => f.write_str("no Service has this address, which is in the Service range"),
            Self::NoService => f.write_str("no Service has this address and port"),
        }
    }
}

/// The Service port that decided, and how.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ServiceMatch<'a> {
    pub(super) port: &'a PortState,
    /// The kind of sender.
    pub sender: Sender,
    /// The kind of address that the flow was sent to.
    pub destination: Destination,
    /// The endpoints that the flow may use.
    pub scope: Scope,
    /// How an endpoint was chosen, or why none was.
    pub choice: Choice,
    /// Why the endpoint sees the node's address, or [`Masquerade::No`].
    pub masquerade: Masquerade,
}

impl<'a> ServiceMatch<'a> {
    /// Returns the port's name.
    #[must_use]
    pub const fn service_port(&self) -> &'a ServicePortName {
        &self.port.name
    }

    /// Returns how topology hints restrict the cluster set. Hints have no effect on the local set.
    #[must_use]
    pub fn topology(&self) -> Topology {
        self.port.usable.topology
    }

    /// Returns whether the flow uses terminating endpoints because no endpoint in its scope is ready.
    #[must_use]
    pub fn terminating_only(&self) -> bool {
        match self.scope {
            Scope::Local => self.port.usable.local_terminating,
            Scope::Cluster | Scope::ShortCircuit | Scope::NoneLocal => self.port.usable.cluster_terminating,
        }
    }
}

impl fmt::Display for ServiceMatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.service_port();
        write!(f, "{} {} of {name}, {}", name.protocol, self.destination, self.scope)?;
        if self.scope != Scope::Local && self.topology() != Topology::NoHints {
            write!(f, ", {}", self.topology())?;
        }
        if self.terminating_only() {
            f.write_str(", only terminating endpoints left")?;
        }
        write!(f, ", {}", self.choice)?;
        match self.masquerade {
            Masquerade::No => Ok(()),
            why => write!(f, ", masqueraded: {why}"),
        }
    }
}

/// The kind of address that a Service is reached at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Destination {
    /// The cluster IP.
    ClusterIp,
    /// An external IP.
    ExternalIp,
    /// An address of the load balancer.
    LoadBalancer,
    /// The node port on this node.
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

/// The set of endpoints that a flow may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Scope {
    /// The cluster set: the policy is `Cluster`.
    Cluster,
    /// The local set: the policy is `Local`.
    Local,
    /// The cluster set although the policy is `Local`, because the sender is in the cluster: no load balancer has
    /// picked this node for the flow.
    ShortCircuit,
    /// The cluster set although the policy is `Local`, because the local set is empty. IPVS mode only.
    NoneLocal,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "cluster endpoints",
            Self::Local => "local endpoints",
            Self::ShortCircuit => "cluster endpoints (policy Local, sender in the cluster)",
            Self::NoneLocal => "cluster endpoints (policy Local, no local endpoint)",
        })
    }
}

/// How an endpoint was chosen, or why none was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Choice {
    /// The mode's load balancing chose it; the Service has no session affinity.
    Balanced,
    /// The mode's load balancing chose it, and session affinity recorded it for the client.
    Recorded,
    /// Session affinity chose the endpoint of the client's previous connection.
    Remembered,
    /// The Service has no usable endpoint.
    NoEndpoints,
    /// The Service has usable endpoints, but none on this node, and the policy is `Local`.
    NoLocalEndpoints,
    /// The client is outside the Service's source ranges.
    SourceRange,
    /// The IPVS scheduler has no destination for this client: every candidate has weight 0.
    NoDestination,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Balanced => "load balanced",
            Self::Recorded => "load balanced and recorded for session affinity",
            Self::Remembered => "chosen by session affinity",
            Self::NoEndpoints => "no usable endpoint",
            Self::NoLocalEndpoints => "no usable endpoint on this node",
            Self::SourceRange => "client outside the source ranges",
            Self::NoDestination => "IPVS scheduler has no destination for this client",
        })
    }
}

/// Why the endpoint sees the node's address instead of the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Masquerade {
    /// It sees the client's address.
    No,
    /// `--masquerade-all` is set.
    All,
    /// The sender is not a pod of this node, so replies would not come back through this node.
    NotFromPod,
    /// External traffic with policy `Cluster`: the endpoint may be on another node.
    External,
    /// External traffic that this node itself sends.
    FromNode,
    /// The endpoint is itself the client.
    Hairpin,
    /// Userspace mode terminates connections and dials the endpoint itself.
    Userspace,
}

impl fmt::Display for Masquerade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::No => "no",
            Self::All => "--masquerade-all is set",
            Self::NotFromPod => "sender is not a pod",
            Self::External => "external traffic",
            Self::FromNode => "external traffic from this node",
            Self::Hairpin => "hairpin, the endpoint is the client",
            Self::Userspace => "the proxy dials the endpoint",
        })
    }
}
