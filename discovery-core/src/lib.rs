//! An application names a Kubernetes Service and gets, for each request, a live endpoint: in a cluster, on a
//! laptop and in a test, with no sidecar and no code that knows where it runs.
//!
//! ```
//! use discovery_core::{Resolver, Environment, policy::Outcome};
//! use discovery_testing::{FakeDns, Pod, Service};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! // A DNS server that speaks as that of a cluster does, and a headless Service of two pods.
//! let dns = FakeDns::start().await?;
//! let pods = ["127.0.0.2", "127.0.0.3"].map(Pod::new);
//! dns.apply(pods.into_iter().fold(Service::headless("shop", "orders").port("http", 8080), Service::pod));
//!
//! // In a pod this is `Resolver::new()?`.
//! let environment = Environment::empty()
//!     .with_env([("POD_NAMESPACE", "shop")])
//!     .with_resolv_conf(dns.resolv_conf("shop"));
//! let resolver = Resolver::builder().environment(environment).nameservers([dns.addr()]).build()?;
//!
//! let orders = resolver.resolve("http://orders:8080").await?;
//! assert_eq!(orders.endpoints().len(), 2);
//!
//! let pick = orders.pick()?; // one endpoint for one request: no lock, no allocation
//! assert_eq!(pick.endpoint().port(), 8080);
//! pick.complete(Outcome::Success, std::time::Instant::now);
//!
//! // Why these?
//! let why = orders.explain().to_string();
//! assert!(why.contains("A orders.shop.svc.cluster.local."), "{why}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # The way of one request
//!
//! | floor | from | to |
//! |---|---|---|
//! | [`name`] | text or URL | [`Target`](name::Target): what the application asked for |
//! | [`plan`] | target and [`Scope`](plan::Scope) | [`Plan`](plan::Plan): variables and absolute names to ask for, in order |
//! | [`source`] | plan | [`Update`](source::Update): full state, from the environment, DNS, or a source of your own |
//! | [`refresh`] | state, update, now | what readers see, and when to ask next |
//! | [`endpoint`] | | [`EndpointSet`](endpoint::EndpointSet): an immutable sorted set |
//! | [`policy`] | set | [`Pick`](policy::Pick): one endpoint, and the guard that learns how it went |
//!
//! [`Resolver`] and [`Upstream`] put them together. All but `source` and the resolver are pure: they take `now`
//! and a generator of random numbers as arguments, and give the same answer for the same input.
//!
//! # Names
//!
//! `orders`, `orders:8080`, `orders.shop:http`, `orders.shop.svc`, `orders.shop.svc.cluster.local.`,
//! `_http._tcp.orders.shop`, `web-0.nginx`, `db.example.com:5432`, `10.0.0.1:80`, `[::1]:80`, `localhost`, and a
//! URL with any of them for its host. A port that has a name is looked up by SRV, everything else by A and
//! AAAA. A name with one address of each family is one endpoint with both; a name with more is one endpoint for each
//! address, since DNS does not tell which belong to the same pod. `a.b` is read as pod `a` of Service `b` in the own namespace, then as Service `a` in namespace `b`,
//! then as a host, as libc would; what has won is asked alone from then on.
//!
//! # Sources and their order
//!
//! 1. The target itself: address literals and `localhost`.
//! 2. Environment variables of Services, for the own namespace only, and only for the port that they name.
//!    They are also the laptop's override.
//! 3. Sources of your own ([`ResolverBuilder::source`]).
//! 4. EndpointSlices, where [switched on](source::kubernetes). That a Service has no endpoints is final then.
//! 5. DNS.
//!
//! The first with endpoints wins. Once it has, a failure of it, or a "no" that is not confirmed yet, does not let a
//! later one take over, which may know other addresses under the same name; what is known is stale then. When its
//! endpoints have been dropped, the later ones are asked. When none has any, the error keeps every source's reason
//! ([`Error::causes`]). A malformed variable is an error by itself, so that an override with a typo is not
//! passed over in silence.
//!
//! # When things fail
//!
//! See [`refresh`] for the rules. In short: a failure keeps what is known, and says so; a definitive "no" is
//! asked for once more before it counts; endpoints that cannot be reached make the sources be asked again.
//! Readers and picks never wait for a source once there was an answer.
//!
//! * **Runtimes.** The background work of an upstream runs on the tokio runtime that it was first used on. When
//!   that one shuts down, the next use on another runtime starts it there, with everything that was known.
//!   Reads go on meanwhile. A runtime that is kept but not driven (`new_current_thread` outside of `block_on`)
//!   does nothing, and what it refreshes grows old: use the upstreams on a runtime that runs.
//! * **Suspend.** The monotonic clock does not count the time that a machine sleeps on Linux. Where it does,
//!   nothing is dropped for its age alone: the first answer after the sleep decides.
//! * **A thousand endpoints.** All of them are found by A, and by SRV as long as the SRV records fit into the 64 KiB of a
//!   TCP message: the addresses need not. When the records do not fit (about 1100 endpoints of CoreDNS, fewer with long
//!   names), the question fails: never a part of the set. Write the port as a number, or use EndpointSlices.
//! * **No file descriptors left.** A question then fails as any other does: the endpoints stay and are stale.
//!
//! # Cancel safety
//!
//! Every `async fn` here is cancel-safe, and says so. [`Endpoints`], [`policy::Pick`] and [`Watch`] may be dropped at any
//! time.
//!
//! # Features
//!
//! `resolver` (on by default): the sources, [`Resolver`] and [`Upstream`]. Without it the crate is the pure
//! floors, without tokio and hickory.
//!
//! `kubernetes`: EndpointSlices by watch, `ResolverBuilder::endpoint_slices`, [`source::kubernetes`]. It depends on
//! `k8s-openapi`, which wants the program to choose a Kubernetes version by a dependency of its own:
//! `k8s-openapi = { version = "0.28", default-features = false, features = ["latest"] }`.
//!
//! `kubernetes-latest`: the same, and that choice. Use it unless something else in the program has made it already.
#![doc = ""]
#![doc = include_str!("../ENVIRONMENT.md")]
#![doc = ""]
#![doc = include_str!("context/settings/variables.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "resolver")]
mod client;
#[cfg(feature = "resolver")]
mod clock;
pub mod context;
pub mod endpoint;
mod entropy;
#[cfg(feature = "resolver")]
mod environment;
mod error;
pub mod name;
pub mod plan;
pub mod policy;
pub mod refresh;
pub mod source;

#[cfg(feature = "resolver")]
pub use client::{EndpointMap, Endpoints, Explanation, Resolver, ResolverBuilder, Step, Upstream, Watch};
pub use entropy::ThreadRng;
#[cfg(feature = "resolver")]
pub use environment::Environment;
pub use error::Error;
