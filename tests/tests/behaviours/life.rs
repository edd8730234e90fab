//! From the first handle to the last: who shares, what stops, what is told.

use discovery_core::{Error, Resolver, Surroundings, plan::Families, policy::Tried};
use discovery_testing::{FakeDns, ManualSource, Pod, QType, Rule, Service};
use tests::{addrs, brisk, in_pod, until};

const ORDERS: &str = "orders.shop.svc.cluster.local";

async fn dns() -> FakeDns {
    let dns = FakeDns::builder().ttl(0).start().await.unwrap();
    for name in ["orders", "other"] {
        dns.apply(Service::headless("shop", name).port("http", 8080).pod(Pod::new("10.0.0.1")));
    }
    dns
}

#[tokio::test]
async fn equal_targets_share_one_resolution_and_the_last_handle_ends_it() {
    let dns = dns().await;
    let resolver = in_pod(&dns, "shop").refresh(brisk()).build().unwrap();
    let (one, other) = (resolver.resolve("orders:80").await.unwrap(), resolver.resolve("ORDERS:80").await.unwrap());
    assert_eq!((resolver.active(), dns.count(ORDERS, QType::A)), (1, 1));
    dns.asked(|asked| asked.name.starts_with("orders"), 3).await;
    drop(one);
    assert_eq!(resolver.active(), 1, "one handle is left");
    drop(other);
    assert_eq!(resolver.active(), 0);

    // What may still have been on its way has arrived when another name has been refreshed twice.
    let witness = resolver.resolve("other:80").await.unwrap();
    dns.asked(|asked| asked.name.starts_with("other"), 3).await;
    let before = dns.count(ORDERS, QType::A);
    dns.asked(|asked| asked.name.starts_with("other"), 8).await;
    assert_eq!(dns.count(ORDERS, QType::A), before, "nobody holds it, nobody asks");
    drop(witness);
}

