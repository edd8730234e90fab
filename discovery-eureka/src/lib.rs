//! Eureka: registration of this pod, and a registry as a source of a resolver.
//!
//! ```
//! # use std::sync::{Arc, Mutex};
//! # use discovery_core::{Resolver, Environment};
//! # use discovery_testing::FakePod;
//! use std::time::Duration;
//!
//! use discovery_eureka::{EurekaSource, Registration};
//! use discovery_reqwest::Client;
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! # let held = Arc::new(Mutex::new(String::new()));
//! # let registry = FakePod::with_handler("eureka", {
//! #     let held = held.clone();
//! #     move |request| {
//! #         let mut held = held.lock().unwrap();
//! #         match (request.method().as_str(), request.uri().path()) {
//! #             ("POST", _) => *held = String::from_utf8(request.body().to_vec()).unwrap(),
//! #             ("DELETE", _) => held.clear(),
//! #             ("GET", "/eureka/apps") => {
//! #                 let app = format!(r#"{{"applications":{{"application":{held}}}}}"#);
//! #                 return http::Response::new(app.into());
//! #             }
//! #             _ => {}
//! #         }
//! #         http::Response::new(held.clone().into())
//! #     }
//! # })
//! # .await?;
//! # let url = format!("http://{}/eureka", registry.addr());
//! # let plain = Resolver::builder().environment(Environment::empty()).build()?;
//! # let pod = FakePod::start("rates-0").await?;
//! # let listener = pod.addr();
//! // let plain = Resolver::new()?;
//! // let url = "http://rates-eureka.icg-msst-cv-rates-171832.svc:8080/eureka";
//! let client = Client::new(plain);
//!
//! // In a pod with the downward API neither address nor variables have to be given.
//! let registration = Registration::builder(&client, url.as_str(), "rates")
//!     .port(listener.port())
//!     .ip(listener.ip())
//!     .register()
//!     .await?;
//! registration.settled().await?;              // the registry holds it, and it has been read back
//!
//! let eureka = EurekaSource::builder(&client, url.as_str()).build()?;
//! # let environment = Environment::empty().with_env([("POD_NAMESPACE", "shop")]);
//! let resolver = Resolver::builder().source(Arc::new(eureka));
//! # let resolver = resolver.environment(environment);
//! let response = Client::new(resolver.build()?).get("http://rates/v1/eur").send().await?;
//! assert_eq!(response.text().await?, "rates-0");
//!
//! registration.shutdown(Duration::ZERO).await?; // in a pod: a drain of 60 to 95 s
//! # assert!(held.lock().unwrap().is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # The registry's URL
//!
//! The base that `apps` is appended to: `http://host:8761/eureka` of Spring Cloud, `http://host/eureka/v2` of Netflix. Its host is a
//! name like any other and goes through the client's own resolver: a Service's name is the same URL in every cluster.
//! User and password in it (`%40` for `@`) are sent in a header, and shown nowhere.
//!
//! * **One URL**, as of a Service in front of several registries: one connection is kept. When it breaks, nothing comes for 8 s,
//!   or the answer is 5xx, the same is asked once more over a new connection, which may lead to another registry. The URL is
//!   never left alone. Where the Service is headless, each request goes to a registry of its own.
//! * **Several**, with commas between them: the one that answered last is asked, three at most; those that failed come again when two
//!   thirds have. After 20 minutes, give or take a half, the first one is tried again.
//!
//! # Registration
//!
//! Bind the listener first: [`RegistrationBuilder::port`] is the port of a listener that others can connect to. What follows is one
//! task that sends one request after the other:
//!
//! | what | when |
//! |---|---|
//! | the record | at once, and again after 1, 2, 4 ... s where that fails, a third of the lease at most |
//! | the record, read back | after it, and after each outage. A foreign one of the same id is overwritten |
//! | a heartbeat | each 30 s; when the registry does not know this pod (404), the record at once |
//! | a change of status | at once, twice; then with the next heartbeat. OUT_OF_SERVICE is an override |
//! | the health check | before each heartbeat |
//! | the end | last of all: nothing is sent after the DELETE |
//!
//! [`Registration::shutdown`] ends it in order; to drop it deregisters as well, but nobody waits for that. A pod that is killed is listed
//! for up to five minutes with a server's own settings, since a lease counts twice there (Netflix #1450): those who call it have to
//! go on to the next pod, as [`Client`](discovery_reqwest::Client) does.
//!
//! # The pod's address
//!
//! In this order, the first that tells one:
//!
//! 1. [`RegistrationBuilder::ip`];
//! 2. `POD_IPS` and `POD_IP`, from the downward API. A value that is no address of a pod is an error, and one that is empty is absent;
//! 3. the route to the registry, to `KUBERNETES_SERVICE_HOST`, and to the first nameserver in `/etc/resolv.conf`: a UDP socket is
//!    connected, which sends nothing, and says from which address;
//! 4. the pod's own name in `/etc/hosts`, where the kubelet has written that file.
//!
//! Loopback, link-local, multicast and unspecified addresses do not count (but for an explicit loopback address), nor does the
//! node's own, `HOST_IP`, unless [`allow_host_network`](RegistrationBuilder::allow_host_network) is said. Of both families
//! [`IpFamily`] chooses.
//!
//! | variable | downward API | without it |
//! |---|---|---|
//! | `POD_IP`, `POD_IPS` | `status.podIP`, `status.podIPs` | as above |
//! | `POD_NAME` | `metadata.name` | `HOSTNAME`, else the address |
//! | `POD_UID` | `metadata.uid` | the address stands in the instance id |
//! | `POD_NAMESPACE`, `NODE_NAME` | `metadata.namespace`, `spec.nodeName` | not in the metadata |
//! | `HOST_IP` | `status.hostIP` | the node's address is not recognized |
//!
//! `examples/kubernetes/eureka.yaml` has them all, and explains `terminationGracePeriodSeconds`.
//!
//! # Discovery
//!
//! [`EurekaSource`] is a [`Source`](discovery_core::source::Source) for
//! [`ResolverBuilder::source`](discovery_core::ResolverBuilder::source). The registry's own name is resolved by another resolver, that of
//! the client which the source is built with.
//!
//! **Names.** The whole host of a target, in any case, is a VIP; where there is none, an application. Instances that are UP and have an
//! address count.
//!
//! | target | instances | port |
//! |---|---|---|
//! | `http://rates`, `rates:http` | VIP `rates`, else application `RATES` | the one without TLS |
//! | `https://rates`, `rates:https` | the same, or the secure VIP | the one with TLS |
//! | `rates` | as the first | without TLS if in use, else with it |
//! | `rates:management` | as the first | `management.port` in the metadata |
//! | `http://rates:8080` | as the first | the registered one; 8080 only for a record without a port |
//! | `rates.`, `10.0.0.1`, `localhost` | not asked | |
//!
//! **Order.** Addresses and variables of Services come before; EndpointSlices and DNS after, in reserve: as long as the
//! registry has never answered, about names that it does not know, and when its last answer is older than the resolver's
//! [`max_stale`](discovery_core::refresh::RefreshSettings::max_stale). That none of an application's instances is UP is final.
//!
//! **Fetching**, once for all names, as long as one is in use: all of it, then deltas every 30 s, checked by the server's hash; all of it
//! again where the hash differs, a delta is refused or cannot be read, the last answer is older than 150 s, and every 5
//! minutes ([`FetchCounts`]). [`EurekaSourceBuilder::vip`] fetches one VIP alone.
//!
//! | failure | what happens |
//! |---|---|
//! | the registry cannot be fetched | what is known stays, and is stale; tried again after 1, 2, 4 ... s |
//! | it was restarted, and knows nobody | what was known counts until it is told again, for 90 s |
//! | one of its nodes knows less than another | the hash differs: one full fetch, counted and not logged |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
mod entropy;
mod error;
mod identity;
mod model;
mod registration;
mod registry;
mod source;

pub use discovery_core::{Environment, Resolver, ResolverBuilder};
pub use discovery_reqwest::Client;

pub use error::Error;
pub use identity::IpFamily;
pub use model::{Instance, InstancePort, Status};
pub use registration::{Registration, RegistrationBuilder, RegistrationState};
pub use source::{EurekaSource, EurekaSourceBuilder, FetchCounts};
