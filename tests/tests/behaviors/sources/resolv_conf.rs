//! `resolv.conf`: the resolver follows changes of the file, and survives errors in it.

use std::{
    fs,
    time::{Duration, Instant},
};

use discovery_core::{Environment, Resolver};
use discovery_testing::{FakeDns, QType};
use tests::{addrs, brisk, in_pod, next_round, refusal, until, until_fresh, within};

use crate::support::environment::{SEARCH_SHOP, TempFile, cluster_dns, resolved, resolver_in, txt_queries};

async fn dns() -> FakeDns {
    cluster_dns("cluster.local").await
}

/// The file of a pod, except that ours may name a port as `ip:port`.
fn resolv_conf(dns: &FakeDns) -> String {
    format!("{SEARCH_SHOP}\nnameserver {}\noptions ndots:5\n", dns.addr())
}

/// As on a laptop that changes its network.
#[tokio::test]
async fn follows_a_rewritten_resolv_conf() {
    let (before, after) = (dns().await, dns().await);
    let file = TempFile::new(&resolv_conf(&before));
    let resolver = resolver_in(Environment::empty().with_resolv_conf_file(file.path())).build().unwrap();
    let orders = resolved(&resolver, "orders:80").await;
    within("refreshes", before.asked(|_| true, 3)).await;
    assert_eq!((after.total(), addrs(&orders.endpoints())), (0, vec!["10.0.0.1:80".to_owned()]));

    let rewritten = Instant::now();
    file.write(&resolv_conf(&after));
    within("the new nameserver", after.asked(|_| true, 1)).await;
    println!("taken up after {:?}", rewritten.elapsed());
    // One more query to the old server may have been on its way; no other follows.
    let left = before.total();
    within("refreshes", after.asked(|_| true, 10)).await;
    assert_eq!(before.total(), left);
    assert!(orders.explain().to_string().contains(&after.addr().to_string()));

    // Another namespace, and so another Service with that name.
    file.write(&resolv_conf(&after).replace("shop.svc", "billing.svc"));
    until(&orders, "the Service of the other namespace", |set| addrs(set) == ["10.0.0.2:80"]).await;
}

/// As while a tool replaces the file in several steps: what was known is used meanwhile.
#[tokio::test]
async fn keeps_what_was_known_while_resolv_conf_is_missing_or_empty() {
    let dns = dns().await;
    let file = TempFile::new(&resolv_conf(&dns));
    let resolver = resolver_in(Environment::empty().with_resolv_conf_file(file.path())).build().unwrap();
    let orders = resolved(&resolver, "orders:80").await;
    for damage in [
        TempFile::remove as fn(&TempFile),
        |file: &TempFile| fs::write(file.path(), "").unwrap(),
        |file: &TempFile| fs::write(file.path(), " \n\n").unwrap(),
    ] {
        damage(&file);
        // The file is looked at once a second.
        let damaged = Instant::now();
        while damaged.elapsed() < Duration::from_millis(1500) {
            within("a refresh", dns.asked(|_| true, dns.total() + 1)).await;
            assert!(!orders.endpoints().is_stale(), "{}", orders.explain());
        }
        let billing = within("another name", resolver.resolve("orders.billing:80")).await.unwrap();
        assert_eq!(addrs(&billing.endpoints()), ["10.0.0.2:80"]);
        file.write(&resolv_conf(&dns));
        until_fresh(&orders).await;
    }
    assert_eq!(orders.endpoints().version(), 1, "requests notice nothing");
    // The file that comes next counts.
    let after = self::dns().await;
    file.write(&resolv_conf(&after));
    within("the new nameserver", after.asked(|_| true, 1)).await;
}

/// resolv.conf(5): "the default is to use the name server on the local machine". Without a file there is none.
#[tokio::test]
async fn without_a_nameserver_line_this_machine_is_asked() {
    for text in [SEARCH_SHOP, ""] {
        let resolver = resolver_in(Environment::empty().with_resolv_conf(text)).build().unwrap();
        let db = resolver.upstream("db.example.invalid:80").unwrap();
        within("a round", next_round(&db, None)).await;
        let explained = db.explain().to_string();
        assert!(explained.contains("127.0.0.1:53, [::1]:53"), "{text:?}: {explained}");
    }
}

