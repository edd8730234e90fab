//! The cluster domain: where it is set, and how the resolver detects it with a TXT query.

use std::{
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
use tests::{addrs, refusal, within};

use crate::support::environment::{SEARCH_SHOP, cluster_dns, resolved, resolver_in, txt_queries};

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
