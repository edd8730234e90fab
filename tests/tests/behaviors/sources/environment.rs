//! Environment variables answer before DNS: for the own namespace, for the ports that they name, and on a laptop.

use discovery_core::{Environment, Error, Resolver, plan::Families};
use discovery_testing::{FakeDns, Pod, QType, Rule, Service};
use tests::{addrs, in_pod_with, refusal, within};

/// `orders` as a ClusterIP of the own namespace `shop` and of `billing`, and `nginx` without variables.
async fn dns() -> FakeDns {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(Service::cluster_ip("shop", "orders").ip("10.96.0.1").port("http", 80).port("metrics", 9090));
    dns.apply(Service::cluster_ip("billing", "orders").ip("10.96.0.2").port("http", 80));
    dns.apply(Service::headless("shop", "nginx").port("http", 80).pod(Pod::new("10.0.0.1")));
    dns
}

/// A resolver with the Service variables that the kubelet sets in a pod of `shop`.
fn with_service_variables(dns: &FakeDns) -> Resolver {
    let vars = dns.service_env("shop");
    in_pod_with(dns, "shop", vars.iter().map(|(name, value)| (name.as_str(), value.as_str()))).build().unwrap()
}

/// The endpoints, and the source that answered.
async fn found(resolver: &Resolver, target: &str) -> (Vec<String>, &'static str) {
    match within(target, resolver.resolve(target)).await {
        Ok(upstream) => (addrs(&upstream.endpoints()), upstream.explain().winner.unwrap()),
        Err(error) => panic!("{target}: {error}"),
    }
}

