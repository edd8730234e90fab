//! A [reqwest] client that balances each request over the live pods of a Kubernetes Service.
//!
//! ```
//! # use discovery_testing::FakeCluster;
//! use discovery_reqwest::{Client, Resolver};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! # let cluster = FakeCluster::start().await?;
//! # let service = cluster.service("shop", "orders").replicas(3).start().await?;
//! # let environment = discovery_reqwest::Environment::empty()
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
//! // Every pod received requests.
//! assert!(service.requests().values().all(|requests| *requests > 0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
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
//! # What it does
//!
//! * **Each request picks an endpoint**, over HTTP/1.1 and HTTP/2 alike. A plain client stays with the connections that it
//!   has, and over HTTP/2 that is one connection to one pod.
//! * **Each endpoint has a `reqwest::Client`**, and therefore a connection pool, of its own. The pool is closed when the
//!   endpoint is removed.
//! * **`Host`, SNI and the name in the certificate** stay those of the URL, and so does `:authority` of HTTP/2, also if a
//!   source gives an endpoint another port than the URL names.
//! * **Retries** go to an endpoint that was not tried, and are bounded: see [`Client::execute`].
//! * **The target** of a URL is its scheme, host and port. `http://_http._tcp.orders.shop/` looks the port up by its name;
//!   `Host` is `orders.shop` then.
//! * **Other URLs work too.** `https://api.example.com` is resolved, balanced and refreshed in the same way. Addresses and
//!   `localhost` are used as they are.
//!
//! Use [`DiscoveryResolver`] if you need a plain `reqwest::Client`: it resolves through the same resolver, and balances new
//! connections only.
//!
//! # Redirects
//!
//! The client of the endpoint that answered follows the redirect. To the same scheme, host and port, the redirect stays
//! with that endpoint; to another port of the host, it goes to that port of the endpoint's address. Another host, which may
//! be a Service, is resolved for the connection and not kept, because the server chose its name. Credentials stay with the
//! scheme, host and port of the URL. A request that fails after a redirect is not retried, unless an HTTP/2 server refused
//! it and the method is idempotent. The policy is reqwest's default of ten redirects, unless [`ClientBuilder::configure`]
//! sets another one.
//!
//! # Cookies
//!
//! All endpoints share one cookie store, if any: `ClientBuilder::cookie_store`, feature `cookies`. The names of a cluster
//! count as public suffixes (RFC 6265, 5.3), so no Service can set a cookie for another one:
//!
//! | host | cookies |
//! |---|---|
//! | one label; `service.namespace.svc…`, `pod.service.namespace.svc…` | stay with the name that set them |
//! | two labels, which may be `service.namespace` | the same, and a cookie for its own name is sent to the names below it |
//! | all others | by their `Domain`, but never to a name of the rows above |
//!
//! A cookie whose `Domain` has one label, or is a part of a Service's name, is refused.
//!
//! # Targets that are not used
//!
//! The client keeps a target for 5 min after its last request ([`ClientBuilder::unused_timeout`]), and 1024 targets at most
//! ([`ClientBuilder::max_targets`]). A timer drops the others, with their connections and background work.
//!
//! # Timeouts
//!
//! | timeout | bounds |
//! |---|---|
//! | [`ClientBuilder::endpoint_timeout`], 3 s by default | the wait for an endpoint |
//! | [`ClientBuilder::attempt_timeout`], off by default | the time until an endpoint that hangs is given up |
//! | 250 ms, or three times the target's usual connect time | connecting, before the request goes to another endpoint |
//! | `connect_timeout` of reqwest, 3 s by default | connecting, in each attempt |
//! | [`ClientBuilder::removed_silence`], 1 s by default | the silence of an endpoint that has left the set |
//! | HTTP/2 pings, TCP_USER_TIMEOUT: see [`ClientBuilder::configure`] | the silence of a connection |
//! | `timeout` and `read_timeout` of reqwest, off by default | each attempt |
//!
//! Wrap the call in `tokio::time::timeout` to bound all of it together. Dropping a request in any state leaves nothing
//! behind.
//!
//! # Dead connections
//!
//! When a node dies, its connections stay open and nothing arrives any more. HTTP/2 connections are pinged while requests
//! wait on them, and the kernel closes connections whose data is not acknowledged: [`ClientBuilder::configure`] has the
//! times. When the endpoint has left the set meanwhile, idempotent requests do not wait for that:
//! [`ClientBuilder::removed_silence`].
//!
//! # Upgrades
//!
//! A request is in flight until the connection that it upgraded (101, as for WebSocket) has ended, if you take that
//! connection over with [`ResponseExt::upgrade_in_flight`].
//!
//! # What counts against an endpoint
//!
//! A connect error, a broken connection, a 5xx status or 429 counts as one more request in flight at the endpoint for 5 s,
//! so that it is less likely to be picked. With 429 or 503, `Retry-After` in seconds extends this, to 5 min at most. The
//! response is still returned.
//!
//! # Proxies
//!
//! The client connects to Services directly, whatever `HTTP_PROXY` says. It sends requests for hosts through the proxy that
//! `HTTP_PROXY`, `HTTPS_PROXY` or `ALL_PROXY` names, unless `NO_PROXY` excludes the host; the proxy resolves the name.
//!
//! A name of two or three labels may be either: `example.com` is Service `example` in namespace `com`, or a host. The
//! client looks it up first. It is a host if a source knows it as one, or if the cluster's DNS says that no such Service
//! exists, whatever DNS says about the host. While DNS does not answer, nothing is known: the request waits for
//! [`ClientBuilder::endpoint_timeout`] and fails, because the proxy must not receive what is for a Service. Outside a cluster
//! it is a host then. `example.com.`, with a final dot, is a host in any case.
//!
//! [`ClientBuilder::no_proxy`] switches the proxies off. A proxy that is set in [`ClientBuilder::configure`] receives every
//! request that it applies to, requests to Services included, and the address of the endpoint is not used then.
//!
//! # Middleware
//!
//! With the feature `middleware`, a [`Client`] is the last link of a chain of `reqwest_middleware`.
//!
//! # TLS
//!
//! TLS is compiled in only if the application asks for it, with the feature `rustls` of this crate or with a TLS feature of
//! its own `reqwest` dependency. Share one configuration between the clients of all endpoints, with `ClientBuilder::tls`
//! (feature `rustls`), or with `tls_backend_preconfigured` in [`ClientBuilder::configure`].
//!
//! # Features
//!
//! * `http2` (on by default): HTTP/2, as in reqwest, and retries of requests that a server refused before processing them.
//! * `rustls`: TLS, as in reqwest, and `ClientBuilder::tls`.
//! * `json`: `RequestBuilder::json`.
//! * `cookies`: `ClientBuilder::cookie_store`.
//! * `middleware`: `Client` implements `reqwest_middleware::Middleware`.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod cache;
mod client;
#[cfg(feature = "cookies")]
mod cookies;
mod dns;
mod error;
#[cfg(feature = "middleware")]
mod middleware;
mod request;
mod response;

pub use discovery_core::{Environment, Resolver, ResolverBuilder};

pub use client::{Client, ClientBuilder};
pub use dns::DiscoveryResolver;
pub use error::Error;
pub use request::RequestBuilder;
pub use response::{InFlightIo, ResponseExt};
