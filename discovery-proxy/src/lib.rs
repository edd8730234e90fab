//! Decides what kube-proxy does with a flow to a Kubernetes Service, in each of its modes, and why.
//!
//! Use it to explain a cluster's Service traffic, to test manifests and proxies without a kernel, or as the core of a
//! proxy of your own.
//!
//! [`Proxier`] takes Services, EndpointSlices and the Node, and publishes [`Snapshot`]s. A snapshot decides for any
//! [`Flow`] what the dataplane of the real kube-proxy would do with it, and returns a [`Verdict`]. The core programs no
//! kernel, opens no socket, and reads neither the clock nor entropy: `now` and the random number generator are arguments.
//! Each file implements one rule and names the place in kubernetes/kubernetes ("k/k") or Linux that defines it.
//!
//! ```
//! use std::time::Instant;
//!
//! use discovery_core::policy::SplitMix64;
//! use discovery_proxy::{Config, Flow, Mode, Proxier, object::*};
//!
//! let mut proxy = Proxier::new(Config::new(IpFamily::V4, Mode::Nftables).with_node_name("node-a"));
//! proxy.apply_service(&Service {
//!     namespace: "default".into(),
//!     name: "my-service".into(),
//!     cluster_ip: "10.96.0.10".into(),
//!     ports: vec![ServicePort { port: 80, ..ServicePort::default() }],
//!     ..Service::default()
//! });
//! let (now, mut rng) = (Instant::now(), SplitMix64::with_seed(1));
//! let flow = Flow::tcp("10.244.1.7:40000".parse()?, "10.96.0.10:80".parse()?);
//!
//! let changes = proxy.sync(now, &mut rng);
//! let verdict = changes.snapshot.decide(&flow, now, &mut rng);
//! assert_eq!(
//!     verdict.to_string(),
//!     "rejected: TCP cluster IP of default/my-service, cluster endpoints, no ready endpoint, no usable endpoint"
//! );
//!
//! proxy.apply_endpoint_slice(&EndpointSlice {
//!     namespace: "default".into(),
//!     name: "my-service-x7k2p".into(),
//!     labels: [(SERVICE_NAME_LABEL.into(), "my-service".into())].into(),
//!     ports: vec![SlicePort { port: Some(9376), ..SlicePort::default() }],
//!     endpoints: vec![SliceEndpoint { addresses: vec!["10.244.2.3".into()], ..SliceEndpoint::default() }],
//!     ..EndpointSlice::default()
//! });
//! let changes = proxy.sync(now, &mut rng);
//! let verdict = changes.snapshot.decide(&flow, now, &mut rng);
//! assert_eq!(
//!     verdict.to_string(),
//!     "to 10.244.2.3:9376: TCP cluster IP of default/my-service, cluster endpoints, load balanced"
//! );
//! # Ok::<(), std::net::AddrParseError>(())
//! ```
//!
//! # Vocabulary
//!
//! | word | meaning |
//! |---|---|
//! | flow | the first packet of a connection, or the first datagram: [`Flow`] |
//! | frontend | an address, port and protocol that a Service is reached at: [`Frontend`] |
//! | verdict | the decision for a flow, with its reason: [`Verdict`] |
//! | cluster set, local set | the endpoints that a flow with policy `Cluster`, or `Local`, may use: [`UsableEndpoints`] |
//! | topology | the restriction of the cluster set by hints for this node or zone: [`Topology`] |
//! | affinity | the rule that a client keeps its endpoint for a while (`sessionAffinity: ClientIP`) |
//! | masquerade | to replace the client's address by the node's, so that replies come back through the node: [`Masquerade`] |
//! | hairpin | a flow of a pod to a Service that leads back to the same pod |
//! | sync | to publish what was applied as a new snapshot: [`Proxier::sync`] |
//!
//! # The path of a flow
//!
//! | step | file | question |
//! |---|---|---|
//! | Services to ports | `service_port.rs` | Which addresses and ports are proxied? |
//! | slices to endpoints | `endpoints.rs`, `order.rs` | Which endpoints does a port have, in which order? |
//! | usable endpoints | `topology.rs` | Which endpoints do policies, hints and conditions allow? |
//! | one lookup | `snapshot.rs`, `dispatch.rs`, `config.rs` | Which Service port does a destination belong to? |
//! | the rules | `route.rs`, `flow.rs`, `hairpin.rs` | Is the client allowed? Which set applies? Is the flow masqueraded, rejected or dropped? |
//! | the choice | `mode/` | Which endpoint? |
//! | the result | `verdict.rs` | What happens, and why? |
//!
//! The other files handle changes (`proxier.rs`, `program.rs`), UDP flows to forget (`conntrack.rs`), health checks for
//! load balancers (`health.rs`), what the API server rejects before kube-proxy sees it ([`validate`]), and speed with
//! 50 000 Services (`table.rs`).
//!
//! # Modes
//!
//! [`Mode`] lists the modes; they differ in load balancing and affinity:
//!
//! | | userspace | iptables | IPVS | nftables |
//! |---|---|---|---|---|
//! | load balancing | round robin over a shuffled list | uniform | a [scheduler](Scheduler) of the kernel | uniform |
//! | affinity belongs to | the Service port | (port, endpoint) | (address, port) | (port, endpoint) |
//! | a failed endpoint | up to four attempts | no retry | no retry | no retry |
//! | no endpoints | closed (UDP: lost) | rejected | rejected | rejected |
//! | policy `Local`, no local endpoint | ignored | dropped | cluster set | dropped |
//! | cluster IP, unserved port | not proxied | not proxied | not proxied | rejected |
//! | unallocated Service address | not proxied | not proxied | not proxied | dropped |
//! | node ports by default | all addresses | all addresses and `127.0.0.1` | all addresses | the primary address |
//! | client in the cluster, policy `Local` | ignored | cluster set | local set | cluster set |
//! | no endpoints, external address, sent by the node | closed | not proxied | rejected | rejected |
//! | client outside the source ranges, no endpoints | ignored | rejected | dropped | dropped |
//! | hairpin, on an unknown node | masqueraded | masqueraded | not masqueraded | not masqueraded |
//!
//! # Features
//!
//! Neither feature is on by default, and neither changes a decision.
//!
//! * `forward`: the module `forward` with `Forwarder`, which carries TCP and UDP to the endpoints that a snapshot chooses,
//!   and `Dialer`, which connects from within the process. It depends on tokio, and is the only part that does I/O.
//! * `k8s`: `From` conversions of `k8s-openapi`'s types to the types in [`object`]. It adds neither a client nor a
//!   runtime. Your binary selects the Kubernetes version by a feature of `k8s-openapi`.
//!
//! # Cost
//!
//! `cargo bench -- proxy` in `benches` measures the core; `benches/README.md` has the results. A Service with one port
//! takes 3.5 kB with one endpoint and 5.2 kB with ten. A snapshot that is held beside the latest one shares everything
//! that has not changed. A decision does not allocate. It takes no lock either, unless the mode has to remember
//! something: clients with affinity, the position of a round robin, the connections of IPVS.
//!
//! # IPv4 and IPv6
//!
//! A dual-stack node has a [`Proxier`] for each family. Apply every object to both: each uses what belongs to its family.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod cidr;
mod config;
mod conntrack;
mod dispatch;
mod endpoints;
mod flow;
#[cfg(feature = "forward")]
pub mod forward;
mod hairpin;
mod health;
mod mode;
pub mod object;
mod order;
mod program;
mod proxier;
mod route;
mod service_port;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;
mod topology;
pub mod validate;
mod verdict;

pub use address::parse_ip;
pub use cidr::Cidr;
pub use config::Config;
pub use conntrack::{StaleFlows, TrackedFlow};
pub use endpoints::EndpointInfo;
pub use flow::{Flow, LocalDetector, Sender};
pub use health::{HealthAnswer, HealthCheck, NoLocalEndpoints};
pub use mode::{
    Connection, DIAL_TIMEOUTS, DialAttempt, DialAttempts, IptablesConfig, IpvsConfig, Kernel, KubeProxyFallback,
    Maglev, Mode, ModeError, ModeSelection, Scheduler, SourceHash, UnknownScheduler,
};
pub use program::Changes;
pub use proxier::Proxier;
pub use service_port::{DEFAULT_AFFINITY_TIMEOUT, NamespacedName, ServicePortInfo, ServicePortName, service_ports};
pub use snapshot::{Frontend, ServicePortView, Snapshot};
pub use topology::{Topology, UsableEndpoints};
pub use verdict::{Action, Choice, Destination, Masquerade, Reason, Scope, ServiceMatch, Verdict};

/// Compiles the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
