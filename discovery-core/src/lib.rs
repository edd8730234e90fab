//! Service discovery for Kubernetes: an application names a Service and gets, for each request, a live endpoint. This
//! works in a cluster, on a laptop and in a test, with no sidecar and no code that knows where it runs.
//!
//! ```
//! use discovery_core::{Resolver, Environment, policy::Outcome};
//! use discovery_testing::{FakeDns, Pod, Service};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! // A DNS server that answers like a cluster's own, and a headless Service of two pods.
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
//! // Why these endpoints?
//! let why = orders.explain().to_string();
//! assert!(why.contains("A orders.shop.svc.cluster.local."), "{why}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Why not resolve the name and connect?
//!
//! A client with a connection pool, or with HTTP/2, keeps sending to the one pod that it once connected to. A DNS
//! search list costs up to eight queries for one name (four candidates, two address families), and turns a SERVFAIL for
//! the right name into an NXDOMAIN for the last one. A client that looks the name up for each connection cannot connect
//! while DNS fails, although the pods are well. This crate balances each request, queries absolute names in the
//! background, and keeps the last known endpoints through an outage of its sources.
//!
//! # Vocabulary
//!
//! | word | meaning |
//! |---|---|
//! | target | what the application asked for: a name, its port, and the scheme of a URL |
//! | own namespace | the namespace of this pod, in which a name without a namespace is looked up |
//! | cluster domain | the domain of the cluster's Services, such as `cluster.local` |
//! | source | answers queries for targets: environment variables, DNS, EndpointSlices, a registry |
//! | update | the answer of a source, always the full state: endpoints, a negative answer, or a failure |
//! | negative answer | "no such name" (NXDOMAIN in DNS) or "the name exists, but has no endpoints" (NODATA) |
//! | authoritative | said of an answer that takes effect without a second query to confirm it |
//! | endpoint | one backend, as a rule a pod: its addresses, port, weight, zone and conditions |
//! | stale | the last query failed, and the endpoints are the last known ones |
//! | upstream | the live view of one target, kept up to date by a background task |
//! | snapshot | an immutable endpoint set with the load of each endpoint, ready to pick from |
//! | pick | the endpoint chosen for one request, and the guard that records the outcome |
//!
//! # The path of a request
//!
//! | module | from | to |
//! |---|---|---|
//! | [`name`] | text or URL | [`Target`](name::Target): what the application asked for |
//! | [`plan`] | target and [`Scope`](plan::Scope) | [`Plan`](plan::Plan): the variables and absolute names to query, in order |
//! | [`source`] | plan | [`Update`](source::Update): the full state, from the environment, DNS, or a source of your own |
//! | [`refresh`] | state, update, now | what readers see, and when to query next |
//! | [`endpoint`] | | [`EndpointSet`](endpoint::EndpointSet): an immutable sorted set |
//! | [`policy`] | set | [`Pick`](policy::Pick): one endpoint, and the guard that records the outcome |
//!
//! [`Resolver`] and [`Upstream`] put the modules together. All modules but `source` are pure: they take `now` and a
//! random number generator as arguments, and return the same result for the same input.
//!
//! # Names
//!
//! A target is one of `orders`, `orders:8080`, `orders.shop:http`, `orders.shop.svc`,
//! `orders.shop.svc.cluster.local.`, `_http._tcp.orders.shop`, `web-0.nginx`, `db.example.com:5432`, `10.0.0.1:80`,
//! `[::1]:80`, `localhost`, or a URL whose host is one of these.
//!
//! A named port is looked up by SRV; everything else by A and AAAA. A name with one address of each family is one
//! endpoint with both addresses. A name with more addresses is one endpoint for each address, since DNS does not say
//! which of them belong to the same pod.
//!
//! `a.b` is read as pod `a` of Service `b` in the own namespace, then as Service `a` in namespace `b`, then as a host,
//! as libc would. After one of them has answered, only that one is queried.
//!
//! # Sources and their order
//!
//! 1. The target itself: address literals and `localhost`.
//! 2. The environment variables of Services, for the own namespace only, and only for the port that they name. They are
//!    also the override for a laptop. In a cluster where EndpointSlices are switched on they are not read, unless
//!    `DISCOVERY_SERVICE_ENV=on`.
//! 3. Sources of your own ([`ResolverBuilder::source`]).
//! 4. EndpointSlices, where [switched on](source::kubernetes). If they say that a Service has no endpoints, DNS is not
//!    queried.
//! 5. DNS.
//!
//! The first source with endpoints wins. While its endpoints are in use, later sources are not queried just because it
//! fails, or because it gives a negative answer that is not confirmed yet: they may know other addresses under the same
//! name. The endpoints become stale instead. Later sources are queried once a negative answer is confirmed, or once the
//! endpoints have been dropped.
//!
//! If no source has endpoints, the error keeps the reason of every source ([`Error::causes`]). A malformed variable is
//! an error by itself, so that a typo in an override does not go unnoticed.
//!
//! # What happens when something fails?
//!
//! See [`refresh`] for the rules. In short: a failure keeps the endpoints and marks them stale; a negative answer is
//! confirmed by a second query before it takes effect, unless it is authoritative; a connect error makes the resolver
//! query the sources again. After the first answer, readers and picks never wait for a source.
//!
//! * **The runtime shuts down.** The background task of an upstream runs on the Tokio runtime that the upstream was
//!   first used on. When that runtime shuts down, the next use on another runtime restarts the task there, with
//!   everything that was known. Reads continue meanwhile.
//! * **The runtime is not driven.** On a runtime that exists but does not run (`new_current_thread` outside of
//!   `block_on`) no task makes progress. Another runtime that uses the upstream takes over the refreshes: it asks the
//!   background task for a sign of life, and replaces it after a second without one. A call to
//!   [`watch`](Upstream::watch), [`refresh`](Upstream::refresh), [`ready`](Upstream::ready) or
//!   [`first_answer`](Upstream::first_answer) is such a use, and so is one of 61 picks or reads in a thread. With no
//!   other runtime nothing is refreshed, and the endpoints grow old.
//! * **The machine is suspended.** On Linux the monotonic clock stops while a machine sleeps. Where the clock goes on,
//!   nothing is dropped for its age alone: the first answer after the sleep decides.
//! * **A Service has a thousand endpoints.** A queries find all of them. So do SRV queries, as long as the SRV records
//!   fit into the 64 KiB of a TCP message; their addresses need not fit. If the records do not fit (about 1100
//!   endpoints of CoreDNS, fewer with long names), the query fails, rather than return a part of the set. Write the
//!   port as a number then, or use EndpointSlices.
//! * **The process runs out of file descriptors.** The query fails like any other: the endpoints stay and become stale.
//!
//! # Cancel safety
//!
//! Every `async fn` here is cancel-safe, and documents it. [`Endpoints`], [`policy::Pick`] and [`Watch`] may be dropped
//! at any time.
//!
//! # Features
//!
//! * `resolver` (on by default): the sources, [`Resolver`] and [`Upstream`]. Without it the crate is the pure modules
//!   only, and does not depend on Tokio or hickory.
//! * `kubernetes`: EndpointSlices by watch: `ResolverBuilder::endpoint_slices` and [`source::kubernetes`]. It depends
//!   on `k8s-openapi`, for which the program has to choose a Kubernetes version by a dependency of its own:
//!   `k8s-openapi = { version = "0.28", default-features = false, features = ["latest"] }`.
//! * `kubernetes-latest`: `kubernetes` with that choice made. Use it unless another dependency of the program has made
//!   the choice already.
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
pub mod tcp;
pub mod text;

#[cfg(feature = "resolver")]
pub use client::{EndpointMap, Endpoints, Explanation, Resolver, ResolverBuilder, Step, Upstream, Watch};
pub use entropy::ThreadRng;
#[cfg(feature = "resolver")]
pub use environment::Environment;
pub use error::Error;
