//! The cluster domain: where it is set, and how the resolver detects it with a TXT query.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use discovery_core::{
    Environment, Resolver,
    plan::{Families, Plan},
    source::{BoxFuture, Evidence, Lookup, Source, State, Update},
};
use discovery_testing::{FakeDns, Pod, QType, Rule, Service};
use futures_util::future::join_all;
use tests::{addrs, refusal, until, within};
use tokio::{net::UdpSocket, task::JoinSet};

use crate::support::{
    dns::{Fails, OVER_TCP, PATIENT, QUICK, dns},
    environment::{SEARCH_SHOP, cluster_dns, resolved, resolver_in, txt_queries},
};

/// The code, then `DISCOVERY_CLUSTER_DOMAIN`, the search list. The resolver never assumes `cluster.local`.
#[tokio::test]
async fn takes_the_cluster_domain_from_the_first_place_that_names_one() {
    let dns = cluster_dns("corp.example").await;
    let kubelet = "search shop.svc.corp.example svc.corp.example corp.example";
    for (what, env, resolv_conf, explicit) in [
        ("code", Some("cluster.local"), SEARCH_SHOP, Some("corp.example")),
        ("variable", Some("corp.example."), SEARCH_SHOP, None),
        ("search list", None, kubelet, None),
        // The node's own domains come after those of the cluster, and look like them.
        ("search list with the node's", None, &format!("{kubelet} svc.other.example node.example"), None),
        ("search list out of order", None, "search node.example svc.corp.example shop.svc.corp.example", None),
        ("search list without the namespace", None, "search svc.corp.example corp.example", None),
    ] {
        let vars = env.map(|domain| ("DISCOVERY_CLUSTER_DOMAIN", domain));
        let environment = Environment::empty().with_env(vars).with_namespace("shop").with_resolv_conf(resolv_conf);
        let mut builder = resolver_in(environment).nameservers([dns.addr()]);
        if let Some(domain) = explicit {
            builder = builder.cluster_domain(domain.parse().unwrap());
        }
        let resolver = builder.build().unwrap();
        for target in ["orders:80", "orders.shop.svc:80", "orders.shop.svc.corp.example:80"] {
            assert_eq!(addrs(&resolved(&resolver, target).await.endpoints()), ["10.0.0.1:80"], "{what}, {target}");
        }
    }
    let questions = dns.questions();
    assert!(questions.iter().all(|asked| asked.name == "orders.shop.svc.corp.example."), "{questions:?}");
}

/// A resolver on a node with its own DNS, or whose search list was cut off.
fn without_search_list(dns: &FakeDns) -> Resolver {
    let environment = Environment::empty().with_env([("POD_NAMESPACE", "shop")]);
    resolver_in(environment).nameservers([dns.addr()]).build().unwrap()
}

#[tokio::test]
async fn queries_for_the_cluster_domain_once_and_only_for_names_that_need_it() {
    let dns = cluster_dns("cluster.local").await;
    dns.record("db.example.com", "192.0.2.7");
    dns.record("api.eu.example.com", "192.0.2.8");
    let resolver = without_search_list(&dns);
    for target in ["db.example.com.:80", "api.eu.example.com:80", "10.0.0.9:80", "localhost:80"] {
        resolved(&resolver, target).await;
    }
    assert_eq!(txt_queries(&dns), 0);

    dns.script(Rule::any().qtype(QType::TXT).delay(Duration::from_millis(50)));
    let targets = ["orders:80", "orders:81", "orders.billing:80", "orders.shop.svc:80", "db.example.com:80"];
    let found = join_all(targets.iter().map(|target| resolved(&resolver, target))).await;
    assert_eq!(addrs(&found[0].endpoints()), ["10.0.0.1:80"]);
    assert_eq!(addrs(&found[2].endpoints()), ["10.0.0.2:80"]);
    let so_far = dns.total();
    within("refreshes", dns.asked(|_| true, so_far + 20)).await;
    assert_eq!(dns.count("dns-version.cluster.local", QType::TXT), 1, "five names at a time, and their refreshes");
    assert_eq!(txt_queries(&dns), 1, "one TXT query in all");
    let explanation = found[0].explain().to_string();
    assert!(explanation.contains("TXT dns-version.cluster.local.: \"1.1.0\""), "{explanation}");
}