#[tokio::test]
async fn a_thousand_targets_leave_nothing_behind() {
    let dns = dns().await;
    let resolver = in_pod(&dns, "shop").build().unwrap();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let held: Vec<_> = (0..1000).map(|n| resolver.upstream(format!("orders:{}", 1000 + n).as_str()).unwrap()).collect();
    assert_eq!((resolver.active(), tasks() - before), (1000, 1000));
    drop(held);
    assert_eq!(resolver.active(), 0);
    while tasks() > before {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_error_keeps_the_reason_of_every_source() {
    let dns = dns().await;
    let error = in_pod(&dns, "shop").build().unwrap().resolve("nothing:80").await.unwrap_err();
    assert!(error.is_not_found());
    let causes: Vec<String> = error.causes().iter().map(ToString::to_string).collect();
    assert_eq!(causes.len(), 2, "{causes:?}");
    assert!(causes[0].contains("NOTHING_SERVICE_HOST"), "{causes:?}");
    assert!(causes[1].contains("nothing.shop.svc.cluster.local") && causes[1].contains("NXDOMAIN"), "{causes:?}");
}

#[tokio::test]
async fn an_explanation_tells_who_was_asked_and_who_won() {
    let dns = dns().await;
    let orders = in_pod(&dns, "shop").build().unwrap().resolve("orders:80").await.unwrap();
    let explanation = orders.explain();
    assert_eq!(explanation.winner, Some("dns"));
    let sources: Vec<_> = explanation.steps.iter().map(|step| step.source).collect();
    assert_eq!(sources, ["fixed", "env", "dns"]);
    let text = explanation.to_string();
    for part in ["own namespace: shop (POD_NAMESPACE)", "A orders.shop.svc.cluster.local.: 10.0.0.1", "<- won", "fresh"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test]
async fn a_pick_without_endpoints_tells_why() {
    let (source, handle) = ManualSource::new();
    let builder = Resolver::builder().surroundings(Surroundings::none()).source(std::sync::Arc::new(source));
    let orders = builder.refresh(brisk()).build().unwrap().upstream("orders:80").unwrap();
    assert!(orders.pick().unwrap_err().to_string().contains("not been answered yet"));
    handle.set(["10.0.0.1:80"]);
    orders.available().await.unwrap();
    let mut tried = Tried::new();
    tried.add(orders.pick().unwrap().endpoint().identity());
    assert!(orders.pick_untried(&tried).unwrap_err().is_all_tried());
    handle.empty();
    until(&orders, "empty", |set| set.is_empty()).await;
    assert!(orders.pick().is_err_and(|error| !error.is_all_tried()));
}

#[tokio::test]
async fn external_hosts_go_the_same_way() {
    let dns = dns().await;
    dns.record("db.example.com", "192.0.2.7");
    let resolver = in_pod(&dns, "shop").refresh(brisk()).build().unwrap();
    let db = resolver.resolve("db.example.com:5432").await.unwrap();
    assert_eq!(addrs(&db.endpoints()), ["192.0.2.7:5432"]);
    dns.record("db.example.com", "192.0.2.8");
    until(&db, "the second address", |set| set.len() == 2).await;
}

#[tokio::test]
async fn outside_a_cluster_hosts_resolve_and_a_bare_name_says_what_to_set() {
    let dns = dns().await;
    dns.record("db.example.com", "192.0.2.7");
    let laptop = || {
        let surroundings = Surroundings::none().with_env([("ORDERS_SERVICE_HOST", "127.0.0.1")]);
        Resolver::builder().surroundings(surroundings).nameservers([dns.addr()]).families(Families::V4).build().unwrap()
    };
    assert_eq!(addrs(&laptop().resolve("db.example.com:5432").await.unwrap().endpoints()), ["192.0.2.7:5432"]);
    assert_eq!(addrs(&laptop().resolve("orders:8080").await.unwrap().endpoints()), ["127.0.0.1:8080"]);
    let error = laptop().resolve("other:80").await.unwrap_err();
    assert!(error.is_config() && error.to_string().contains("POD_NAMESPACE"), "{error}");
}

#[tokio::test]
async fn the_cluster_domain_is_asked_for_when_nothing_else_tells_it() {
    let dns = dns().await;
    let surroundings = Surroundings::none().with_env([("POD_NAMESPACE", "shop")]);
    let builder = Resolver::builder().surroundings(surroundings).nameservers([dns.addr()]).families(Families::V4);
    let resolver = builder.build().unwrap();
    let names = ["orders:80", "other:80", "orders.shop.svc:80"];
    let resolved = futures_util::future::try_join_all(names.map(|name| resolver.resolve(name))).await.unwrap();
    assert_eq!(resolved.len(), 3);
    assert_eq!(dns.count("dns-version.cluster.local", QType::TXT), 1, "once for all names");
}

/// A malformed variable is an error by itself, even where DNS knows the name.
#[tokio::test]
async fn a_malformed_variable_is_told_and_not_passed_over() {
    let dns = dns().await;
    let resolver = |vars: &[(&str, &str)]| -> Result<Resolver, Error> {
        let vars = vars.iter().copied().chain([("POD_NAMESPACE", "shop")]);
        let surroundings = Surroundings::none().with_env(vars).with_resolv_conf(dns.resolv_conf("shop"));
        Resolver::builder().surroundings(surroundings).nameservers([dns.addr()]).families(Families::V4).build()
    };
    let malformed = [("ORDERS_SERVICE_HOST", "10.0.0.9"), ("ORDERS_SERVICE_PORT", "abc")];
    let error = resolver(&malformed).unwrap().resolve("orders:80").await.unwrap_err();
    assert!(error.is_config() && error.to_string().contains("ORDERS_SERVICE_PORT"), "{error}");
    assert_eq!(dns.total(), 0);

    let good = [("ORDERS_SERVICE_HOST", "10.0.0.9"), ("ORDERS_SERVICE_PORT", "80")];
    let orders = resolver(&good).unwrap().resolve("orders:80").await.unwrap();
    assert_eq!((addrs(&orders.endpoints()), dns.total()), (vec!["10.0.0.9:80".to_owned()], 0), "env comes first");
    let off = [good[0], good[1], ("DISCOVERY_SERVICE_ENV", "off")];
    let orders = resolver(&off).unwrap().resolve("orders:80").await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:80"]);

    let error = resolver(&[("DISCOVERY_MAX_STALE", "soon")]).unwrap_err();
    assert!(error.is_config() && error.to_string().contains("DISCOVERY_MAX_STALE"), "{error}");
}

/// The file names another nameserver after a while, as on a laptop that changes its network.
#[tokio::test]
async fn resolv_conf_is_read_again_when_it_changes() {
    let (before, after) = (dns().await, dns().await);
    let path = std::env::temp_dir().join(format!("discovery-resolv-conf-{}", std::process::id()));
    std::fs::write(&path, format!("nameserver {}\n", before.addr())).unwrap();
    let surroundings = Surroundings::none()
        .with_env([("DISCOVERY_NAMESPACE", "shop"), ("DISCOVERY_CLUSTER_DOMAIN", "cluster.local")])
        .with_resolv_conf_file(&path);
    let builder = Resolver::builder().surroundings(surroundings).families(Families::V4).refresh(brisk());
    let orders = builder.build().unwrap().resolve("orders:80").await.unwrap();
    assert_eq!(after.total(), 0);
    std::fs::write(&path, format!("# moved\nnameserver {}\n", after.addr())).unwrap();
    after.asked(|asked| asked.qtype == QType::A, 1).await;
    let _ = std::fs::remove_file(&path);
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:80"]);
}

#[tokio::test]
async fn a_first_caller_who_gives_up_does_not_fail_the_others() {
    let dns = dns().await;
    dns.script(Rule::any().name(ORDERS).answer_only_after(1));
    let resolver = in_pod(&dns, "shop").build().unwrap();
    let first = tokio::spawn({
        let resolver = resolver.clone();
        async move { resolver.resolve("orders:80").await }
    });
    let second = resolver.upstream("orders:80").unwrap();
    dns.asked(|_| true, 1).await;
    first.abort();
    second.ready().await.unwrap();
    assert_eq!(second.endpoints().len(), 1);
}
