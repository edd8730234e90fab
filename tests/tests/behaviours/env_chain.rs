//! Environment variables before DNS: for the own namespace, for the ports that they name, and on a laptop.

use discovery_core::{Environment, Error, Resolver, ResolverBuilder, plan::Families};
use discovery_testing::{FakeDns, Pod, QType, Rule, Service};
use tests::{PATIENCE, addrs};

/// `orders` as a ClusterIP of the own namespace `shop` and of `billing`, and `nginx` without variables.
async fn dns() -> FakeDns {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(Service::cluster_ip("shop", "orders").ip("10.96.0.1").port("http", 80).port("metrics", 9090));
    dns.apply(Service::cluster_ip("billing", "orders").ip("10.96.0.2").port("http", 80));
    dns.apply(Service::headless("shop", "nginx").port("http", 80).pod(Pod::new("10.0.0.1")));
    dns
}

fn builder<'a>(dns: &FakeDns, vars: impl IntoIterator<Item = (&'a str, &'a str)>) -> ResolverBuilder {
    let environment = Environment::empty()
        .with_env([("POD_NAMESPACE", "shop")])
        .with_env(vars)
        .with_resolv_conf(dns.resolv_conf("shop"));
    Resolver::builder().environment(environment).nameservers([dns.addr()]).families(Families::V4)
}

/// With the variables that the kubelet sets in a pod of `shop`.
fn in_pod(dns: &FakeDns) -> Resolver {
    let vars = dns.service_env("shop");
    builder(dns, vars.iter().map(|(name, value)| (name.as_str(), value.as_str()))).build().unwrap()
}

/// The endpoints and who gave them.
async fn found(resolver: &Resolver, target: &str) -> (Vec<String>, &'static str) {
    match tokio::time::timeout(PATIENCE, resolver.resolve(target)).await.expect(target) {
        Ok(upstream) => (addrs(&upstream.endpoints()), upstream.explain().winner.unwrap()),
        Err(error) => panic!("{target}: {error}"),
    }
}

async fn refused(resolver: &Resolver, target: &str) -> Error {
    tokio::time::timeout(PATIENCE, resolver.resolve(target)).await.expect(target).expect_err(target)
}

#[tokio::test]
async fn variables_win_for_the_own_namespace_and_dns_is_asked_nothing() {
    let dns = dns().await;
    let resolver = in_pod(&dns);
    for target in [
        "orders",
        "orders:80",
        "orders:http",
        "_http._tcp.orders",
        "http://orders/",
        "orders.shop:80",
        "orders.shop.svc:80",
        "orders.shop.svc.cluster.local:80",
        "orders.shop.svc.cluster.local.:80",
        "ORDERS.Shop:80",
    ] {
        assert_eq!(found(&resolver, target).await, (vec!["10.96.0.1:80".to_owned()], "env"), "{target}");
    }
    assert_eq!(found(&resolver, "orders:metrics").await, (vec!["10.96.0.1:9090".to_owned()], "env"));
    assert_eq!(dns.total(), 0, "{:?}", dns.questions());
}

#[tokio::test]
async fn other_namespaces_other_services_and_other_ports_go_to_dns() {
    let dns = dns().await;
    let resolver = in_pod(&dns);
    for (target, expected, question) in [
        ("orders.billing:80", "10.96.0.2:80", "orders.billing.svc.cluster.local"),
        ("orders.billing.svc:80", "10.96.0.2:80", "orders.billing.svc.cluster.local"),
        ("orders.billing.svc.cluster.local:80", "10.96.0.2:80", "orders.billing.svc.cluster.local"),
        ("nginx:80", "10.0.0.1:80", "nginx.shop.svc.cluster.local"),
        // No variable names this one.
        ("orders:8443", "10.96.0.1:8443", "orders.shop.svc.cluster.local"),
    ] {
        dns.forget();
        assert_eq!(found(&resolver, target).await, (vec![expected.to_owned()], "dns"), "{target}");
        assert!(dns.count(question, QType::A) > 0, "{target}: {:?}", dns.questions());
    }
    // A Service that was deleted, while this process still has its variables, is found nevertheless: they are read once.
    dns.remove("shop", "orders");
    assert_eq!(found(&resolver, "orders:80").await.1, "env");
    assert!(refused(&resolver, "orders:8443").await.is_not_found());
}

