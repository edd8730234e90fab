//! The reference kube-proxy core: what becomes of a flow to a Service, in each mode, and why.
//!
//! [`Proxier`] takes Services, EndpointSlices and the Node in, and publishes [`Snapshot`]s; a snapshot says for any
//! [`Flow`] what the dataplane of the real kube-proxy would do with it. It programs no kernel, opens no socket, reads
//! no clock and rolls no dice: `now` and the generator of random numbers are arguments. Each file tells one rule, and
//! where in kubernetes/kubernetes ("k/k") or linux it is written down.
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
//!     "rejected: TCP cluster IP of default/my-service, endpoints of the cluster, no endpoint is ready, no endpoints"
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
//!     "to 10.244.2.3:9376: TCP cluster IP of default/my-service, endpoints of the cluster, chosen without affinity"
//! );
//! # Ok::<(), std::net::AddrParseError>(())
//! ```
//!
//! # The way of one flow
//!
//! | step | file | answers |
//! |---|---|---|
//! | Services to ports | `service_port.rs` | which addresses and numbers are proxied |
//! | slices to endpoints | `endpoints.rs` | who they are, each once, in order |
//! | who may be used | `topology.rs` | policies, hints, terminating ones |
//! | one lookup | `dispatch.rs`, `node_address.rs`, `snapshot.rs` | which port a destination belongs to |
//! | the rules | `route.rs`, `flow.rs`, `hairpin.rs` | source ranges, which set, masquerade, refusal or silence |
//! | the choice | `mode/`, `affinity.rs` | which endpoint |
//! | the answer | `verdict.rs` | what and why |
//!
//! And beside it: changes (`proxier.rs`, `program.rs`), what to forget (`conntrack.rs`), what load balancers are told
//! (`health.rs`), what the API server would refuse before kube-proxy sees it ([`validate`]), and how all this stays
//! fast with 50 000 Services (`table.rs`, `packed.rs`).
//!
//! # The modes
//!
//! See [`Mode`] for how each spreads connections. They also differ here:
//!
//! | | userspace | iptables | IPVS | nftables |
//! |---|---|---|---|---|
//! | no endpoints | closed (UDP: lost) | refused | refused | refused |
//! | policy `Local`, none here | ignored | dropped | any of the cluster | dropped |
//! | cluster IP, unserved port | untouched | untouched | untouched | refused |
//! | unallocated service address | untouched | untouched | untouched | dropped |
//! | node ports by default | all addresses | all, `127.0.0.1` too | all | the primary address |
//! | sender inside, policy `Local` | ignored | cluster set | local set | cluster set |
//! | no endpoints, external address, sent by the node | closed | untouched | refused | refused |
//! | not in a source range, no endpoints | ignored | refused | dropped | dropped |
//! | the endpoint is the client, on no node | masqueraded | masqueraded | not | not |
//!
//! # What it costs
//!
//! `cargo bench -- proxy` in `benches` measures it; what was seen is in `benches/README.md`. A Service with one port takes
//! 3.5 kB with one endpoint and 5.2 kB with ten, of which a snapshot that is held beside the latest one shares all but
//! what has changed. A decision allocates nothing and takes no lock, but for the memory of a mode that remembers
//! something: clients with affinity, the round of a round robin, the connections of IPVS.
//!
//! # Traffic
//!
//! With the feature `forward`, `forward::Forwarder` carries TCP and UDP to where a snapshot sends them, and
//! `forward::Dialer` connects from within the process. It is the only part that touches the outside.
//!
//! # Two families
//!
//! A dual-stack node has a [`Proxier`] for each family. Apply everything to both: each takes what is its own.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod address;
mod affinity;
mod changes;
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
mod node_address;
pub mod object;
mod packed;
mod program;
mod programmed;
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
pub use changes::Changes;
pub use cidr::Cidr;
pub use config::Config;
pub use conntrack::{StaleFlows, TrackedFlow};
pub use endpoints::EndpointInfo;
pub use flow::{Flow, LocalDetector, Sender};
pub use health::{HealthAnswer, HealthCheck, NoLocalEndpoints};
pub use mode::{
    Connection, DIAL_TIMEOUTS, Dial, DialAttempt, IptablesConfig, IpvsConfig, Kernel, KubeProxyFallback, Maglev, Mode,
    ModeError, ModeSelection, Scheduler, SourceHash, UnknownScheduler, select,
};
pub use proxier::Proxier;
pub use service_port::{DEFAULT_AFFINITY_TIMEOUT, NamespacedName, ServicePortInfo, ServicePortName, service_ports};
pub use snapshot::{Frontend, ServicePortView, Snapshot};
pub use topology::{Topology, UsableEndpoints};
pub use verdict::{Action, Choice, Destination, Masquerade, Matched, Reason, Scope, Verdict};
