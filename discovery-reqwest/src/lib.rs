//! A [reqwest] client that balances each request over the live pods of a Kubernetes Service.
//!
//! ```
//! # use discovery_testing::FakeCluster;
//! use discovery_core::Resolver;
//! use discovery_reqwest::Client;
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! # let cluster = FakeCluster::start().await?;
//! # let service = cluster.service("shop", "orders").replicas(3).start().await?;
//! # let environment = discovery_core::Environment::empty()
//! #     .with_env(cluster.env("shop"))
//! #     .with_resolv_conf(cluster.resolv_conf("shop"));
//! # let resolver = Resolver::builder().environment(environment).build()?;
//! # let url = format!("http://orders.shop:{}/v1/items", service.port());
//! // let resolver = Resolver::new()?;
//! // let url = "http://orders.shop:8080/v1/items";
//! let client = Client::new(resolver);
//! for _ in 0..30 {
//!     let response = client.get(&url).send().await?;
//!     assert_eq!(response.status(), 200);
//! }
//! // Every pod has had its part.
//! assert!(service.requests().values().all(|requests| *requests > 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # What it does
//!
//! * Every request picks an endpoint of its own, over HTTP/1.1 and HTTP/2 alike. A plain client keeps to the
//!   connections that it has, and over HTTP/2 that is one connection to one pod.
//! * One `reqwest::Client`, and so one connection pool, for each endpoint. It goes when the endpoint goes.
//! * `Host`, SNI and the name in the certificate stay those of the URL. So does `:authority` of HTTP/2, but for one
//!   case: when a source of one's own gives an endpoint another port than the URL writes, it lacks the port.
//! * When no connection comes about, or it breaks before a response and the method is idempotent, the request
//!   goes to an endpoint not yet tried, three at most; a request whose body is a stream goes to one only. With the
//!   feature `http2`, what an endpoint refuses before it has begun (`GOAWAY`, `REFUSED_STREAM`: a pod that is about to
//!   stop) goes on too, whatever the method, and to the same one where there is no other. Such retries add no more than a fifth to the requests of a target, and 10 a second:
//!   [`RetryBudget`](discovery_core::policy::RetryBudget).
//! * The target of a URL is its scheme, host and port. `http://_http._tcp.orders.shop/` asks for the port by
//!   its name; `Host` is `orders.shop` then.
//! * Any other URL works too: `https://api.example.com` is resolved, balanced and kept up to date in the same
//!   way, an address or `localhost` is taken as it is.
//!
//! [`DiscoveryResolver`] is for those who want a plain `reqwest::Client`: it resolves through the same resolver, but
//! balances new connections only.
//!
//! # Redirects, cookies, timeouts
//!
//! * A redirect is followed by the client of the endpoint that gave it: to the same scheme, host and port it stays with
//!   that endpoint, to any other Service it is resolved as by [`DiscoveryResolver`]. What goes wrong after a redirect is not
//!   sent to another endpoint, unless an HTTP/2 server has refused it and the method is idempotent. The policy is reqwest's own, ten redirects, unless [`ClientBuilder::configure`] sets
//!   another.
//! * Cookies are kept in one store for all endpoints, if at all: `ClientBuilder::cookie_store`, feature `cookies`.
//! * A timeout of reqwest's (`timeout`, `read_timeout`, `connect_timeout`, which is 3 s here) bounds each attempt.
//!   [`ClientBuilder::endpoint_timeout`] bounds the wait for an endpoint, [`ClientBuilder::attempt_timeout`] that for an endpoint
//!   that hangs. To bound all of it together, put `tokio::time::timeout` around: dropping a request in any state leaves
//!   nothing behind.
//! * An answer of 5xx or 429 is an answer, and counts against its endpoint for a while, as long as `Retry-After` says
//!   where it says so; a failure to connect or a broken connection does, too.
//!
//! # Proxies
//!
//! Services are reached directly, whatever `HTTP_PROXY` says. A host that the environment's `HTTP_PROXY`, `HTTPS_PROXY` or
//! `ALL_PROXY` applies to, and that `NO_PROXY` does not except, is asked through the proxy, which is told its name. A name
//! that may be either (`example.com` may be Service `example` of namespace `com`) is looked up first: it is a Service if
//! DNS or another source knows it as one, else a host, also where nobody can be asked. [`ClientBuilder::no_proxy`]
//! switches this off. A proxy that [`ClientBuilder::configure`] sets is the application's own affair: it gets every
//! request that it applies to, those for Services too, and the endpoint's address is not used then.
//!
//! # Middleware
//!
//! With the feature `middleware`, a [`Client`] is the last link of a chain of `reqwest_middleware`.
//!
//! # TLS
//!
//! Nothing is compiled in for https unless the application asks for it: by the feature `rustls` here or a TLS
//! feature of its own `reqwest` dependency. Give one configuration to all endpoints' clients: with
//! `ClientBuilder::tls` (feature `rustls`), or in [`ClientBuilder::configure`] with
//! `tls_backend_preconfigured`.

mod client;
mod dns;
mod error;
mod kept;
#[cfg(feature = "middleware")]
mod middleware;
mod request;

pub use discovery_core::{Environment, Resolver, ResolverBuilder};

pub use client::{Client, ClientBuilder, ResponseExt};
pub use dns::DiscoveryResolver;
pub use error::Error;
pub use request::RequestBuilder;
