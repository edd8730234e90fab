//! Where names are read: namespace, cluster domain and nameservers, as a resolver finds them around itself.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use discovery_core::{
    Environment, Error, Resolver, ResolverBuilder, Upstream,
    plan::{Families, Plan},
    source::{BoxFuture, Evidence, Lookup, Source, State, Update},
};
use discovery_testing::{Asked, FakeDns, Pod, QType, Rule, Service};
use futures_util::future::join_all;
use tests::{PATIENCE, addrs, brisk, in_pod};

/// `orders` in `shop` and `billing`, of a cluster with this domain.
async fn dns_of(domain: &str) -> FakeDns {
    let dns = FakeDns::builder().ttl(0).cluster_domain(domain).start().await.unwrap();
    for (namespace, ip) in [("shop", "10.0.0.1"), ("billing", "10.0.0.2")] {
        dns.apply(Service::headless(namespace, "orders").port("http", 8080).pod(Pod::new(ip)));
    }
    dns
}

async fn dns() -> FakeDns {
    dns_of("cluster.local").await
}

fn seeing(environment: Environment) -> ResolverBuilder {
    Resolver::builder().environment(environment).families(Families::V4).refresh(brisk())
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

async fn resolved(resolver: &Resolver, target: &str) -> Upstream {
    within(target, resolver.resolve(target)).await.unwrap_or_else(|error| panic!("{target}: {error}"))
}

async fn refused(resolver: &Resolver, target: &str) -> Error {
    match within(target, resolver.resolve(target)).await {
        Ok(upstream) => panic!("{target} has endpoints: {}", upstream.explain()),
        Err(error) => error,
    }
}

fn txt(asked: &Asked) -> bool {
    asked.qtype == QType::TXT
}

fn txt_questions(dns: &FakeDns) -> usize {
    dns.questions().iter().filter(|asked| txt(asked)).count()
}

/// A file of this test alone, gone afterwards.
struct TempFile(PathBuf);

impl TempFile {
    fn new(text: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("discovery-context-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let file = Self(std::env::temp_dir().join(name));
        file.write(text);
        file
    }

    /// In one step, so that nobody reads half of it.
    fn write(&self, text: &str) {
        let beside = self.0.with_extension("new");
        fs::write(&beside, text).unwrap();
        fs::rename(&beside, &self.0).unwrap();
    }

    fn remove(&self) {
        fs::remove_file(&self.0).unwrap();
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

const SEARCH_SHOP: &str = "search shop.svc.cluster.local svc.cluster.local cluster.local";

/// Set in code, then `DISCOVERY_NAMESPACE`, `POD_NAMESPACE`, the service account's file, the search list.
#[tokio::test]
async fn the_own_namespace_is_what_the_first_of_its_places_says() {
    let dns = dns().await;
    let file = TempFile::new(" billing\n");
    let none = Environment::empty;
    let shop = SEARCH_SHOP;
    for (place, environment, explicit, ip) in [
        (
            "shop (set in code)",
            none().with_env([("DISCOVERY_NAMESPACE", "billing")]).with_resolv_conf(shop),
            Some("shop"),
            "10.0.0.1",
        ),
        (
            "billing (DISCOVERY_NAMESPACE)",
            none().with_env([("DISCOVERY_NAMESPACE", "billing"), ("POD_NAMESPACE", "shop")]).with_resolv_conf(shop),
            None,
            "10.0.0.2",
        ),
        (
            "billing (POD_NAMESPACE)",
            none().with_env([("POD_NAMESPACE", "billing")]).with_namespace("shop").with_resolv_conf(shop),
            None,
            "10.0.0.2",
        ),
        (
            "billing (/var/run/secrets/kubernetes.io/serviceaccount/namespace)",
            none().with_env([("POD_NAMESPACE", " ")]).with_namespace_file(file.path()).with_resolv_conf(shop),
            None,
            "10.0.0.2",
        ),
        (
            "shop (search list of resolv.conf)",
            none().with_env([("DISCOVERY_NAMESPACE", "")]).with_namespace("\n").with_resolv_conf(shop),
            None,
            "10.0.0.1",
        ),
    ] {
        let mut builder = seeing(environment).nameservers([dns.addr()]);
        if let Some(namespace) = explicit {
            builder = builder.namespace(namespace.parse().unwrap());
        }
        let orders = resolved(&builder.build().unwrap(), "orders:80").await;
        assert_eq!(addrs(&orders.endpoints()), [format!("{ip}:80")], "{place}");
        let told = orders.explain().to_string();
        assert!(told.contains(&format!("own namespace: {place}")), "{place} in {told}");
    }
    assert_eq!(txt_questions(&dns), 0, "the cluster's domain stands in the search list");
}

#[tokio::test]
async fn a_malformed_namespace_is_an_error_that_names_its_place() {
    for (environment, place) in [
        (Environment::empty().with_env([("POD_NAMESPACE", "My_NS")]), "POD_NAMESPACE"),
        (Environment::empty().with_namespace("not a namespace"), "serviceaccount/namespace"),
    ] {
        let error = seeing(environment).build().unwrap_err();
        assert!(error.is_config() && error.to_string().contains(place), "{error}");
    }
}

/// Set in code, then `DISCOVERY_CLUSTER_DOMAIN`, the search list. `cluster.local` is never assumed.
#[tokio::test]
async fn the_cluster_domain_is_what_the_first_of_its_places_says() {
    let dns = dns_of("corp.example").await;
    let kubelet = "search shop.svc.corp.example svc.corp.example corp.example";
    for (what, env, resolv_conf, explicit) in [
        ("code", Some("cluster.local"), SEARCH_SHOP, Some("corp.example")),
        ("variable", Some("corp.example."), SEARCH_SHOP, None),
        ("search list", None, kubelet, None),
        // The node's own come after those of the cluster, and look like them.
        ("search list with the node's", None, &format!("{kubelet} svc.other.example node.example"), None),
        ("search list out of order", None, "search node.example svc.corp.example shop.svc.corp.example", None),
    ] {
        let vars = env.map(|domain| ("DISCOVERY_CLUSTER_DOMAIN", domain));
        let environment = Environment::empty().with_env(vars).with_namespace("shop").with_resolv_conf(resolv_conf);
        let mut builder = seeing(environment).nameservers([dns.addr()]);
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

/// On a node of its own DNS, or where the search list was cut off.
fn without_search_list(dns: &FakeDns) -> Resolver {
    let environment = Environment::empty().with_env([("POD_NAMESPACE", "shop")]);
    seeing(environment).nameservers([dns.addr()]).build().unwrap()
}

#[tokio::test]
async fn the_domain_is_asked_for_once_and_only_for_names_that_need_it() {
    let dns = dns().await;
    dns.record("db.example.com", "192.0.2.7");
    dns.record("api.eu.example.com", "192.0.2.8");
    let resolver = without_search_list(&dns);
    for target in ["db.example.com.:80", "api.eu.example.com:80", "10.0.0.9:80", "localhost:80"] {
        resolved(&resolver, target).await;
    }
    assert_eq!(txt_questions(&dns), 0);

    dns.script(Rule::any().qtype(QType::TXT).delay(std::time::Duration::from_millis(50)));
    let targets = ["orders:80", "orders:81", "orders.billing:80", "orders.shop.svc:80", "db.example.com:80"];
    let found = join_all(targets.iter().map(|target| resolved(&resolver, target))).await;
    assert_eq!(addrs(&found[0].endpoints()), ["10.0.0.1:80"]);
    assert_eq!(addrs(&found[2].endpoints()), ["10.0.0.2:80"]);
    let so_far = dns.total();
    within("refreshes", dns.asked(|_| true, so_far + 20)).await;
    assert_eq!(dns.count("dns-version.cluster.local", QType::TXT), 1, "five names at a time, and their refreshes");
    assert_eq!(txt_questions(&dns), 1, "nothing else was asked for a text");
    let told = found[0].explain().to_string();
    assert!(told.contains("TXT dns-version.cluster.local.: \"1.1.0\""), "{told}");
}

/// Not a cluster, or one of another domain: that is known for a while.
#[tokio::test]
async fn a_domain_that_does_not_exist_is_not_asked_for_by_each_name() {
    let dns = dns_of("corp.example").await;
    dns.record("db.example.com", "192.0.2.7");
    let resolver = without_search_list(&dns);
    for target in ["orders:80", "orders.shop.svc:80", "orders:81"] {
        let error = refused(&resolver, target).await;
        assert!(error.is_config() && error.to_string().contains("DISCOVERY_CLUSTER_DOMAIN"), "{target}: {error}");
    }
    resolved(&resolver, "db.example.com:80").await;
    assert_eq!(txt_questions(&dns), 1);
    let asked: Vec<_> = dns.questions().into_iter().map(|asked| asked.name).collect();
    assert!(asked.iter().all(|name| name.starts_with("dns-version.") || name == "db.example.com."), "{asked:?}");
}

/// A DNS that is just starting has not said no.
#[tokio::test]
async fn a_domain_that_could_not_be_asked_for_is_asked_for_again() {
    let dns = dns().await;
    dns.script(Rule::any().qtype(QType::TXT).times(2).servfail());
    let orders = without_search_list(&dns).upstream("orders:80").unwrap();
    let error = within("an answer", orders.first_answer()).await.unwrap_err();
    assert!(error.is_transient() && !error.is_config() && !error.is_not_found(), "{error}");
    within("endpoints", orders.ready()).await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:80"]);
    assert_eq!(txt_questions(&dns), 3);
}

/// A registry of one's own, which counts what it is asked, and does not know the name.
#[derive(Clone, Debug, Default)]
struct Registry {
    opened: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl Source for Registry {
    fn name(&self) -> &'static str {
        "registry"
    }

    fn open(&self, _: &Plan) -> Box<dyn Lookup> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Box::new(self.clone())
    }
}

impl Lookup for Registry {
    fn ask<'a>(&'a mut self, _: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let evidence = Evidence::new("the registry", "no such name");
        Box::pin(std::future::ready(Update::new(State::NotFound).with_evidence([evidence])))
    }
}

/// One question to each source in a round, and one conversation for all rounds.
#[tokio::test]
async fn a_source_before_dns_is_asked_once_although_the_domain_is_not_known() {
    let dns = dns().await;
    let registry = Registry::default();
    let environment = Environment::empty().with_env([("POD_NAMESPACE", "shop")]);
    let builder = seeing(environment).nameservers([dns.addr()]).source(Arc::new(registry.clone()));
    let orders = resolved(&builder.build().unwrap(), "orders:80").await;
    assert_eq!((registry.opened.load(Ordering::Relaxed), registry.asked.load(Ordering::Relaxed)), (1, 1));
    assert_eq!(orders.explain().winner, Some("dns"));
    within("refreshes", dns.asked(|asked| asked.qtype == QType::A, 5)).await;
    assert_eq!(registry.opened.load(Ordering::Relaxed), 1);
}

/// What the others said is not lost because the domain could not be asked for.
#[tokio::test]
async fn an_error_keeps_the_other_causes_when_the_domain_cannot_be_asked_for() {
    let dns = dns().await;
    dns.script(Rule::any().qtype(QType::TXT).servfail());
    let environment = Environment::empty().with_env([("POD_NAMESPACE", "shop")]);
    let builder = seeing(environment).nameservers([dns.addr()]).source(Arc::new(Registry::default()));
    let error = refused(&builder.build().unwrap(), "orders:80").await;
    assert!(error.is_transient(), "{error}");
    for part in
        ["`orders:80`", "ORDERS_SERVICE_HOST: not set", "the registry: no such name", "dns-version.cluster.local"]
    {
        assert!(error.to_string().contains(part), "`{part}` in {error}");
    }
}

/// A pod's file names no ports; ours may, as `ip:port`.
fn resolv_conf(dns: &FakeDns) -> String {
    format!("{SEARCH_SHOP}\nnameserver {}\noptions ndots:5\n", dns.addr())
}

/// As on a laptop that changes its network.
#[tokio::test]
async fn a_rewritten_resolv_conf_is_taken_up() {
    let (before, after) = (dns().await, dns().await);
    let file = TempFile::new(&resolv_conf(&before));
    let resolver = seeing(Environment::empty().with_resolv_conf_file(file.path())).build().unwrap();
    let orders = resolved(&resolver, "orders:80").await;
    within("refreshes", before.asked(|_| true, 3)).await;
    assert_eq!((after.total(), addrs(&orders.endpoints())), (0, vec!["10.0.0.1:80".to_owned()]));

    let rewritten = std::time::Instant::now();
    file.write(&resolv_conf(&after));
    within("the new nameserver", after.asked(|_| true, 1)).await;
    println!("taken up after {:?}", rewritten.elapsed());
    // The old one may have been on its way once more; from now on it is asked nothing.
    let left = before.total();
    within("refreshes", after.asked(|_| true, 10)).await;
    assert_eq!(before.total(), left);
    assert!(orders.explain().to_string().contains(&after.addr().to_string()));

    // Another namespace, and so another Service of that name.
    file.write(&resolv_conf(&after).replace("shop.svc", "billing.svc"));
    tests::until(&orders, "the Service of the other namespace", |set| addrs(set) == ["10.0.0.2:80"]).await;
}

/// What is known stays while a file is being replaced in several steps, or is gone for a moment.
#[tokio::test]
async fn without_resolv_conf_the_last_endpoints_stay_until_it_is_back() {
    let dns = dns().await;
    let file = TempFile::new(&resolv_conf(&dns));
    let resolver = seeing(Environment::empty().with_resolv_conf_file(file.path())).build().unwrap();
    let orders = resolved(&resolver, "orders:80").await;
    for damage in [TempFile::remove as fn(&TempFile), |file: &TempFile| fs::write(file.path(), "").unwrap()] {
        damage(&file);
        let stale = async {
            while !orders.endpoints().is_stale() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        within("stale", stale).await;
        assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:80"]);
        file.write(&resolv_conf(&dns));
        let fresh = async {
            while orders.endpoints().is_stale() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        within("fresh", fresh).await;
        assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:80"]);
    }
    assert_eq!(orders.endpoints().version(), 1, "requests have noticed nothing");
}

#[tokio::test]
async fn malformed_lines_are_skipped_and_the_others_count() {
    let dns = dns().await;
    let text = format!(
        "# of a node\n; and of another\n\nnonsense\nnameserver\nnameserver not-an-address\nnameserver 10.0.0.256\n\
         nameserver {} trailing\nsearch\nsearch a..b {} -bad-\noptions timeout:x attempts: unknown ndots:5\n\
         options attempts:0 timeout\nsortlist 1.2.3.4\nsearch",
        dns.addr(),
        SEARCH_SHOP.strip_prefix("search ").unwrap()
    );
    let resolver = seeing(Environment::empty().with_resolv_conf(text)).build().unwrap();
    assert_eq!(addrs(&resolved(&resolver, "orders:80").await.endpoints()), ["10.0.0.1:80"]);
    assert_eq!(txt_questions(&dns), 0);
    let bytes = [b"search \xff\xfe\n".as_slice(), resolv_conf(&dns).as_bytes()].concat();
    let file = TempFile::new("");
    fs::write(file.path(), bytes).unwrap();
    let resolver = seeing(Environment::empty().with_resolv_conf_file(file.path())).build().unwrap();
    assert_eq!(addrs(&resolved(&resolver, "orders:80").await.endpoints()), ["10.0.0.1:80"]);
}

#[tokio::test]
async fn outside_of_a_cluster_addresses_variables_and_hosts_resolve() {
    let dns = dns_of("corp.example").await;
    dns.record("db.example.com", "192.0.2.7");
    let environment = Environment::empty().with_env([("BILLING_SERVICE_HOST", "127.0.0.1")]);
    let resolver = seeing(environment).nameservers([dns.addr()]).build().unwrap();
    for (target, expected) in [
        ("10.1.2.3:80", "10.1.2.3:80"),
        ("billing:8080", "127.0.0.1:8080"),
        ("db.example.com:5432", "192.0.2.7:5432"),
        ("db.example.com.:5432", "192.0.2.7:5432"),
    ] {
        assert_eq!(addrs(&resolved(&resolver, target).await.endpoints()), [expected], "{target}");
    }
    assert_eq!(resolved(&resolver, "localhost:80").await.endpoints().len(), 1);
}

#[tokio::test]
async fn outside_of_a_cluster_a_bare_name_says_what_to_set() {
    let dns = dns_of("corp.example").await;
    let resolver = seeing(Environment::empty()).nameservers([dns.addr()]).build().unwrap();
    for (target, remedies) in [
        ("orders:80", &["POD_NAMESPACE", "DISCOVERY_NAMESPACE", "orders.<namespace>.svc"][..]),
        ("orders.shop.svc:80", &["DISCOVERY_CLUSTER_DOMAIN", "ClusterFirst"]),
    ] {
        let error = refused(&resolver, target).await;
        assert!(error.is_config() && !error.is_not_found(), "{error}");
        for remedy in remedies {
            assert!(error.to_string().contains(remedy), "`{remedy}` in {error}");
        }
        let upstream = resolver.upstream(target).unwrap();
        assert!(within("at once", upstream.ready()).await.unwrap_err().is_config(), "waiting is in vain");
    }
    assert!(dns.questions().iter().all(txt), "no bare name leaves the machine: {:?}", dns.questions());
}

#[tokio::test]
async fn without_a_nameserver_the_error_says_so() {
    let resolver = seeing(Environment::empty()).build().unwrap();
    let error = refused(&resolver, "db.example.com:80").await;
    assert!(error.is_config() && error.to_string().contains("DISCOVERY_NAMESERVERS"), "{error}");
    assert_eq!(addrs(&resolved(&resolver, "10.0.0.1:80").await.endpoints()), ["10.0.0.1:80"]);
}

/// What is set in code comes before the variable, and this before the file.
#[tokio::test]
async fn nameservers_are_those_of_the_first_place_that_names_some() {
    let (in_code, variable, file) = (dns().await, dns().await, dns().await);
    let environment = |variables: &[(&'static str, String)]| {
        Environment::empty().with_env(variables.iter().cloned()).with_resolv_conf(resolv_conf(&file))
    };
    let set = [("DISCOVERY_NAMESERVERS", variable.addr().to_string())];
    resolved(&seeing(environment(&set)).nameservers([in_code.addr()]).build().unwrap(), "orders:80").await;
    assert_eq!((in_code.total() > 0, variable.total(), file.total()), (true, 0, 0));
    resolved(&seeing(environment(&set)).build().unwrap(), "orders:80").await;
    assert_eq!((variable.total() > 0, file.total()), (true, 0));
    resolved(&seeing(environment(&[])).build().unwrap(), "orders:80").await;
    assert!(file.total() > 0);
    // And a pod as the kubelet writes it.
    resolved(&in_pod(&in_code, "shop").build().unwrap(), "orders:80").await;
}
