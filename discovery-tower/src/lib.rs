//! Kubernetes service discovery for [tower]: a service that balances each request over the live pods of a Service, and the
//! endpoints as tower's `Discover`.
//!
//! ```
//! # #[cfg(feature = "client")]
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! # use discovery_testing::FakeCluster;
//! use discovery_tower::{HttpClient, Resolver};
//! use http::Request;
//!
//! # let cluster = FakeCluster::start().await?;
//! # let service = cluster.service("shop", "orders").replicas(3).start().await?;
//! # let environment = discovery_tower::Environment::empty()
//! #     .with_env(cluster.env("shop"))
//! #     .with_resolv_conf(cluster.resolv_conf("shop"));
//! # let resolver = Resolver::builder().environment(environment).build()?;
//! # let target = format!("http://orders.shop:{}", service.port());
//! // With the feature `client`:
//! // let resolver = Resolver::new()?;
//! // let target = "http://orders.shop:8080";
//! let orders = HttpClient::new(&resolver, target.as_str())?;
//!
//! let response = orders.request(Request::get("/v1/items").body(String::new())?).await?;
//! assert_eq!(response.status(), 200);
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! # }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! [`Balance`] does the same with services of your own, one for each endpoint:
//!
//! ```
//! # use discovery_testing::FakeCluster;
//! use discovery_tower::{Balance, Endpoint, Resolver};
//! use tower::{ServiceExt, service_fn};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! # let cluster = FakeCluster::start().await?;
//! # let service = cluster.service("shop", "orders").replicas(3).start().await?;
//! # let environment = discovery_tower::Environment::empty()
//! #     .with_env(cluster.env("shop"))
//! #     .with_resolv_conf(cluster.resolv_conf("shop"));
//! # let resolver = Resolver::builder().environment(environment).build()?;
//! # let target = format!("http://orders.shop:{}", service.port());
//! let orders = resolver.resolve(target.as_str()).await?;
//! let balance = Balance::new(orders, |endpoint: &Endpoint| {
//!     let pod = endpoint.addr();
//!     service_fn(move |request: http::Request<()>| async move {
//!         Ok::<_, std::io::Error>(http::Response::new(format!("{} from {pod}", request.uri().path())))
//!     })
//! });
//! let response = balance.oneshot(http::Request::get("/v1/items").body(())?).await?;
//! # assert!(response.status() == 200);
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! # }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What is an endpoint?
//!
//! A pod, if the Service is headless or EndpointSlices are switched on. Over DNS alone, a Service with a virtual address
//! (ClusterIP) is one endpoint, and kube-proxy chooses a pod for each connection. To balance it per request, use
//! `ResolverBuilder::endpoint_slices`, with the feature `kubernetes-latest` of `discovery-core`.
//!
//! `resolve` waits for the first answer and fails if there is none. A program that must start while DNS or the Service is
//! down uses `resolver.upstream(target)?` instead: [`Balance`] then waits for endpoints, up to its endpoint timeout.
//!
//! [`Balance`] picks an endpoint; what is sent is up to the service that you make. For https, let the connector dial
//! [`Endpoint::addr`] and keep the name of the Service in the URI, so that SNI and `Host` stay right.
//!
//! # Which type to use
//!
//! | type | use it for |
//! |---|---|
//! | `HttpClient` | an HTTP client for one target, with any type of body. It takes care of names, TLS names, ports and retries |
//! | [`Balance`] | balancing each request of services of your own, with retries. It is `Clone` and needs neither a `Buffer` nor a `&mut` pool, because each call picks from an immutable snapshot |
//! | [`Discover`] | feeding `tower::balance::p2c::Balance`, or any other consumer of `Change`s. It yields no error and never ends, because tower's balancer stops for good after either |
//! | `VipConnector` | a client that dials virtual addresses of Services, such as `10.96.0.10:80` (VIPs, not those of Eureka): each connection goes to the pod that kube-proxy would choose, without NAT |
//!
//! # Retries
//!
//! [`Balance`] retries by [`HttpRetry`], and by the same rules as every client of this library:
//! [`discovery_core::policy::retry`]. Replace it with [`Balance::with_retry_policy`] for other protocols, and with
//! [`NoRetry`] to send every request once.
//!
//! `HttpClient` retries requests with any type of body, because it keeps the first 64 KiB of it. The crate `discovery-tonic`
//! does the same for gRPC. In a [`Balance`] over other services, [`HttpRetry`] needs a request body that is `Clone` and an
//! error that implements `std::error::Error`. Use [`NoRetry`] or a [`RetryPolicy`] of your own for other bodies, and a
//! [`RetryPolicy`] of your own for a `BoxError`, such as that of `tower::timeout`.
//!
//! # Dead connections
//!
//! When a node dies, its connections stay open and nothing arrives any more. [`Balance`] sends an idempotent request
//! elsewhere when its endpoint has left the set and has been silent for 1 s: [`Balance::with_removed_silence`]. To find a
//! dead connection before, switch on what your client has: `http2_keep_alive_interval` and `http2_keep_alive_timeout` of
//! hyper-util's client builder, `set_tcp_user_timeout` of its `HttpConnector`. [`HttpRetry`] retries what they end.
//!
//! # Upgrades
//!
//! A request is in flight until the connection that it upgraded has ended, if you take that connection over with
//! [`upgrade`].
//!
//! # Features
//!
//! * `client`: `HttpClient`, `EndpointConnector` and `ReplayBody`, with hyper-util's client.
//! * `http2` (on by default): [`HttpRetry`] recognizes requests that an HTTP/2 server refused before processing them.
//! * `proxy`: `VipConnector`.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod balance;
#[cfg(feature = "client")]
mod client;
mod connect_error;
mod discover;
mod error;
mod in_flight;
mod upgraded;
#[cfg(feature = "proxy")]
mod vip;

pub use discovery_core::{Environment, Resolver, ResolverBuilder, Upstream, endpoint::Endpoint, policy::Outcome};

pub use balance::{Balance, HttpRetry, NoRetry, RetryPolicy, is_interrupted, is_refused};
#[cfg(feature = "client")]
pub use client::{EndpointConnector, HttpClient, HttpClientBuilder, Origin, ReplayBody};
pub use connect_error::ConnectError;
pub use discover::Discover;
pub use error::Error;
pub use in_flight::{BodyEnd, Head, InFlight, InFlightBody, InFlightUntil, head_outcome};
pub use upgraded::{InFlightIo, upgrade};
#[cfg(feature = "proxy")]
pub use vip::{VipConnector, VipEndpoint, VipError, VipStream};