/// This is not a cluster, or a cluster with another domain: the resolver remembers the answer for a while.
#[tokio::test]
async fn remembers_that_the_cluster_domain_does_not_exist() {
    let dns = cluster_dns("corp.example").await;
    dns.record("db.example.com", "192.0.2.7");
    let resolver = without_search_list(&dns);
    for target in ["orders:80", "orders.shop.svc:80", "orders:81"] {
        let error = refusal(&resolver, target).await;
        assert!(error.is_config() && error.to_string().contains("DISCOVERY_CLUSTER_DOMAIN"), "{target}: {error}");
    }
    resolved(&resolver, "db.example.com:80").await;
    assert_eq!(txt_queries(&dns), 1);
    let asked: Vec<_> = dns.questions().into_iter().map(|asked| asked.name).collect();
    assert!(asked.iter().all(|name| name.starts_with("dns-version.") || name == "db.example.com."), "{asked:?}");
}

/// A DNS server that is starting has not denied the domain.
#[tokio::test]
async fn retries_a_failed_query_for_the_cluster_domain() {
    let dns = cluster_dns("cluster.local").await;
    dns.script(Rule::any().qtype(QType::TXT).times(2).servfail());
    let orders = without_search_list(&dns).upstream("orders:80").unwrap();
    let error = within("an answer", orders.first_answer()).await.unwrap_err();
    assert!(error.is_transient() && !error.is_config() && !error.is_not_found(), "{error}");
    within("endpoints", orders.ready()).await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:80"]);
    assert_eq!(txt_queries(&dns), 3);
}

/// The resolver knows nothing about the cluster domain then; a missing domain would be a configuration error.
#[tokio::test]
async fn a_failed_query_for_the_cluster_domain_is_a_transient_error() {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(Service::headless("shop", "orders").port("http", 80).pod(Pod::new("10.0.0.1")));
    dns.script(Rule::any().qtype(QType::TXT).times(1).servfail());
    let environment = Environment::empty().with_env([("POD_NAMESPACE", "shop")]);
    let builder = Resolver::builder().environment(environment).nameservers([dns.addr()]).families(Families::V4);
    let orders = builder.build().unwrap().upstream("orders:80").unwrap();
    assert!(orders.first_answer().await.unwrap_err().is_transient());
    within("the next attempt", orders.ready()).await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:80"]);
}

/// A source that counts its queries, and does not know the name.
#[derive(Clone, Debug, Default)]
struct CountingSource {
    opened: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl Source for CountingSource {
    fn name(&self) -> &'static str {
        "registry"
    }

    fn open(&self, _: &Plan) -> Box<dyn Lookup> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Box::new(self.clone())
    }
}

impl Lookup for CountingSource {
    fn ask<'a>(&'a mut self, _: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let evidence = Evidence::new("the registry", "no such name");
        Box::pin(std::future::ready(Update::new(State::NotFound).with_evidence([evidence])))
    }
}