/// What somebody has mistyped is not passed over: the request would go to the real Service.
#[tokio::test]
async fn a_malformed_variable_is_an_error_that_names_it_even_when_dns_knows_the_name() {
    let dns = dns().await;
    for (vars, told) in [
        (&[("ORDERS_SERVICE_HOST", "10.0.0")][..], "ORDERS_SERVICE_HOST"),
        (&[("ORDERS_SERVICE_HOST", "orders.shop.svc")], "ORDERS_SERVICE_HOST"),
        (&[("ORDERS_SERVICE_HOST", "10.0.0.9"), ("ORDERS_SERVICE_PORT", "http")], "ORDERS_SERVICE_PORT"),
        (&[("ORDERS_SERVICE_HOST", "10.0.0.9"), ("ORDERS_SERVICE_PORT", "65536")], "ORDERS_SERVICE_PORT"),
        (&[("ORDERS_SERVICE_HOST", "10.0.0.9"), ("ORDERS_SERVICE_PORT", "0")], "ORDERS_SERVICE_PORT"),
        (&[("ORDERS_SERVICE_HOST", "10.0.0.9"), ("ORDERS_SERVICE_PORT_HTTP", "x")], "ORDERS_SERVICE_PORT_HTTP"),
        (&[("ORDERS_PORT", "tcp://10.0.0.9")], "ORDERS_PORT"),
        (&[("ORDERS_SERVICE_PORT", "80")], "ORDERS_SERVICE_HOST"),
    ] {
        let resolver = builder(&dns, vars.iter().copied()).build().unwrap();
        for target in ["orders:80", "orders.shop.svc.cluster.local:80"] {
            let error = refused(&resolver, target).await;
            assert!(error.is_config() && !error.is_not_found(), "{vars:?}: {error}");
            assert!(error.to_string().contains(told), "{vars:?}: {error}");
            assert!(error.causes().iter().any(|cause| cause.to_string().contains(told)), "{vars:?}: {error}");
        }
        // Waiting does not help, so nobody waits.
        let upstream = resolver.upstream("orders:80").unwrap();
        let waited = tokio::time::timeout(PATIENCE, upstream.ready()).await.expect("at once");
        assert!(waited.unwrap_err().is_config());
        assert_eq!(dns.total(), 0, "{vars:?}");
        // Others are none the worse for it.
        assert_eq!(found(&resolver, "nginx:80").await.1, "dns");
        dns.forget();
    }
}

/// One variable sends a name elsewhere: no cluster, no namespace, no DNS.
#[tokio::test]
async fn one_variable_is_all_it_takes_on_a_laptop() {
    let host = ("ORDERS_SERVICE_HOST", "127.0.0.1");
    for (vars, target, expected) in [
        (&[host][..], "orders:8080", "127.0.0.1:8080"),
        (&[host], "http://orders:8080/v1", "127.0.0.1:8080"),
        (&[host], "http://orders", "127.0.0.1:80"),
        (&[host, ("ORDERS_SERVICE_PORT", "9000")], "orders", "127.0.0.1:9000"),
        (&[host, ("ORDERS_SERVICE_PORT", "9000")], "http://orders", "127.0.0.1:9000"),
        (&[("ORDERS_PORT", "tcp://127.0.0.1:9000")], "orders", "127.0.0.1:9000"),
        (&[host, ("DISCOVERY_NAMESPACE", "shop")], "orders.shop.svc:8080", "127.0.0.1:8080"),
    ] {
        let environment = Environment::empty().with_env(vars.iter().copied());
        let resolver = Resolver::builder().environment(environment).build().unwrap();
        assert_eq!(found(&resolver, target).await, (vec![expected.to_owned()], "env"), "{target}");
    }
}

/// A laptop has nameservers that know nothing of a cluster, and that may be out of reach.
#[tokio::test]
async fn an_override_asks_dns_nothing_where_the_cluster_domain_is_not_known() {
    let dns = dns().await;
    let vars = [("ORDERS_SERVICE_HOST", "127.0.0.1"), ("DISCOVERY_NAMESPACE", "shop")];
    let environment = Environment::empty().with_env(vars);
    let builder = Resolver::builder().environment(environment).nameservers([dns.addr()]).families(Families::V4);
    let resolver = builder.build().unwrap();
    for target in ["orders:8080", "orders.shop:8080", "orders.shop.svc:8080"] {
        assert_eq!(found(&resolver, target).await, (vec!["127.0.0.1:8080".to_owned()], "env"), "{target}");
    }
    assert_eq!(dns.total(), 0, "{:?}", dns.questions());
}