#[tokio::test]
async fn variables_answer_for_the_own_namespace_without_a_dns_query() {
    let dns = dns().await;
    let resolver = with_service_variables(&dns);
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
async fn dns_answers_for_other_namespaces_services_and_ports() {
    let dns = dns().await;
    let resolver = with_service_variables(&dns);
    for (target, expected, question) in [
        ("orders.billing:80", "10.96.0.2:80", "orders.billing.svc.cluster.local"),
        ("orders.billing.svc:80", "10.96.0.2:80", "orders.billing.svc.cluster.local"),
        ("orders.billing.svc.cluster.local:80", "10.96.0.2:80", "orders.billing.svc.cluster.local"),
        ("nginx:80", "10.0.0.1:80", "nginx.shop.svc.cluster.local"),
        // No variable names this port.
        ("orders:8443", "10.96.0.1:8443", "orders.shop.svc.cluster.local"),
    ] {
        dns.forget();
        assert_eq!(found(&resolver, target).await, (vec![expected.to_owned()], "dns"), "{target}");
        assert!(dns.count(question, QType::A) > 0, "{target}: {:?}", dns.questions());
    }
    // The variables of a deleted Service still answer, because the process reads them once.
    dns.remove("shop", "orders");
    assert_eq!(found(&resolver, "orders:80").await.1, "env");
    assert!(refusal(&resolver, "orders:8443").await.is_not_found());
}

/// The resolver does not skip a mistyped override: the request would go to the real Service.
#[tokio::test]
async fn a_malformed_variable_is_an_error_even_when_dns_knows_the_name() {
    let dns = dns().await;
    for (vars, culprit) in [
        (&[("ORDERS_SERVICE_HOST", "10.0.0")][..], "ORDERS_SERVICE_HOST"),
        (&[("ORDERS_SERVICE_HOST", "orders.shop.svc:80")], "ORDERS_SERVICE_HOST"),
        (&[("ORDERS_SERVICE_HOST", "10.0.0.9"), ("ORDERS_SERVICE_PORT", "http")], "ORDERS_SERVICE_PORT"),
        (&[("ORDERS_SERVICE_HOST", "10.0.0.9"), ("ORDERS_SERVICE_PORT", "65536")], "ORDERS_SERVICE_PORT"),
        (&[("ORDERS_SERVICE_HOST", "10.0.0.9"), ("ORDERS_SERVICE_PORT", "0")], "ORDERS_SERVICE_PORT"),
        (&[("ORDERS_SERVICE_HOST", "10.0.0.9"), ("ORDERS_SERVICE_PORT_HTTP", "x")], "ORDERS_SERVICE_PORT_HTTP"),
        (&[("ORDERS_PORT", "tcp://10.0.0.9")], "ORDERS_PORT"),
    ] {
        let resolver = in_pod_with(&dns, "shop", vars.iter().copied()).build().unwrap();
        for target in ["orders:80", "orders.shop.svc.cluster.local:80"] {
            let error = refusal(&resolver, target).await;
            assert!(error.is_config() && !error.is_not_found(), "{vars:?}: {error}");
            assert!(error.to_string().contains(culprit), "{vars:?}: {error}");
            assert!(error.causes().iter().any(|cause| cause.to_string().contains(culprit)), "{vars:?}: {error}");
        }
        // Waiting does not help, so `ready` returns at once.
        let upstream = resolver.upstream("orders:80").unwrap();
        let waited = within("an error at once", upstream.ready()).await;
        assert!(waited.unwrap_err().is_config());
        assert_eq!(dns.total(), 0, "{vars:?}");
        // Other names still resolve.
        assert_eq!(found(&resolver, "nginx:80").await.1, "dns");
        dns.forget();
    }
}

/// Variables of the application itself that only look like those of a Service: DNS knows the name.
#[tokio::test]
async fn dns_answers_where_an_application_names_its_own_variables_like_a_service() {
    let dns = dns().await;
    for (name, value) in [
        ("ORDERS_SERVICE_PORT", "8080"),
        ("ORDERS_SERVICE_PORT", "abc"),
        ("ORDERS_SERVICE_PORT_HTTP", "80"),
        ("ORDERS_SERVICE_PORT_FILE", "/run/secrets/port"),
        ("ORDERS_SERVICE_HOST_FILE", "/run/secrets/host"),
        ("ORDERS_PORT_80_TCP_PROTO", "tcp"),
    ] {
        let resolver = in_pod_with(&dns, "shop", [(name, value)]).build().unwrap();
        assert_eq!(found(&resolver, "orders:80").await, (vec!["10.96.0.1:80".to_owned()], "dns"), "{name}");
        let text = resolver.resolve("orders:80").await.unwrap().explain().to_string();
        assert!(text.contains(&format!("{name}: skipped: ")), "{text}");
    }
}

/// An override may name a host: another Service, a machine. DNS knows its addresses, and they change with DNS.
#[tokio::test]
async fn a_host_name_in_service_host_is_resolved_as_a_host() {
    let dns = dns().await;
    dns.record("db.example.com", "10.7.0.1");
    for (host, target, expected) in [
        ("db.example.com", "orders:80", "10.7.0.1:80"),
        ("orders.billing.svc", "orders:80", "10.96.0.2:80"),
        ("orders.billing", "http://orders", "10.96.0.2:80"),
        ("nginx", "orders:8080", "10.0.0.1:8080"),
    ] {
        let resolver = in_pod_with(&dns, "shop", [("ORDERS_SERVICE_HOST", host)]).build().unwrap();
        assert_eq!(found(&resolver, target).await, (vec![expected.to_owned()], "env"), "{host}");
        let explained = resolver.resolve(target).await.unwrap().explain();
        let text = explained.to_string();
        assert!(text.contains(&format!("ORDERS_SERVICE_HOST: {host}")) && text.contains("TTL"), "{text}");
        assert_eq!(explained.name_kind, Some(discovery_core::plan::NameKind::Service));
    }
}

/// The override was set on purpose: the real Service must not get its requests.
#[tokio::test]
async fn an_override_whose_host_does_not_resolve_is_an_error_that_names_the_variable() {
    let dns = dns().await;
    dns.script(Rule::any().name("down.example.com").servfail());
    for (host, is) in
        [("gone.example.com", Error::is_no_endpoints as fn(&Error) -> bool), ("down.example.com", Error::is_transient)]
    {
        let resolver = in_pod_with(&dns, "shop", [("ORDERS_SERVICE_HOST", host)]).build().unwrap();
        let error = refusal(&resolver, "orders:80").await;
        assert!(is(&error), "{host}: {error:?}");
        let text = error.to_string();
        assert!(text.contains("ORDERS_SERVICE_HOST") && text.contains(host), "{text}");
        assert_eq!(dns.count("orders.shop.svc.cluster.local", QType::A), 0, "{host}");
    }
}

/// One variable redirects a name, without a cluster, a namespace or DNS.
#[tokio::test]
async fn one_variable_is_enough_on_a_laptop() {
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

/// The nameservers of a laptop know nothing about a cluster, and may be unreachable.
#[tokio::test]
async fn an_override_needs_no_dns_query_where_the_cluster_domain_is_unknown() {
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
async fn an_override_works_while_dns_is_unreachable() {
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

/// The error names the typo, not the DNS server that does not answer.
#[tokio::test]
async fn a_malformed_override_is_reported_while_dns_is_unreachable() {
    let dns = dns().await;
    dns.script(Rule::any().drop());
    let vars = [("ORDERS_SERVICE_HOST", "127.0.0"), ("DISCOVERY_DNS_TIMEOUT", "100ms")];
    let environment = Environment::empty().with_env(vars);
    let builder = Resolver::builder().environment(environment).nameservers([dns.addr()]).families(Families::V4);
    let error = refusal(&builder.build().unwrap(), "orders:8080").await;
    assert!(error.is_config() && error.to_string().contains("ORDERS_SERVICE_HOST"), "{error}");
    assert_eq!(dns.total(), 0, "{:?}", dns.questions());
}

#[tokio::test]
async fn ignores_service_variables_with_discovery_service_env_off() {
    let dns = dns().await;
    for vars in [[("ORDERS_SERVICE_HOST", "127.0.0.1")], [("ORDERS_SERVICE_HOST", "malformed")]] {
        for off in ["off", "OFF", " off "] {
            let vars = vars.into_iter().chain([("DISCOVERY_SERVICE_ENV", off)]);
            let resolver = in_pod_with(&dns, "shop", vars).build().unwrap();
            assert_eq!(found(&resolver, "orders:80").await, (vec!["10.96.0.1:80".to_owned()], "dns"), "{off}");
        }
    }
    let on = [("ORDERS_SERVICE_HOST", "127.0.0.1"), ("DISCOVERY_SERVICE_ENV", "on")];
    assert_eq!(found(&in_pod_with(&dns, "shop", on).build().unwrap(), "orders:80").await.1, "env");
}

#[tokio::test]
async fn a_malformed_setting_is_a_build_error_that_names_the_variable() {
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
        let error = in_pod_with(&dns, "shop", [(name, value)]).build().unwrap_err();
        let text = error.to_string();
        assert!(error.is_config() && text.contains(name) && text.contains(value), "{text}");
        assert!(in_pod_with(&dns, "shop", [(name, " ")]).build().is_ok(), "{name}: a blank value counts as unset");
    }
    let contradiction = [("DISCOVERY_MIN_REFRESH", "1m"), ("DISCOVERY_MAX_REFRESH", "5s")];
    let error = in_pod_with(&dns, "shop", contradiction).build().unwrap_err();
    assert!(error.is_config() && error.to_string().contains("DISCOVERY_MAX_REFRESH"), "{error}");
    // An unknown variable is not an error: it may belong to a Service.
    assert!(in_pod_with(&dns, "shop", [("DISCOVERY_SERVICE_HOST", "10.0.0.1"), ("DISCOVERY_X", "y")]).build().is_ok());
    assert_eq!(dns.total(), 0);
}
