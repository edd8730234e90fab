//! The namespace in which a bare name is read, and names outside a cluster.

use discovery_core::Environment;
use tests::{addrs, refusal, within};

use crate::support::environment::{SEARCH_SHOP, TempFile, cluster_dns, is_txt, resolved, resolver_in, txt_queries};

/// The code, then `DISCOVERY_NAMESPACE`, `POD_NAMESPACE`, the service account's file, the search list.
#[tokio::test]
async fn takes_the_own_namespace_from_the_first_place_that_names_one() {
    let dns = cluster_dns("cluster.local").await;
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
        let mut builder = resolver_in(environment).nameservers([dns.addr()]);
        if let Some(namespace) = explicit {
            builder = builder.namespace(namespace.parse().unwrap());
        }
        let orders = resolved(&builder.build().unwrap(), "orders:80").await;
        assert_eq!(addrs(&orders.endpoints()), [format!("{ip}:80")], "{place}");
        let explanation = orders.explain().to_string();
        assert!(explanation.contains(&format!("own namespace: {place}")), "{place} in {explanation}");
    }
    assert_eq!(txt_queries(&dns), 0, "the search list holds the cluster domain");
}

#[tokio::test]
async fn a_malformed_namespace_is_an_error_that_names_its_place() {
    for (environment, place) in [
        (Environment::empty().with_env([("POD_NAMESPACE", "My_NS")]), "POD_NAMESPACE"),
        (Environment::empty().with_namespace("not a namespace"), "serviceaccount/namespace"),
    ] {
        let error = resolver_in(environment).build().unwrap_err();
        assert!(error.is_config() && error.to_string().contains(place), "{error}");
    }
}

#[tokio::test]
async fn resolves_addresses_variables_and_hosts_outside_a_cluster() {
    let dns = cluster_dns("corp.example").await;
    dns.record("db.example.com", "192.0.2.7");
    let environment = Environment::empty().with_env([("BILLING_SERVICE_HOST", "127.0.0.1")]);
    let resolver = resolver_in(environment).nameservers([dns.addr()]).build().unwrap();
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

/// The kubelet sets `KUBERNETES_SERVICE_HOST` in every container.
#[tokio::test]
async fn a_bare_name_without_a_namespace_is_an_error_that_says_what_to_set() {
    let dns = cluster_dns("corp.example").await;
    let environment = Environment::empty().with_env([("KUBERNETES_SERVICE_HOST", "10.96.0.1")]);
    let resolver = resolver_in(environment).nameservers([dns.addr()]).build().unwrap();
    for (target, remedies) in [
        ("orders:80", &["POD_NAMESPACE", "DISCOVERY_NAMESPACE", "orders.<namespace>.svc"][..]),
        ("orders.shop.svc:80", &["DISCOVERY_CLUSTER_DOMAIN", "ClusterFirst"]),
    ] {
        let error = refusal(&resolver, target).await;
        assert!(error.is_config() && !error.is_not_found(), "{error}");
        for remedy in remedies {
            assert!(error.to_string().contains(remedy), "`{remedy}` in {error}");
        }
        let upstream = resolver.upstream(target).unwrap();
        assert!(within("at once", upstream.ready()).await.unwrap_err().is_config(), "waiting does not help");
    }
    assert!(dns.questions().iter().all(is_txt), "no bare name leaves the machine: {:?}", dns.questions());
}

#[tokio::test]
async fn a_bare_name_outside_a_cluster_that_does_not_exist_is_an_error_that_says_what_to_set() {
    let dns = cluster_dns("corp.example").await;
    let resolver = resolver_in(Environment::empty()).nameservers([dns.addr()]).build().unwrap();
    let error = refusal(&resolver, "orders:80").await;
    assert!(error.is_not_found() && error.to_string().contains("POD_NAMESPACE"), "{error}");
}
