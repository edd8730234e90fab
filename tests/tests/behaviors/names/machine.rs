//! The resolver ignores the host name of the machine (T4), and a hosts file that is not in its environment (T7).

use std::collections::BTreeSet;

use discovery_core::name::{Host, Target};
use discovery_testing::{FakeDns, Pod, QType, Service};
use tests::{ORDERS, addrs, in_pod, orders, refusal, within};

use crate::support::dns::pod_with_lines;

fn queried_names(dns: &FakeDns) -> BTreeSet<String> {
    dns.questions().into_iter().map(|asked| asked.name).collect()
}

/// T4. With `setHostnameAsFQDN` a resolver may take the pod's own Service for its domain.
#[tokio::test]
async fn derives_no_domain_from_the_host_name() {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(orders(&["10.0.0.1"]));
    dns.record("db.example.com", "192.0.2.7");
    // A client that searches the derived domain would find these before the right ones.
    dns.apply(Service::headless("default", "nginx").port("http", 80).pod(Pod::new("10.0.9.9").hostname("orders")));
    let vars =
        [("HOSTNAME", "web-0.nginx.default.svc.cluster.local"), ("HOST", "web-0.nginx.default.svc.cluster.local")];
    let resolver = pod_with_lines(&dns, "domain nginx.default.svc.cluster.local", &vars);
    let resolver = resolver.cluster_domain("cluster.local".parse().unwrap()).build().unwrap();

    let upstream = resolver.resolve("orders:80").await.unwrap();
    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:80"]);
    assert_eq!(queried_names(&dns), BTreeSet::from([format!("{ORDERS}.")]));
    resolver.resolve("db.example.com:5432").await.unwrap();
    for target in ["nobody", "no.body", "web-1.nginx.nowhere", "a.b.c.example.com", "web-0"] {
        assert!(refusal(&resolver, target).await.is_not_found(), "{target}");
    }
    let asked = queried_names(&dns);
    assert!(!asked.iter().any(|name| name.contains("nginx.default")), "{asked:?}");
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if let Some((_, domain)) = machine.trim().split_once('.') {
        assert!(!asked.iter().any(|name| name.contains(domain)), "{asked:?}");
    }
}

/// T7. DNS contradicts this machine's hosts file here, and the environment of the test has none.
#[tokio::test]
async fn reads_no_hosts_file_but_that_of_the_environment() {
    let dns = FakeDns::start().await.unwrap();
    let resolver = in_pod(&dns, "shop").build().unwrap();
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let listed: BTreeSet<&str> = hosts
        .lines()
        .filter_map(|line| line.split('#').next())
        .flat_map(|line| line.split_whitespace().skip(1))
        .collect();
    let mut compared = 0;
    for name in listed {
        let Ok(target) = Target::new(&format!("{name}:80")) else { continue };
        if !matches!(target.host(), Host::Name { .. }) {
            continue;
        }
        assert!(refusal(&resolver, &format!("{name}:80")).await.is_not_found(), "DNS does not know {name} yet");
        if name.contains('.') {
            dns.record(name, "192.0.2.77");
        } else {
            dns.apply(Service::headless("shop", name).port("http", 80).pod(Pod::new("192.0.2.77")));
        }
        let upstream = within(name, resolver.resolve(&target)).await.unwrap();
        assert_eq!(addrs(&upstream.endpoints()), ["192.0.2.77:80"], "{name}");
        compared += 1;
    }
    println!("T7: {compared} names of /etc/hosts");
    // The pod's own name stays in its hosts file for its whole life.
    dns.apply(Service::headless("shop", "nginx").port("http", 80).pod(Pod::new("10.0.0.9").hostname("web-0")));
    let upstream = resolver.resolve("web-0.nginx.shop.svc.cluster.local:80").await.unwrap();
    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.9:80"]);
    assert_eq!(dns.count("web-0.nginx.shop.svc.cluster.local", QType::A), 1);
}
