//! Hosts are not Services: their names follow the rules of libc, and the hosts file answers for them.

use std::time::Duration;

use discovery_core::{Environment, ResolverBuilder, plan::NameKind};
use discovery_testing::{FakeDns, Pod, Rule, Service};
use tests::{ORDERS, addrs, brisk, orders, refusal, until};

use crate::support::environment::{SEARCH_SHOP, TempFile, cluster_dns, resolved, resolver_in};

/// A laptop with this hosts file, next to a DNS server without a cluster.
fn laptop(dns: &FakeDns, resolv_conf: &str, hosts: &str) -> ResolverBuilder {
    let environment = Environment::empty().with_resolv_conf(resolv_conf).with_hosts(hosts);
    resolver_in(environment).nameservers([dns.addr()])
}

/// A pod of `shop` with this hosts file.
fn pod(dns: &FakeDns, hosts: &str) -> ResolverBuilder {
    let vars = [("POD_NAMESPACE", "shop"), ("KUBERNETES_SERVICE_HOST", "10.96.0.1"), ("HOSTNAME", "web-0")];
    let environment = Environment::empty().with_env(vars).with_resolv_conf(SEARCH_SHOP).with_hosts(hosts);
    resolver_in(environment).nameservers([dns.addr()])
}

/// RFC 2181 section 11.
#[tokio::test]
async fn hosts_may_have_underscores_and_outer_hyphens() {
    let dns = cluster_dns("cluster.local").await;
    for name in ["my_db.example.com", "foo-.example.com", "_dmarc.example.com"] {
        dns.record(name, "192.0.2.7");
        for resolver in [laptop(&dns, "", ""), pod(&dns, "")] {
            let upstream = resolved(&resolver.build().unwrap(), &format!("http://{name}:80/")).await;
            assert_eq!(addrs(&upstream.endpoints()), ["192.0.2.7:80"], "{name}");
            assert_eq!(upstream.explain().name_kind, Some(NameKind::Host), "{name}");
        }
    }
    let strict = refusal(&pod(&dns, "").build().unwrap(), "api_gateway:8080").await;
    assert!(strict.is_config() && strict.to_string().contains("'_' is not allowed"), "{strict}");
}

#[tokio::test]
async fn a_bare_name_outside_a_cluster_is_a_host_with_the_search_list_of_libc() {
    let dns = cluster_dns("corp.example").await;
    dns.record("api_gateway", "192.0.2.1");
    dns.record("db.eu.office.example", "192.0.2.2");
    let resolver = laptop(&dns, "search us.office.example eu.office.example\n", "").build().unwrap();
    for (target, ip) in
        [("api_gateway:80", "192.0.2.1"), ("db:80", "192.0.2.2"), ("db.eu.office.example:80", "192.0.2.2")]
    {
        assert_eq!(addrs(&resolved(&resolver, target).await.endpoints()), [format!("{ip}:80")], "{target}");
    }
    let names: Vec<String> =
        dns.questions().iter().filter(|q| q.name.starts_with("db.")).map(|q| q.name.clone()).collect();
    assert_eq!(names[..2], ["db.us.office.example.", "db.eu.office.example."], "{names:?}");
}

/// compose: the nameserver of Docker, `options ndots:0`.
#[tokio::test]
async fn ndots_decides_what_is_queried_first() {
    let dns = cluster_dns("corp.example").await;
    dns.record("db", "192.0.2.1");
    let resolver = laptop(&dns, "search corp.example\noptions ndots:0\n", "").build().unwrap();
    let db = resolved(&resolver, "db:80").await;
    assert_eq!(addrs(&db.endpoints()), ["192.0.2.1:80"]);
    assert!(dns.questions().iter().all(|asked| asked.name == "db."), "{:?}", dns.questions());
}

#[tokio::test]
async fn the_hosts_file_answers_outside_a_cluster_without_a_query() {
    let dns = cluster_dns("corp.example").await;
    dns.script(Rule::any().servfail());
    let hosts = "127.0.0.1 localhost\nnonsense db\n10.0.0.1 db db.example.com\n10.0.0.2 db\n0.0.0.0 ads.example.com\n";
    let resolver = laptop(&dns, "search corp.example\n", hosts).build().unwrap();
    let db = resolved(&resolver, "db:80").await;
    assert_eq!(addrs(&db.endpoints()), ["10.0.0.1:80", "10.0.0.2:80"]);
    let explained = db.explain().to_string();
    assert!(explained.contains("line 3: 10.0.0.1") && explained.contains("skipped line 2"), "{explained}");
    assert_eq!(addrs(&resolved(&resolver, "DB.example.com:80").await.endpoints()), ["10.0.0.1:80"]);
    let blocked = refusal(&resolver, "ads.example.com:80").await;
    assert!(blocked.is_no_endpoints(), "{blocked}");
    assert_eq!(dns.total(), 0, "{:?}", dns.questions());
}

