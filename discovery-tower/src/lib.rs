//! [`discovery_core`] for [tower]: the endpoints of a target as tower's `Discover`, and a
//! service that balances over them.
//!
//! ```
//! # use discovery_testing::FakeCluster;
//! use bytes::Bytes;
//! use discovery_core::{Resolver, endpoint::Endpoint};
//! use discovery_tower::Balance;
//! use http_body_util::Empty;
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use tower::{ServiceExt, service_fn};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! # let cluster = FakeCluster::start().await?;
//! # let service = cluster.service("shop", "orders").replicas(3).start().await?;
//! # let environment = discovery_core::Environment::empty()
//! #     .with_env(cluster.env("shop"))
//! #     .with_resolv_conf(cluster.resolv_conf("shop"));
//! # let resolver = Resolver::builder().environment(environment).build()?;
//! # let target = format!("http://orders.shop:{}", service.port());
//! // let resolver = Resolver::new()?;
//! // let target = "http://orders.shop:8080";
//! let orders = resolver.resolve(target.as_str()).await?;
//!
//! // One hyper client, and so one connection pool, for each pod.
//! let balance = Balance::new(orders, |endpoint: &Endpoint| {
//!     let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
//!     let pod = endpoint.addr();
//!     service_fn(move |request: http::Request<Empty<Bytes>>| {
//!         let client = client.clone();
//!         async move {
//!             let (mut parts, body) = request.into_parts();
//!             let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
//!             parts.uri = format!("http://{pod}{path}").parse().expect("an address makes a URI");
//!             client.request(http::Request::from_parts(parts, body)).await
//!         }
//!     })
//! });
//!
//! let request = http::Request::get("/v1/items").header("host", "orders.shop").body(Empty::new())?;
//! let response = balance.clone().oneshot(request).await?;
//! assert_eq!(response.status(), 200);
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! # }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Which of the two
//!
//! [`Balance`] is `Clone`, needs no `Buffer` and no `&mut` pool: each call picks from an immutable snapshot.
//! [`Discover`] feeds tower's own `p2c::Balance`, or any other consumer of `Change`s; it never yields an
//! error and does not end while it is held, because tower's balancer takes either for the end of everything.

//!
//! # Features
//!
//! `proxy`: `VipConnector`, for clients that dial Services' virtual addresses (`10.96.0.10:80`): the connection goes
//! to a pod as kube-proxy would decide, without NAT.

mod balance;
mod discover;
mod error;
#[cfg(feature = "proxy")]
mod vip;

pub use discovery_core::{Environment, Resolver, ResolverBuilder, Upstream, endpoint::Endpoint, policy::Outcome};

pub use balance::{Balance, HttpRetry, NoRetry, RetryPolicy};
pub use discover::Discover;
pub use error::Error;
#[cfg(feature = "proxy")]
pub use vip::{VipConnector, VipEndpoint, VipError, VipStream};