#[tokio::test]
async fn an_override_works_where_dns_is_out_of_reach() {
    let dns = dns().await;
    dns.stop().await;
    for dns_conf in ["", "search shop.svc.cluster.local svc.cluster.local cluster.local"] {
        let vars = [("ORDERS_SERVICE_HOST", "127.0.0.1"), ("DISCOVERY_DNS_TIMEOUT", "100ms")];
        let environment = Environment::empty().with_env(vars).with_resolv_conf(dns_conf);
        let builder = Resolver::builder().environment(environment).nameservers([dns.addr()]).families(Families::V4);
        let resolver = builder.build().unwrap();
        assert_eq!(found(&resolver, "orders:8080").await, (vec!["127.0.0.1:8080".to_owned()], "env"), "{dns_conf}");
    }
}

/// A typo is told as what it is, not as a DNS that does not answer.
#[tokio::test]
async fn a_malformed_override_is_told_where_dns_is_out_of_reach() {
    let dns = dns().await;
    dns.script(Rule::any().drop());
    let vars = [("ORDERS_SERVICE_HOST", "127.0.0"), ("DISCOVERY_DNS_TIMEOUT", "100ms")];
    let environment = Environment::empty().with_env(vars);
    let builder = Resolver::builder().environment(environment).nameservers([dns.addr()]).families(Families::V4);
    let error = refused(&builder.build().unwrap(), "orders:8080").await;
    assert!(error.is_config() && error.to_string().contains("ORDERS_SERVICE_HOST"), "{error}");
    assert_eq!(dns.total(), 0, "{:?}", dns.questions());
}

#[tokio::test]
async fn with_service_env_off_variables_are_not_read() {
    let dns = dns().await;
    for vars in [[("ORDERS_SERVICE_HOST", "127.0.0.1")], [("ORDERS_SERVICE_HOST", "malformed")]] {
        for off in ["off", "OFF", " off "] {
            let vars = vars.into_iter().chain([("DISCOVERY_SERVICE_ENV", off)]);
            let resolver = builder(&dns, vars).build().unwrap();
            assert_eq!(found(&resolver, "orders:80").await, (vec!["10.96.0.1:80".to_owned()], "dns"), "{off}");
        }
    }
    let on = [("ORDERS_SERVICE_HOST", "127.0.0.1"), ("DISCOVERY_SERVICE_ENV", "on")];
    assert_eq!(found(&builder(&dns, on).build().unwrap(), "orders:80").await.1, "env");
}

#[tokio::test]
async fn a_malformed_setting_is_an_error_of_build_that_names_the_variable() {
    let dns = dns().await;
    for (name, value) in [
        ("DISCOVERY_NAMESPACE", "My_NS"),
        ("DISCOVERY_CLUSTER_DOMAIN", "a..b"),
        ("DISCOVERY_NAMESERVERS", "dns.corp"),
        ("DISCOVERY_IP_FAMILIES", "v4"),
        ("DISCOVERY_DNS_TRANSPORT", "dot"),
        ("DISCOVERY_DNS_TIMEOUT", "5"),
        ("DISCOVERY_DNS_ATTEMPTS", "0"),
        ("DISCOVERY_SERVICE_ENV", "true"),
        ("DISCOVERY_MIN_REFRESH", "1"),
        ("DISCOVERY_MAX_REFRESH", "1.5s"),
        ("DISCOVERY_MAX_STALE", "soon"),
        ("DISCOVERY_REMOVAL_HOLD", "61s"),
    ] {
        let error = builder(&dns, [(name, value)]).build().unwrap_err();
        let text = error.to_string();
        assert!(error.is_config() && text.contains(name) && text.contains(value), "{text}");
        assert!(builder(&dns, [(name, " ")]).build().is_ok(), "{name}: set to nothing is not set");
    }
    let contradiction = [("DISCOVERY_MIN_REFRESH", "1m"), ("DISCOVERY_MAX_REFRESH", "5s")];
    let error = builder(&dns, contradiction).build().unwrap_err();
    assert!(error.is_config() && error.to_string().contains("DISCOVERY_MAX_REFRESH"), "{error}");
    // A name that is unknown is no error: it may be a Service's.
    assert!(builder(&dns, [("DISCOVERY_SERVICE_HOST", "10.0.0.1"), ("DISCOVERY_X", "y")]).build().is_ok());
    assert_eq!(dns.total(), 0);
}