#[tokio::test]
async fn the_hosts_file_answers_for_a_host_and_never_for_a_service() {
    let dns = FakeDns::builder().ttl(0).start().await.unwrap();
    dns.apply(orders(&["10.0.0.1"]));
    let hosts = "# Kubernetes-managed hosts file.\n127.0.0.1 localhost\n\
                 10.0.0.9 web-0.nginx.shop.svc.other.example web-0\n\n# Entries added by HostAliases.\n\
                 10.9.9.9 orders orders.shop orders.shop.svc orders.shop.svc.cluster.local\n\
                 10.9.9.8 db.example.com api_gateway cache\n";
    let resolver = pod(&dns, hosts).build().unwrap();
    for service in ["orders:80", "orders.shop:80", "orders.shop.svc:80", "orders.shop.svc.cluster.local:80"] {
        assert_eq!(addrs(&resolved(&resolver, service).await.endpoints()), ["10.0.0.1:80"], "{service}");
    }
    for host in ["db.example.com:80", "api_gateway:80", "cache:80"] {
        let upstream = resolved(&resolver, host).await;
        assert_eq!(addrs(&upstream.endpoints()), ["10.9.9.8:80"], "{host}");
        assert_eq!(upstream.explain().name_kind, Some(NameKind::Host), "{host}");
    }
    assert!(dns.questions().iter().all(|asked| asked.name != "db.example.com."), "{:?}", dns.questions());
    for own in ["web-0:80", "web-0.nginx.shop.svc.other.example:80"] {
        assert!(refusal(&resolver, own).await.is_not_found(), "{own}");
    }
    // A failure for the Service does not lead to the host of the same name.
    dns.script(Rule::any().name(ORDERS).servfail());
    let error = refusal(&pod(&dns, hosts).build().unwrap(), "orders:80").await;
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_changed_hosts_file_is_read_again() {
    let dns = cluster_dns("corp.example").await;
    dns.record("db.example.com", "192.0.2.1");
    let file = TempFile::new("10.0.0.1 db.example.com\n");
    let environment = Environment::empty().with_hosts_file(file.path());
    let resolver = resolver_in(environment).nameservers([dns.addr()]).build().unwrap();
    let db = resolved(&resolver, "db.example.com:80").await;
    assert_eq!(addrs(&db.endpoints()), ["10.0.0.1:80"]);
    file.write("10.0.0.1 db.example.com\n10.0.0.2 db.example.com # added\n");
    until(&db, "the added line", |set| addrs(set) == ["10.0.0.1:80", "10.0.0.2:80"]).await;
    file.write("10.0.0.1 other.example.com\n");
    until(&db, "the answer of DNS", |set| addrs(set) == ["192.0.2.1:80"]).await;
    file.write("10.0.0.3 db.example.com\n");
    until(&db, "the hosts file again", |set| addrs(set) == ["10.0.0.3:80"]).await;
}

#[tokio::test]
async fn a_hosts_file_that_is_missing_or_unreadable_leaves_the_name_to_dns() {
    let dns = cluster_dns("corp.example").await;
    dns.record("db.example.com", "192.0.2.1");
    let file = TempFile::new("");
    let directory = std::env::temp_dir();
    for path in [file.path().with_extension("none"), directory.clone()] {
        let environment = Environment::empty().with_hosts_file(&path);
        let resolver = resolver_in(environment).nameservers([dns.addr()]).build().unwrap();
        let db = resolved(&resolver, "db.example.com:80").await;
        assert_eq!(addrs(&db.endpoints()), ["192.0.2.1:80"], "{}", path.display());
        let explained = db.explain().to_string();
        assert_eq!(explained.contains("cannot read"), path == directory, "{explained}");
    }
}

/// A Service that is created later wins over the hosts file in a cluster.
#[tokio::test]
async fn a_service_that_appears_wins_over_the_hosts_file() {
    let dns = FakeDns::builder().ttl(0).start().await.unwrap();
    let often = brisk().with_refresh(Duration::from_millis(20), Duration::from_millis(100)).unwrap();
    let resolver = pod(&dns, "10.9.9.9 cache\n").refresh(often).build().unwrap();
    let cache = resolved(&resolver, "cache:80").await;
    assert_eq!(addrs(&cache.endpoints()), ["10.9.9.9:80"]);
    dns.apply(Service::headless("shop", "cache").port("http", 80).pod(Pod::new("10.0.0.4")));
    let fresh = pod(&dns, "10.9.9.9 cache\n").build().unwrap();
    assert_eq!(addrs(&resolved(&fresh, "cache:80").await.endpoints()), ["10.0.0.4:80"]);
    until(&cache, "the Service, for a program that runs for long", |set| addrs(set) == ["10.0.0.4:80"]).await;
}