/// One query to each source in a round, and one open lookup for all rounds.
#[tokio::test]
async fn queries_a_source_before_dns_once_while_the_cluster_domain_is_unknown() {
    let dns = cluster_dns("cluster.local").await;
    let registry = CountingSource::default();
    let environment = Environment::empty().with_env([("POD_NAMESPACE", "shop")]);
    let builder = resolver_in(environment).nameservers([dns.addr()]).source(Arc::new(registry.clone()));
    let orders = resolved(&builder.build().unwrap(), "orders:80").await;
    assert_eq!((registry.opened.load(Ordering::Relaxed), registry.asked.load(Ordering::Relaxed)), (1, 1));
    assert_eq!(orders.explain().winner, Some("dns"));
    within("refreshes", dns.asked(|asked| asked.qtype == QType::A, 5)).await;
    assert_eq!(registry.opened.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn keeps_the_causes_of_other_sources_when_the_cluster_domain_query_fails() {
    let dns = cluster_dns("cluster.local").await;
    dns.script(Rule::any().qtype(QType::TXT).servfail());
    let environment = Environment::empty().with_env([("POD_NAMESPACE", "shop")]);
    let builder = resolver_in(environment).nameservers([dns.addr()]).source(Arc::new(CountingSource::default()));
    let error = refusal(&builder.build().unwrap(), "orders:80").await;
    assert!(error.is_transient(), "{error}");
    for part in
        ["`orders:80`", "ORDERS_SERVICE_HOST: not set", "the registry: no such name", "dns-version.cluster.local"]
    {
        assert!(error.to_string().contains(part), "`{part}` in {error}");
    }
}

/// Systemd-resolved answers SERVFAIL or REFUSED to everything under `.local`.
fn refuse_local(dns: &FakeDns, fails: Fails) {
    dns.script(fails(Rule::when(|asked| asked.name.ends_with(".local."))));
}

/// A laptop: no search list of a cluster and no own namespace. One attempt takes longer than any test waits.
fn laptop(dns: &FakeDns, vars: &[(&str, &str)]) -> Resolver {
    let environment = Environment::empty().with_env(PATIENT.iter().chain(vars).copied());
    resolver_in(environment).nameservers([dns.addr()]).build().unwrap()
}

async fn hosts_dns() -> FakeDns {
    let dns = dns().await;
    for host in ["example.com", "api.example.com", "api.eu.example.com"] {
        dns.record(host, "192.0.2.7");
    }
    dns.srv("_http._tcp.example.com", 0, 1, 80, "example.com");
    dns
}

const FAILURES: [Fails; 4] = [Rule::servfail, Rule::refuse, Rule::garbage, Rule::drop];

/// The cluster domain is unknown, which is not a failure of the host.
#[tokio::test]
async fn resolves_hosts_while_the_query_for_the_cluster_domain_fails() {
    join_all(FAILURES.map(|fails| async move {
        let dns = hosts_dns().await;
        refuse_local(&dns, fails);
        let resolver = laptop(&dns, &[]);
        for target in ["http://example.com/", "api.example.com:80", "api.eu.example.com:80", "example.com:http"] {
            let upstream = resolved(&resolver, target).await;
            assert_eq!(addrs(&upstream.endpoints()), ["192.0.2.7:80"], "{target}");
            assert!(!upstream.endpoints().is_stale(), "{target}");
        }
    }))
    .await;
}

#[tokio::test]
async fn explains_which_readings_an_unknown_cluster_domain_rules_out() {
    join_all(FAILURES.map(|fails| async move {
        let dns = hosts_dns().await;
        refuse_local(&dns, fails);
        let explanation = resolved(&laptop(&dns, &[]), "example.com:80").await.explain().to_string();
        for part in ["TXT dns-version.cluster.local.", "not asked", "the cluster domain is unknown", "A example.com."] {
            assert!(explanation.contains(part), "`{part}` in {explanation}");
        }
    }))
    .await;
}

/// A host that does not exist is not found: the failed query was about another name.
#[tokio::test]
async fn a_host_that_does_not_exist_is_not_found_while_the_query_for_the_cluster_domain_fails() {
    join_all(FAILURES.map(|fails| async move {
        let dns = hosts_dns().await;
        refuse_local(&dns, fails);
        let error = refusal(&laptop(&dns, &[]), "missing.example:80").await;
        assert!(error.is_not_found(), "{error}");
        assert!(error.to_string().contains("the cluster domain is unknown"), "{error}");
    }))
    .await;
}

/// The host's own failure stays a failure.
#[tokio::test]
async fn a_host_whose_query_fails_is_a_transient_error_while_the_cluster_domain_is_unknown() {
    let dns = hosts_dns().await;
    dns.script(Rule::any().servfail());
    assert!(refusal(&laptop(&dns, &[]), "example.com:80").await.is_transient());
}

/// A name that can only be a Service cannot be read at all; the error says what to set.
#[tokio::test]
async fn a_service_is_a_transient_error_that_says_what_to_set_while_the_cluster_domain_query_fails() {
    let dns = hosts_dns().await;
    refuse_local(&dns, Rule::servfail);
    let resolver = laptop(&dns, &[("POD_NAMESPACE", "shop")]);
    for target in ["orders:80", "orders.shop.svc:80", "web-0.orders.shop.svc:80"] {
        let error = refusal(&resolver, target).await;
        assert!(error.is_transient(), "{target}: {error}");
        for part in ["the cluster domain is unknown", "DISCOVERY_CLUSTER_DOMAIN", "dns-version.cluster.local"] {
            assert!(error.to_string().contains(part), "`{part}` in {error}");
        }
    }
}

/// Without the own namespace, the cluster domain changes nothing for a bare name: it is an error in a cluster, and a host
/// outside of one.
#[tokio::test]
async fn a_bare_name_without_a_namespace_does_not_query_for_the_cluster_domain() {
    let dns = hosts_dns().await;
    refuse_local(&dns, Rule::drop);
    let error = refusal(&laptop(&dns, &[("KUBERNETES_SERVICE_HOST", "10.96.0.1")]), "orders:80").await;
    assert!(error.is_config() && error.to_string().contains("POD_NAMESPACE"), "{error}");
    assert_eq!(dns.total(), 0);
    let error = refusal(&laptop(&dns, &[]), "orders:80").await;
    assert!(error.is_not_found() && error.to_string().contains("POD_NAMESPACE"), "{error}");
    assert_eq!(txt_queries(&dns), 0);
}

/// The first successful query turns the other readings on.
#[tokio::test]
async fn a_later_answer_about_the_cluster_domain_turns_on_the_readings_that_need_it() {
    for fails in FAILURES {
        let dns = cluster_dns("cluster.local").await;
        dns.record("orders.billing", "192.0.2.9");
        dns.script(fails(Rule::any().qtype(QType::TXT)));
        let environment = Environment::empty().with_env(QUICK.into_iter().chain([("POD_NAMESPACE", "shop")]));
        let resolver = resolver_in(environment).nameservers([dns.addr()]).build().unwrap();
        let orders = resolved(&resolver, "orders.billing:80").await;
        assert_eq!(addrs(&orders.endpoints()), ["192.0.2.9:80"]);
        dns.clear_script();
        until(&orders, "the Service", |set| addrs(set) == ["10.0.0.2:80"]).await;
    }
}

/// A slow answer about the cluster domain still comes before the host's.
#[tokio::test]
async fn waits_for_the_host_and_the_cluster_domain_at_the_same_time() {
    let dns = cluster_dns("cluster.local").await;
    dns.script(Rule::any().qtype(QType::TXT).delay(Duration::from_millis(600)));
    dns.script(Rule::any().name("orders.billing").drop());
    let environment = Environment::empty().with_env(PATIENT.into_iter().chain([("POD_NAMESPACE", "shop")]));
    let resolver = resolver_in(environment).nameservers([dns.addr()]).build().unwrap();
    let orders = resolved(&resolver, "orders.billing:80").await;
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.2:80"]);
    assert!(dns.count("orders.billing", QType::A) > 0, "the host is queried meanwhile");
}

/// A server that never answers the query costs one query for all names.
#[tokio::test]
async fn one_unanswered_query_for_the_cluster_domain_serves_all_hosts() {
    let dns = hosts_dns().await;
    refuse_local(&dns, Rule::drop);
    let resolver = laptop(&dns, &OVER_TCP);
    let targets: Vec<String> = (80..100).map(|port| format!("example.com:{port}")).collect();
    join_all(targets.iter().map(|target| resolved(&resolver, target))).await;
    resolved(&resolver, "api.example.com:80").await;
    assert_eq!(txt_queries(&dns), 1);
}

/// A domain that is set is not queried for, whatever DNS says about it.
#[tokio::test]
async fn a_cluster_domain_that_is_set_is_not_queried_for() {
    let dns = hosts_dns().await;
    refuse_local(&dns, Rule::servfail);
    let resolver = laptop(&dns, &[("DISCOVERY_CLUSTER_DOMAIN", "corp.example")]);
    resolved(&resolver, "example.com:80").await;
    assert!(refusal(&resolver, "orders.shop.svc:80").await.is_not_found());
    assert_eq!(txt_queries(&dns), 0);
}

/// A query that ends with the runtime that sent it is sent again on the next one.
#[test]
fn a_runtime_that_shuts_down_during_the_query_for_the_cluster_domain_leaves_it_to_the_next_one() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let dns = server.block_on(cluster_dns("cluster.local"));
    dns.script(Rule::any().qtype(QType::TXT).times(1).drop());
    let environment =
        Environment::empty().with_env(PATIENT.into_iter().chain(OVER_TCP).chain([("POD_NAMESPACE", "shop")]));
    let resolver = resolver_in(environment).nameservers([dns.addr()]).build().unwrap();
    let orders = runtime().block_on(async {
        let orders = resolver.upstream("orders:80").unwrap();
        within("the query", dns.asked(|asked| asked.qtype == QType::TXT, 1)).await;
        orders
    });
    runtime().block_on(async { within("endpoints", orders.ready()).await.unwrap() });
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:80"]);
}

/// Answers the query for the cluster domain with NOTIMP, and lets `dns` answer all others.
async fn without_txt(socket: UdpSocket, dns: SocketAddr) -> io::Result<()> {
    const NOTIMP: u8 = 4;
    let mut packet = [0; 4096];
    loop {
        let (mut length, client) = socket.recv_from(&mut packet).await?;
        if packet[..length].windows(11).any(|label| label == b"dns-version") {
            packet[2] |= 0x80;
            packet[3] = (packet[3] & 0xf0) | NOTIMP;
        } else {
            let upstream = UdpSocket::bind("127.0.0.1:0").await?;
            upstream.send_to(&packet[..length], dns).await?;
            length = upstream.recv(&mut packet).await?;
        }
        socket.send_to(&packet[..length], client).await?;
    }
}

/// A nameserver that does not implement TXT.
#[tokio::test]
async fn resolves_hosts_while_the_query_for_the_cluster_domain_is_answered_with_notimp() {
    let dns = hosts_dns().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let nameserver = socket.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(without_txt(socket, dns.addr()));
    let resolver = resolver_in(Environment::empty()).nameservers([nameserver]).build().unwrap();
    let upstream = resolved(&resolver, "example.com:80").await;
    assert_eq!(addrs(&upstream.endpoints()), ["192.0.2.7:80"]);
    let explanation = upstream.explain().to_string();
    assert!(explanation.contains("Not Implemented"), "{explanation}");
}