/// resolv.conf(5), `no-aaaa`; a setting of our own has the last word.
#[tokio::test]
async fn no_aaaa_sends_no_aaaa_queries() {
    for (families, sent) in [(None, false), (Some("both"), true)] {
        let dns = dns().await;
        dns.record("db.example.com", "192.0.2.1");
        dns.record("db.example.com", "2001:db8::1");
        let variables = families.map(|families| ("DISCOVERY_IP_FAMILIES", families));
        let pod_ips = ("POD_IPS", "10.244.1.7,fd00::7");
        let environment = Environment::empty().with_env(variables.into_iter().chain([pod_ips]));
        let environment = environment.with_resolv_conf(format!("{}options no-aaaa\n", resolv_conf(&dns)));
        let resolver = Resolver::builder().environment(environment).refresh(brisk()).build().unwrap();
        let db = resolved(&resolver, "db.example.com:80").await;
        let wanted: usize = if sent { 2 } else { 1 };
        until(&db, "the addresses", |set| addrs(set).len() == wanted).await;
        assert_eq!(dns.count("db.example.com", QType::AAAA) > 0, sent);
    }
}

#[tokio::test]
async fn skips_malformed_lines_of_resolv_conf() {
    let dns = dns().await;
    let text = format!(
        "# of a node\n; and of another\n\nnonsense\nnameserver\nnameserver not-an-address\nnameserver 10.0.0.256\n\
         nameserver {} trailing\nsearch\nsearch a..b {} -bad-\noptions timeout:x attempts: unknown ndots:5\n\
         options attempts:0 timeout\nsortlist 1.2.3.4\nsearch",
        dns.addr(),
        SEARCH_SHOP.strip_prefix("search ").unwrap()
    );
    let resolver = resolver_in(Environment::empty().with_resolv_conf(text)).build().unwrap();
    assert_eq!(addrs(&resolved(&resolver, "orders:80").await.endpoints()), ["10.0.0.1:80"]);
    assert_eq!(txt_queries(&dns), 0);
    let bytes = [b"search \xff\xfe\n".as_slice(), resolv_conf(&dns).as_bytes()].concat();
    let file = TempFile::new("");
    fs::write(file.path(), bytes).unwrap();
    let resolver = resolver_in(Environment::empty().with_resolv_conf_file(file.path())).build().unwrap();
    assert_eq!(addrs(&resolved(&resolver, "orders:80").await.endpoints()), ["10.0.0.1:80"]);
}

#[tokio::test]
async fn a_missing_nameserver_is_an_error_that_says_what_to_set() {
    let resolver = resolver_in(Environment::empty()).build().unwrap();
    let error = refusal(&resolver, "db.example.com:80").await;
    assert!(error.is_config() && error.to_string().contains("DISCOVERY_NAMESERVERS"), "{error}");
    assert_eq!(addrs(&resolved(&resolver, "10.0.0.1:80").await.endpoints()), ["10.0.0.1:80"]);
}

/// The code overrides the variable, and the variable overrides the file.
#[tokio::test]
async fn takes_nameservers_from_the_first_place_that_names_some() {
    let (in_code, variable, file) = (dns().await, dns().await, dns().await);
    let environment = |variables: &[(&'static str, String)]| {
        Environment::empty().with_env(variables.iter().cloned()).with_resolv_conf(resolv_conf(&file))
    };
    let set = [("DISCOVERY_NAMESERVERS", variable.addr().to_string())];
    resolved(&resolver_in(environment(&set)).nameservers([in_code.addr()]).build().unwrap(), "orders:80").await;
    assert_eq!((in_code.total() > 0, variable.total(), file.total()), (true, 0, 0));
    resolved(&resolver_in(environment(&set)).build().unwrap(), "orders:80").await;
    assert_eq!((variable.total() > 0, file.total()), (true, 0));
    resolved(&resolver_in(environment(&[])).build().unwrap(), "orders:80").await;
    assert!(file.total() > 0);
    // And a pod with the file that the kubelet writes.
    resolved(&in_pod(&in_code, "shop").build().unwrap(), "orders:80").await;
}
