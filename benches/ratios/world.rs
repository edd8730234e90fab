//! The resolvers, nameservers and endpoints that the benches share.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use discovery_core::{Environment, Resolver, ResolverBuilder, Upstream, context::Families, endpoint::Endpoint};
use discovery_testing::{FakeDns, ManualSource, Pod, Service};
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use tokio::runtime::{Builder, Runtime};

/// The load averages in `/proc/loadavg`, which show how busy the machine is.
pub fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// A runtime on the measuring thread.
pub fn here() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A runtime on other threads, for servers, so that their work does not count as the client's.
pub fn elsewhere(threads: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(threads).enable_all().build().expect("a runtime")
}

/// `count` different addresses.
pub fn addrs(count: usize) -> Vec<SocketAddr> {
    let ip = |at: usize| Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + at as u32);
    (1..=count).map(|at| (ip(at), 8080).into()).collect()
}

pub fn endpoints(count: usize) -> Vec<Endpoint> {
    addrs(count).into_iter().map(Endpoint::new).collect()
}

/// A headless Service with `pods` pods, for the fake DNS server.
pub fn headless(name: &str, pods: usize) -> Service {
    let service = Service::headless("shop", name).port("http", 8080);
    addrs(pods).iter().fold(service, |service, addr| service.pod(Pod::new(addr.ip())))
}

/// Our resolver with this nameserver.
pub fn ours(dns: &FakeDns) -> ResolverBuilder {
    let environment = Environment::empty()
        .with_env([("POD_NAMESPACE", "shop"), ("DISCOVERY_NAMESERVERS", &dns.addr().to_string())])
        .with_resolv_conf(dns.resolv_conf("shop"));
    Resolver::builder().environment(environment).families(Families::V4)
}

/// hickory's resolver with the same nameserver, configured as it should be in a cluster: it gets absolute names, uses
/// EDNS and does not read the hosts file.
pub fn hickory(dns: &FakeDns, cache: u64) -> TokioResolver {
    let mut udp = ConnectionConfig::udp();
    udp.port = dns.addr().port();
    let server = NameServerConfig::new(dns.addr().ip(), true, vec![udp]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.cache_size = cache;
    options.edns0 = true;
    options.use_hosts_file = ResolveHosts::Never;
    builder.build().expect("hickory's resolver")
}

/// An upstream with exactly these endpoints.
pub async fn upstream(builder: ResolverBuilder, endpoints: Vec<Endpoint>) -> Upstream {
    let (source, handle) = ManualSource::new();
    handle.set_endpoints(endpoints);
    let resolver = builder.environment(Environment::empty()).source(Arc::new(source)).build().expect("a resolver");
    resolver.resolve("orders.shop:8080").await.expect("endpoints")
}
