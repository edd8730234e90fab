//! Names that a plugin of CoreDNS changes on their way: `autopath` and `rewrite`.

use discovery_core::{Resolver, context::Families, plan::NameKind};
use discovery_testing::{FakeDns, Pod, QType, Service};
use tests::{addrs, refusal, within};

use crate::support::{
    corefile::{Plugin, nameserver},
    dns::{asked_again, dns, pod_with},
};

fn resolver(dns: &FakeDns, nameserver: std::net::SocketAddr) -> Resolver {
    pod_with(dns, &[]).nameservers([nameserver]).families(Families::Both).build().unwrap()
}

/// Kubernetes has no CNAME for a pod, so the target of the CNAME says what the server found.
#[tokio::test]
async fn an_autopath_answer_is_read_as_what_its_cname_leads_to() {
    let dns = dns().await;
    dns.record("example.com", "192.0.2.7");
    dns.record("files.team.corp.example", "192.0.2.8");
    dns.apply(Service::headless("billing", "orders").port("http", 80).pod(Pod::new("10.0.0.2")));
    dns.apply(Service::headless("shop", "nginx").port("http", 80).pod(Pod::new("10.0.0.3").hostname("web-0")));
    let (addr, _server) = nameserver(&dns, Plugin::Autopath).await;
    let resolver = resolver(&dns, addr);
    for (target, endpoint, kind, hostname) in [
        ("example.com:80", "192.0.2.7:80", NameKind::Host, None),
        ("files.team:80", "192.0.2.8:80", NameKind::Host, None),
        ("orders.billing:80", "10.0.0.2:80", NameKind::Service, None),
        ("web-0.nginx:80", "10.0.0.3:80", NameKind::Pod, Some("web-0")),
        ("nginx:80", "10.0.0.3:80", NameKind::Service, None),
    ] {
        let upstream = within(target, resolver.resolve(target)).await.unwrap();
        let set = upstream.endpoints();
        assert_eq!(addrs(&set), [endpoint], "{target}");
        assert_eq!(set[0].hostname().map(|name| name.as_str()), hostname, "{target}");
        assert_eq!(upstream.explain().name_kind, Some(kind), "{target}: {}", upstream.explain());
    }
}

/// The walk of the server is needed once.
#[tokio::test]
async fn after_an_autopath_answer_the_host_itself_is_queried() {
    let dns = dns().await;
    dns.record("example.com", "192.0.2.7");
    let (addr, _server) = nameserver(&dns, Plugin::Autopath).await;
    let _upstream = within("an answer", resolver(&dns, addr).resolve("example.com:80")).await.unwrap();
    asked_again(&dns, 4).await;
    assert_eq!(dns.count("example.com.shop.svc.cluster.local", QType::A), 1, "{:?}", dns.questions());
}

/// CoreDNS restores the question, and the records only with `answer auto`.
#[tokio::test]
async fn records_under_another_name_are_no_data_and_the_error_says_so() {
    let dns = dns().await;
    dns.apply(Service::headless("shop", "orders").port("http", 80).pod(Pod::new("10.0.0.1")));
    let rewrite = Plugin::Rewrite { from: "api.corp.example", to: "orders.shop.svc.cluster.local" };
    let (addr, _server) = nameserver(&dns, rewrite).await;
    let error = refusal(&resolver(&dns, addr), "api.corp.example.:80").await;
    assert!(error.is_no_endpoints(), "{error}");
    let text = error.to_string();
    assert!(text.contains("orders.shop.svc.cluster.local.") && text.contains("answer auto"), "{text}");
}

/// A name without records of the own family may have some of the other one.
#[tokio::test]
async fn no_data_says_which_family_was_not_asked() {
    let dns = dns().await;
    dns.record("six.example.com", "2001:db8::7");
    dns.record("four.example.com", "192.0.2.7");
    dns.srv("_http._tcp.six.example.com", 0, 1, 80, "six.example.com");
    for (families, target, record) in [
        (Families::V4, "six.example.com.:80", "AAAA six.example.com."),
        (Families::V4, "_http._tcp.six.example.com.", "AAAA six.example.com."),
        (Families::V6, "four.example.com.:80", "A four.example.com."),
    ] {
        let resolver = pod_with(&dns, &[]).families(families).build().unwrap();
        let error = refusal(&resolver, target).await;
        assert!(error.is_no_endpoints(), "{target}: {error}");
        let text = error.to_string();
        assert!(text.contains(&format!("{record}: not asked")) && text.contains("DISCOVERY_IP_FAMILIES"), "{text}");
    }
    let both = pod_with(&dns, &[]).families(Families::Both).build().unwrap();
    dns.txt("text.example.com", "no addresses");
    let text = refusal(&both, "text.example.com.:80").await.to_string();
    assert!(!text.contains("not asked: the address families"), "{text}");
}
