//! Registers a pod with a Eureka server, and resolves the applications of a Eureka registry to endpoints.
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
//! # let record = Arc::new(Mutex::new(String::new()));
//! # let registry = FakePod::with_handler("eureka", {
//! #     let record = record.clone();
//! #     move |request| {
//! #         let mut record = record.lock().unwrap();
//! #         match (request.method().as_str(), request.uri().path()) {
//! #             ("POST", _) => *record = String::from_utf8(request.body().to_vec()).unwrap(),
//! #             ("DELETE", _) => record.clear(),
//! #             ("GET", "/eureka/apps") => {
//! #                 let app = format!(r#"{{"applications":{{"application":{record}}}}}"#);
//! #                 return http::Response::new(app.into());
//! #             }
//! #             _ => {}
//! #         }
//! #         http::Response::new(record.clone().into())
//! #     }
//! # })
//! # .await?;
//! # let url = format!("http://{}/eureka", registry.addr());
//! # let plain = Resolver::builder().environment(Environment::empty()).build()?;
//! # let pod = FakePod::start("rates-0").await?;
//! # let listener = pod.addr();
//! // let plain = Resolver::new()?;
//! // let url = "http://rates-eureka.rates.svc:8080/eureka";
//! let client = Client::new(plain);
//!
//! // In a pod with the downward API, leave out `ip`: the pod's address is found.
//! let registration = Registration::builder(&client, url.as_str(), "rates")
//!     .port(listener.port())
//!     .ip(listener.ip())
//!     .register()
//!     .await?;
//! registration.settled().await?;              // registered, and read back from the registry
//!
//! let eureka = EurekaSource::builder(&client, url.as_str()).build()?;
//! # let environment = Environment::empty().with_env([("POD_NAMESPACE", "shop")]);
//! let resolver = Resolver::builder().source(Arc::new(eureka));
//! # let resolver = resolver.environment(environment);
//! let response = Client::new(resolver.build()?).get("http://rates/v1/eur").send().await?;
//! assert_eq!(response.text().await?, "rates-0");
//!
//! registration.shutdown(Duration::ZERO).await?; // in a pod: a drain of 60 to 95 s
//! # assert!(record.lock().unwrap().is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Vocabulary
//!
//! | word | meaning |
//! |---|---|
//! | registry | one or more Eureka servers that replicate to each other |
//! | application | the name that instances register under, in upper case: `RATES` |
//! | instance | one registered process: an id, a host, ports, a [`Status`], metadata ([`Instance`]) |
//! | VIP | a name by which consumers look up instances; the application's name in lower case by default |
//! | record | what the registry stores about an instance |
//! | lease | how long a record lasts without a heartbeat; the server then evicts it |
//! | override | a status set in the registry itself; it wins over a registered UP or OUT_OF_SERVICE |
//! | delta | the changes of the last three minutes, instead of the whole registry |
//!
//! # Connect to a registry
//!
//! The URL is the base that `apps` is appended to: `http://host:8761/eureka` for Spring Cloud, `http://host/eureka/v2`
//! for Netflix. The client's own resolver resolves its host, so a Service has the same URL in every cluster. User and
//! password in the URL (`%40` for `@`) are sent in a header, and never shown.
//!
//! * **One URL**, such as a Service in front of several registries. The connection is kept. After a connect error, a
//!   timeout (8 s) or a 5xx response, the request is retried once over a new connection, which may lead to another
//!   registry. A single URL is never quarantined. Behind a headless Service, requests are balanced over the registries.
//! * **Several URLs**, separated by commas. Requests go to the URL that responded last, and try at most three. A failed
//!   URL is quarantined until about two thirds of the URLs are, and then all are tried again. Every 10 to 30 minutes,
//!   the order starts over with the first URL.
//!
//! [`Registry`] holds these settings for registrations and sources, with a token that may rotate, a list of URLs that may
//! change, and the timeouts:
//!
//! ```
//! # use discovery_eureka::{Client, Environment, Registry, Resolver};
//! # fn run() -> Result<(), Box<dyn std::error::Error>> {
//! # let client = Client::new(Resolver::builder().environment(Environment::empty()).build()?);
//! use std::time::Duration;
//!
//! let (sender, urls) = tokio::sync::watch::channel("https://eureka.infra.svc:8761/eureka".to_owned());
//! let registry = Registry::builder(&client, "")
//!     .urls_from(move || urls.borrow().clone())                       // follows `sender`
//!     .bearer_token(|| tokio::fs::read_to_string("/var/run/secrets/tokens/eureka"))
//!     .request_timeout(Duration::from_secs(4))
//!     .build()?;
//! let registration = registry.registration("rates").port(8080);       // then `register().await`
//! let source = registry.source().build()?;
//! # drop((sender, registration, source));
//! # Ok(())
//! # }
//! # let _ = run();
//! ```
//!
//! [`Registry::applications`], [`Registry::instances`] and [`Registry::instance`] show what is registered, with leases,
//! overrides and URLs.
//!
//! # Move from Spring Cloud
//!
//! [`SpringSettings`] reads the variables that set Spring's properties, such as `EUREKA_CLIENT_SERVICEURL_DEFAULTZONE`,
//! `EUREKA_INSTANCE_METADATA_MAP_VERSION` and `SPRING_APPLICATION_NAME`; it has the table of all of them. Code wins over
//! variables.
//!
//! | in Spring | here |
//! |---|---|
//! | `EurekaClientConfigBean`, `EurekaInstanceConfigBean` | [`SpringSettings`], [`RegistryBuilder`], [`RegistrationBuilder`], [`EurekaSourceBuilder`] |
//! | `EurekaClient.getApplications` | [`Registry::applications`] |
//! | `EurekaClient.getApplication("ORDERS")` | [`Registry::instances`] |
//! | `DiscoveryClient.getInstances("orders")`, by VIP | [`EurekaSource::instances`]; to call one of them, `client.get("http://orders/")` |
//! | `@LoadBalanced` | [`Client`] with an [`EurekaSource`] |
//! | a `ServiceInstanceListSupplier` that filters by metadata | [`EurekaSourceBuilder::metadata`], [`EurekaSource::matching`] |
//! | `HealthCheckHandler` | [`RegistrationBuilder::health`] |
//! | `EurekaEventListener`, `StatusChangeEvent` | [`Registration::events`] |
//! | `ApplicationInfoManager.setInstanceStatus` | [`Registration::set_status`] |
//! | `RestClientDiscoveryClientOptionalArgs` with an interceptor for tokens | [`RegistryBuilder::bearer_token`] |
//! | `getEurekaServerServiceUrls`, polled every 5 minutes | [`RegistryBuilder::urls_from`], read for each request |
//! | `eureka.client.should-unregister-on-shutdown` | [`RegistrationBuilder::unregister_on_shutdown`] |
//!
//! # Register a pod
//!
//! Bind the listener first: [`RegistrationBuilder::port`] takes the port of a listener that accepts connections. From
//! then on one task sends one request after another:
//!
//! | request | when |
//! |---|---|
//! | register | at once; after a failure again after 1, 2, 4 ... s, at most a third of the lease |
//! | read the record back | after registering, after an outage and after every fourth heartbeat; a foreign record under this id is overwritten |
//! | heartbeat | every 30 s; if the registry does not know this pod (404), it registers again at once |
//! | status change | at once for two changes, then with the next heartbeat; OUT_OF_SERVICE is sent as an override |
//! | health check | before each heartbeat, in this process, whatever it returned before |
//! | deregister | last; nothing is sent after the DELETE |
//!
//! [`Registration::shutdown`] stops the heartbeats, deregisters, and then waits for the drain time that you pass. Keep
//! serving meanwhile: the registry and other pods cache the instance for 60 to 95 s. Dropping the registration
//! deregisters in the background. [`RegistrationBuilder::unregister_on_shutdown`] switches the deregistration off.
//! [`Registration::events`] reports what happens meanwhile. A pod that is killed stays listed for up to five minutes with a server's default
//! settings, because the server doubles the lease (Netflix/eureka#1450). Its consumers have to fail over to another
//! pod, as [`Client`] does.
//!
//! # The pod's address
//!
//! The first of these that provides an address is used:
//!
//! 1. [`RegistrationBuilder::ip`].
//! 2. `POD_IPS` and `POD_IP` from the downward API. An invalid value is an error; an empty one counts as absent.
//! 3. The local address of the route to the registry, to `KUBERNETES_SERVICE_HOST`, and to the first nameserver in
//!    `/etc/resolv.conf`. A UDP socket is connected for that, which sends no packet.
//! 4. The pod's own name in `/etc/hosts`, if the kubelet wrote that file.
//!
//! Loopback, link-local, multicast and unspecified addresses are skipped. A loopback address is registered only if
//! [`RegistrationBuilder::ip`] passes it, or on a developer's machine without another address, where the registry is on
//! loopback too (`http://localhost:8761/eureka`) and no variable of a pod is set. The node's address (`HOST_IP`) is skipped too, unless
//! [`allow_host_network`](RegistrationBuilder::allow_host_network) is set. [`IpFamily`] chooses between IPv4 and IPv6.
//!
//! | variable | downward API | if unset |
//! |---|---|---|
//! | `POD_IP`, `POD_IPS` | `status.podIP`, `status.podIPs` | found as above |
//! | `POD_NAME` | `metadata.name` | `HOSTNAME`, else the address |
//! | `POD_UID` | `metadata.uid` | the instance id contains the address instead |
//! | `POD_NAMESPACE`, `NODE_NAME` | `metadata.namespace`, `spec.nodeName` | missing in the metadata |
//! | `HOST_IP` | `status.hostIP` | the node's address is not recognized |
//!
//! `examples/kubernetes/eureka.yaml` sets all of them, and explains `terminationGracePeriodSeconds`.
//!
//! # Look up applications
//!
//! [`EurekaSource`] is a [`Source`](discovery_core::source::Source) for
//! [`ResolverBuilder::source`](discovery_core::ResolverBuilder::source). The registry's own host is resolved by another
//! resolver: that of the client which the source is built with.
//!
//! **Names.** A host of one label is looked up as an application, in any case, and then as a VIP. Of an application
//! with several VIPs, the instances count whose VIP is the host, or all if none has it. Only instances that are UP and
//! have an address become endpoints. The address is the `ipAddr` of the record, else its `hostName`;
//! [`EurekaSourceBuilder::prefer_ip_address`] reverses the order.
//!
//! **Trust.** Every registrant chooses the names that it registers. The source therefore answers no name with dots,
//! such as `kubernetes.default.svc` or `api.example.com`, unless [`EurekaSourceBuilder::names`] accepts the name. An
//! application owns its name; of other names, a VIP that several applications claim leads nowhere by default.
//!
//! | target | instances | port |
//! |---|---|---|
//! | `http://rates` | application `RATES`, else the application with the VIP `rates` | the port without TLS if enabled, else the port with TLS |
//! | `rates:http` | as in the first row | the port without TLS |
//! | `https://rates`, `rates:https` | as in the first row, or the secure VIP | the port with TLS |
//! | `rates` | as in the first row | the port without TLS if enabled, else the port with TLS |
//! | `rates:management` | as in the first row | `management.port` of the metadata |
//! | `http://rates:8080` | as in the first row | the registered port; 8080 only for a record without a port |
//! | `rates.`, `10.0.0.1`, `localhost` | not looked up | |
//!
//! **Choice.** [`EurekaSourceBuilder::metadata`] and [`EurekaSourceBuilder::matching`] use only some of the instances, such
//! as those of one version. [`EurekaSource::matching`] makes a second source that shares the cache of the first one, for a
//! canary beside the stable version.
//!
//! **Order.** Addresses and the variables of Services come first. EndpointSlices and DNS come last, as a fallback:
//! until the registry has responded once, for names that it does not know, and once its last response is older than the
//! resolver's [`max_stale`](discovery_core::refresh::RefreshSettings::max_stale). An application without an instance
//! that is UP does not fall back.
//!
//! **Fetching.** One task fetches for all names, as long as one of them is in use. After a full fetch, a delta follows
//! every 30 s, checked against the server's hash. The next fetch is a full one if the hash differs, if the server
//! refuses a delta or sends one that cannot be read, if the latest fetch is older than 150 s, and every 5 minutes; see
//! [`FetchCounts`]. [`EurekaSourceBuilder::vip`] fetches a single VIP.
//!
//! | failure | effect |
//! |---|---|
//! | the registry cannot be fetched | the endpoints stay and are stale; retried after 1, 2, 4 ... s |
//! | the registry restarted empty | the known instances stay until they register again, for at most 90 s |
//! | the server has no deltas (`disable-delta`) | every fetch is full; instances that it no longer lists go at once |
//! | a host name of an instance cannot be resolved | its last addresses stay; without any, the instance is left out |
//! | a registry node lags behind the others | the hash differs: one full fetch, counted but not logged |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
mod entropy;
mod error;
mod identity;
mod model;
mod registration;
mod registry;
mod source;
mod spring;

pub use discovery_core::{Environment, Resolver, ResolverBuilder};
pub use discovery_reqwest::Client;

pub use error::Error;
pub use identity::IpFamily;
pub use model::{Application, Instance, InstancePort, InstanceUrls, Lease, Status};
pub use registration::{Registration, RegistrationBuilder, RegistrationEvent, RegistrationEvents, RegistrationState};
pub use registry::{Registry, RegistryBuilder};
pub use source::{EurekaSource, EurekaSourceBuilder, FetchCounts};
pub use spring::SpringSettings;
