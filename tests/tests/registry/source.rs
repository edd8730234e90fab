//! The registry as a source of a resolver.

use std::{io::Write as _, sync::Arc, time::Duration};

use discovery_core::{Resolver, Upstream, source::Source};
use discovery_eureka::{EurekaSource, EurekaSourceBuilder};
use discovery_testing::{FakeDns, Pod, Service};
use tests::{addrs, brisk, in_pod, log, until, until_fresh, until_stale};

use crate::{
    client, ms,
    script::{Registry, json, page, record, status},
};

/// A source that fetches every 50 ms.
fn source(registry: &Registry) -> EurekaSourceBuilder {
    EurekaSource::builder(&client(), registry.url()).fetch_interval(ms(50))
}

/// A resolver that asks the source first, then DNS.
fn resolver(source: &EurekaSource, dns: &FakeDns) -> Resolver {
    in_pod(dns, "shop").refresh(brisk()).source(Arc::new(source.clone())).build().unwrap()
}

fn up(port: u16) -> String {
    record("RATES", &format!("rates-{port}"), port, "UP")
}

async fn until_addrs(upstream: &Upstream, wanted: &[&str]) {
    until(upstream, &format!("{wanted:?}"), |set| addrs(set) == wanted).await;
}

async fn until_counts(source: &EurekaSource, what: &str, is: impl Fn(&EurekaSource) -> bool) {
    crate::until(what, || async { is(source) }).await;
}

#[tokio::test]
async fn fetches_everything_first_then_deltas() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    registry.on("GET", "apps", json(page("UP_1_", &[("RATES", &[up(1)])]))).await;
    registry.on("GET", "apps/delta", json(page("UP_1_", &[]))).await;
    let source = source(&registry).build().unwrap();
    let rates = resolver(&source, &dns).resolve("http://rates").await.unwrap();
    assert_eq!(addrs(&rates.endpoints()), ["127.0.0.1:1"]);
    assert_eq!(rates.endpoints()[0].identity().uid(), Some("rates-1"));
    until_counts(&source, "deltas", |source| source.counts().delta >= 2).await;

    // The server lists a change for three minutes, so that it comes with every delta.
    registry.on("GET", "apps/delta", json(page("UP_2_", &[("RATES", &[up(2)])]))).await;
    until_addrs(&rates, &["127.0.0.1:1", "127.0.0.1:2"]).await;
    let gone = up(1).replace("ADDED", "DELETED");
    registry.on("GET", "apps/delta", json(page("UP_1_", &[("RATES", &[gone])]))).await;
    until_addrs(&rates, &["127.0.0.1:2"]).await;
    assert_eq!(registry.count("GET apps/delta").await + 1, registry.asked().await.len(), "one full answer");
    assert_eq!(source.counts().mismatched, 0);
}

#[tokio::test]
async fn a_hash_mismatch_fetches_everything() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    registry.on("GET", "apps", json(page("UP_1_", &[("RATES", &[up(1)])]))).await;
    registry.on("GET", "apps/delta", json(page("UP_2_", &[]))).await;
    let source = source(&registry).build().unwrap();
    let rates = resolver(&source, &dns).upstream("http://rates").unwrap();
    rates.first_answer().await.unwrap();
    registry.on("GET", "apps", json(page("UP_2_", &[("RATES", &[up(1), up(2)])]))).await;
    until_addrs(&rates, &["127.0.0.1:1", "127.0.0.1:2"]).await;
    assert!(source.counts().mismatched >= 1);
}

#[tokio::test]
async fn a_missing_or_malformed_delta_fetches_everything() {
    for delta in [status(403), status(404), json("<applications/>"), json(r#"{"applications":null}"#)] {
        let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
        registry.on("GET", "apps", json(page("UP_1_", &[("RATES", &[up(1)])]))).await;
        registry.on("GET", "apps/delta", delta).await;
        let source = source(&registry).build().unwrap();
        let rates = resolver(&source, &dns).resolve("http://rates").await.unwrap();
        until_counts(&source, "full fetches", |source| source.counts().full >= 3).await;
        assert!(!rates.endpoints().is_stale());
        assert_eq!(source.counts().failed, 0);
    }
}

/// The Netflix WAR answers 406 to a client that does not accept gzip, and compresses everything.
#[tokio::test]
async fn reads_compressed_answers() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(page("UP_1_", &[("RATES", &[up(1)])]).as_bytes()).unwrap();
    let compressed = json(encoder.finish().unwrap()).insert_header("content-encoding", "gzip");
    registry.on("GET", "apps", compressed).await;
    registry.on("GET", "apps/delta", json(page("UP_1_", &[]))).await;
    let source = source(&registry).build().unwrap();
    let rates = resolver(&source, &dns).resolve("http://rates").await.unwrap();
    assert_eq!(addrs(&rates.endpoints()), ["127.0.0.1:1"]);
    until_counts(&source, "a delta", |source| source.counts().delta >= 1).await;
    for request in registry.requests().await {
        assert_eq!(request.headers["accept-encoding"], "gzip");
        assert_eq!(request.headers["accept"], "application/json");
    }
}

/// Kubernetes discovery is the fallback: it is queried until the registry first answers, and left as soon as it does.
#[tokio::test]
async fn dns_answers_until_the_registry_does() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::headless("shop", "rates").port("http", 80).pod(Pod::new("127.0.0.9")));
    // A server that is warming up.
    registry.on("GET", "apps", status(403)).await;
    let source = source(&registry).build().unwrap();
    let rates = resolver(&source, &dns).resolve("http://rates").await.unwrap();
    assert_eq!(addrs(&rates.endpoints()), ["127.0.0.9:80"]);
    let why = rates.explain().to_string();
    assert!(
        why.contains("eureka: failed") && why.contains("with 403") && why.contains("dns: 1 endpoint  <- won"),
        "{why}"
    );
    registry.on("GET", "apps", json(page("UP_1_", &[("RATES", &[up(1)])]))).await;
    registry.on("GET", "apps/delta", json(page("UP_1_", &[]))).await;
    until_addrs(&rates, &["127.0.0.1:1"]).await;
}

#[tokio::test]
async fn an_explanation_never_shows_credentials() {
    let log = log::capture(tracing::Level::TRACE);
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    registry.on("GET", "apps", status(401)).await;
    let url = format!("http://clerk:pa55w%40rd@{}/eureka,http://clerk:pa55w%40rd@127.0.0.1:9/eureka", registry.addr());
    let builder = EurekaSource::builder(&client(), url);
    let mut texts = vec![format!("{builder:?}")];
    let source = builder.build().unwrap();
    let rates = resolver(&source, &dns).upstream("http://rates").unwrap();
    let error = rates.first_answer().await.unwrap_err();
    assert_eq!(registry.requests().await[0].headers["authorization"], "Basic Y2xlcms6cGE1NXdAcmQ=");
    texts.extend([error.to_string(), format!("{error:?}"), rates.explain().to_string(), format!("{source:?}")]);
    for text in texts {
        assert!(!text.contains("pa55w") && !text.contains("clerk") && !text.contains("Y2xlcms6"), "{text}");
    }
    assert!(!log.containing(&registry.addr().to_string()).is_empty(), "the address was logged");
    for secret in ["pa55w", "Y2xlcms6"] {
        assert_eq!(log.containing(secret), Vec::<String>::new());
    }
}

#[tokio::test]
async fn leaves_unregistered_names_to_dns() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::headless("shop", "orders").port("http", 80).pod(Pod::new("127.0.0.9")));
    registry.on("GET", "apps", json(page("UP_1_", &[("RATES", &[up(1)])]))).await;
    let source = source(&registry).build().unwrap();
    let resolver = resolver(&source, &dns);
    for name in ["http://orders", "http://orders.shop", "http://orders.shop.svc"] {
        let orders = resolver.resolve(name).await.unwrap();
        assert_eq!(addrs(&orders.endpoints()), ["127.0.0.9:80"], "{name}");
    }
    let error = resolver.resolve("http://nowhere").await.unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert!(error.to_string().contains("neither a VIP nor an application"), "{error}");
}

/// A record of `app` that claims a VIP.
fn claim(app: &str, vip: &str, port: u16) -> String {
    let own = format!("\"{}\"", app.to_lowercase());
    record(app, &format!("{app}-{vip}-{port}"), port, "UP").replace(&own, &format!("\"{vip}\""))
}

/// Anyone may register, so a registry must not say where Services and hosts are.
#[tokio::test]
async fn a_registrant_cannot_take_the_name_of_a_service_or_host() {
    let names = [
        "orders.shop",
        "orders.shop.svc",
        "kubernetes.default.svc",
        "api.example.com",
        "orders.shop.svc.cluster.local",
    ];
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::headless("shop", "orders").port("http", 80).pod(Pod::new("127.0.0.9")));
    let records: Vec<_> = names.iter().zip(1..).map(|(name, port)| claim("EVIL", name, port)).collect();
    let named_so: Vec<_> = names.iter().zip(21..).map(|(name, port)| record(name, "x", port, "UP")).collect();
    let mut apps = vec![("EVIL", &records[..])];
    apps.extend(names.iter().zip(named_so.chunks(1)).map(|(name, record)| (*name, record)));
    registry.on("GET", "apps", json(page("UP_10_", &apps))).await;
    let default = source(&registry).build().unwrap();
    let resolver_of = resolver(&default, &dns);
    for name in names {
        let found = resolver_of.resolve(format!("http://{name}").as_str()).await;
        let found = found.map(|upstream| addrs(&upstream.endpoints())).unwrap_or_default();
        let wanted: &[&str] = if name.starts_with("orders") { &["127.0.0.9:80"] } else { &[] };
        assert_eq!(found, wanted, "{name}");
    }
    // The application may choose otherwise.
    let chosen = source(&registry).names(|name| name == "api.example.com").build().unwrap();
    let chosen = resolver(&chosen, &dns);
    let host = chosen.resolve("http://API.example.com").await.unwrap();
    assert_eq!(addrs(&host.endpoints()), ["127.0.0.1:24"]);
    let orders = chosen.resolve("http://orders.shop.svc").await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["127.0.0.9:80"]);
}

/// One warning names both applications, whatever the number of fetches.
#[tokio::test]
async fn an_application_keeps_its_name_when_others_claim_it() {
    let log = log::capture(tracing::Level::TRACE);
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    let rates = [claim("PRICES", "prices", 1)];
    registry.on("GET", "apps/delta", status(403)).await;
    registry.on("GET", "apps", json(page("UP_1_", &[("PRICES", &rates)]))).await;
    let source = source(&registry).build().unwrap();
    let resolver = resolver(&source, &dns);
    let prices = resolver.resolve("http://prices").await.unwrap();
    for ports in [2_u16, 3] {
        let evil = [claim("EVIL\u{202e}", "prices", ports), claim("EVIL\u{202e}", "free", ports)];
        let apps = [("PRICES", &rates[..]), ("EVIL\u{202e}", &evil[..])];
        registry.on("GET", "apps", json(page("UP_3_", &apps))).await;
        let before = source.counts().full;
        until_counts(&source, "fetched again", |source| source.counts().full >= before + 3).await;
        assert_eq!(addrs(&prices.endpoints()), ["127.0.0.1:1"]);
    }
    let free = resolver.resolve("http://free").await.unwrap();
    assert_eq!(addrs(&free.endpoints()), ["127.0.0.1:3"], "the VIP of one application");
    let conflict = "the applications `EVIL`, `PRICES` claim the name; `PRICES` wins, which has that name";
    crate::until("the conflict is explained", || async { prices.explain().to_string().contains(conflict) }).await;
    let said = log.containing("`PRICES` claim the name");
    assert!(said.len() == 1 && said[0].contains(conflict), "{said:?}");
}

/// A registrant that claims the VIP of another application cannot take its traffic, and cannot end it.
#[tokio::test]
async fn a_vip_of_two_applications_keeps_its_known_endpoints() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    registry.on("GET", "apps/delta", status(403)).await;
    let own = [claim("SHOP", "orders", 1)];
    registry.on("GET", "apps", json(page("UP_1_", &[("SHOP", &own)]))).await;
    let default = source(&registry).build().unwrap();
    let orders = resolver(&default, &dns).resolve("http://orders").await.unwrap();
    let evil = [claim("EVIL", "orders", 2)];
    registry.on("GET", "apps", json(page("UP_2_", &[("SHOP", &own), ("EVIL", &evil)]))).await;
    until_stale(&orders).await;
    assert_eq!(addrs(&orders.endpoints()), ["127.0.0.1:1"]);
    assert!(orders.explain().to_string().contains("none of them has that name"), "{}", orders.explain());
    let shared = source(&registry).names(|name| name == "orders").build().unwrap();
    let orders = resolver(&shared, &dns).resolve("http://orders").await.unwrap();
    let mut both = addrs(&orders.endpoints());
    both.sort();
    assert_eq!(both, ["127.0.0.1:1", "127.0.0.1:2"]);
}

/// An operator has taken all instances out of service: no later source may find them.
#[tokio::test]
async fn an_application_without_up_instances_is_an_empty_set() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::headless("shop", "rates").port("http", 80).pod(Pod::new("127.0.0.9")));
    let down = record("RATES", "rates-1", 1, "OUT_OF_SERVICE");
    registry.on("GET", "apps", json(page("OUT_OF_SERVICE_1_", &[("RATES", &[down])]))).await;
    let source = source(&registry).build().unwrap();
    let error = resolver(&source, &dns).resolve("http://rates").await.unwrap_err();
    assert!(error.is_no_endpoints() && error.to_string().contains("1 instances, 0 up"), "{error}");
    assert_eq!(dns.total(), 0);
}

#[tokio::test]
async fn keeps_endpoints_while_the_registry_is_down() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::headless("shop", "rates").port("http", 80).pod(Pod::new("127.0.0.9")));
    registry
        .on("GET", "apps", json(page("UP_2_", &[("RATES", &[up(1)]), ("OTHER", &[record("OTHER", "o", 2, "UP")])])))
        .await;
    registry.on("GET", "apps/delta", json(page("UP_2_", &[]))).await;
    let source = source(&registry).build().unwrap();
    let resolver = resolver(&source, &dns);
    let rates = resolver.resolve("http://rates").await.unwrap();
    registry.forget().await;
    registry.on("GET", "apps.*", status(500)).await;
    until_stale(&rates).await;
    assert_eq!(addrs(&rates.endpoints()), ["127.0.0.1:1"]);
    // A first lookup returns the known endpoints as well.
    let other = resolver.resolve("http://other").await.unwrap();
    assert_eq!(addrs(&other.endpoints()), ["127.0.0.1:2"]);
    registry.on("GET", "apps.*", json(page("UP_1_", &[("RATES", &[up(1)])]))).await;
    until_fresh(&rates).await;
}

/// As with any other source: after `max_stale` without an answer the next source takes over.
#[tokio::test]
async fn dns_takes_over_after_max_stale() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::headless("shop", "rates").port("http", 80).pod(Pod::new("127.0.0.9")));
    registry.on("GET", "apps", json(page("UP_1_", &[("RATES", &[up(1)])]))).await;
    registry.on("GET", "apps/delta", json(page("UP_1_", &[]))).await;
    let source = source(&registry).build().unwrap();
    let settings = brisk().with_max_stale(ms(300));
    let resolver = in_pod(&dns, "shop").refresh(settings).source(Arc::new(source.clone())).build().unwrap();
    let rates = resolver.resolve("http://rates").await.unwrap();
    assert_eq!(addrs(&rates.endpoints()), ["127.0.0.1:1"]);
    registry.on("GET", "apps.*", status(500)).await;
    until_addrs(&rates, &["127.0.0.9:80"]).await;
    registry.on("GET", "apps.*", json(page("UP_1_", &[("RATES", &[up(2)])]))).await;
    until_addrs(&rates, &["127.0.0.1:2"]).await;
}

/// Ten thousand instances are some megabytes, decompressed and parsed beside the other tasks.
#[tokio::test]
async fn reads_a_large_registry() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    let records: Vec<_> = (1..=10_000).map(up).collect();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(page("UP_10000_", &[("RATES", &records)]).as_bytes()).unwrap();
    registry.on("GET", "apps", json(encoder.finish().unwrap()).insert_header("content-encoding", "gzip")).await;
    let source = source(&registry).fetch_interval(Duration::from_secs(600)).build().unwrap();
    let rates = resolver(&source, &dns).upstream("http://rates").unwrap();
    until(&rates, "all of them", |set| set.len() == 10_000).await;
    assert_eq!(registry.asked().await, ["GET apps"]);
}

#[tokio::test]
async fn keeps_endpoints_for_a_while_when_the_registry_was_emptied() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    registry.on("GET", "apps", json(page("", &[]))).await;
    registry.on("GET", "apps/delta", json(page("", &[]))).await;
    registry.next(1, "GET", "apps", json(page("UP_2_", &[("RATES", &[up(1), up(2)])]))).await;
    let source = source(&registry).max_stale(ms(1500)).build().unwrap();
    let rates = resolver(&source, &dns).resolve("http://rates").await.unwrap();
    until_counts(&source, "the emptied registry", |source| source.counts().emptied == 1).await;
    until_counts(&source, "further fetches", |source| source.counts().full >= 4).await;
    assert_eq!(rates.endpoints().len(), 2);
    assert!(rates.explain().to_string().contains("although the registry lost them"), "{}", rates.explain());
    until_addrs(&rates, &[]).await;
}

/// `disable-delta=true` on the server. A removed instance stayed for `max_stale`.
#[tokio::test]
async fn a_server_without_deltas_removes_instances_at_once() {
    for delta in [status(403), status(404), status(405), status(501), json("<applications/>")] {
        let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
        registry.on("GET", "apps", json(page("UP_2_", &[("RATES", &[up(1), up(2), up(3)])]))).await;
        registry.on("GET", "apps/delta", delta).await;
        let source = source(&registry).max_stale(Duration::from_secs(600)).build().unwrap();
        let rates = resolver(&source, &dns).resolve("http://rates").await.unwrap();
        assert_eq!(rates.endpoints().len(), 3);
        registry.on("GET", "apps", json(page("UP_1_", &[("RATES", &[up(1)])]))).await;
        until_addrs(&rates, &["127.0.0.1:1"]).await;
        registry.on("GET", "apps", json(page("", &[]))).await;
        until_addrs(&rates, &[]).await;
        assert_eq!((source.counts().emptied, source.counts().failed), (0, 0));
    }
}

/// A login page answers 200, at the registry's URL or after a redirect.
#[tokio::test]
async fn a_login_page_is_named_with_url_status_and_content_type() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    let login = wiremock::ResponseTemplate::new(200).set_body_raw("<html>Sign in</html>", "text/html;charset=UTF-8");
    registry.on("GET", "login", login.clone()).await;
    let location = format!("{}/login?ticket=s3cret", registry.url());
    for (answer, at) in [(login, "/eureka/apps"), (status(302).insert_header("location", location), "/eureka/login")] {
        registry.on("GET", "apps", answer).await;
        let source = source(&registry).build().unwrap();
        let rates = resolver(&source, &dns).upstream("http://rates").unwrap();
        let error = rates.first_answer().await.unwrap_err().to_string();
        let expected = format!("http://{}{at}", registry.addr());
        for text in [&*expected, "200", "text/html", "GET apps"] {
            assert!(error.contains(text), "{text}: {error}");
        }
        assert!(!error.contains("s3cret") && !error.contains("Sign in"), "{error}");
    }
}

/// A record with a host name was dropped, or dialed by its inner address.
#[tokio::test]
async fn dials_an_instance_by_its_host_name() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::headless("vm", "rates-a").port("http", 8080).pod(Pod::new("127.0.0.7")));
    let named = up(1).replace(r#""hostName":"127.0.0.1""#, r#""hostName":"rates-a.vm""#);
    let without_ip = named.replace(r#""ipAddr":"127.0.0.1""#, r#""ipAddr":null"#);
    let client = discovery_reqwest::Client::new(in_pod(&dns, "shop").refresh(brisk()).build().unwrap());
    for (record, prefer_ip_address, wanted) in
        [(&named, true, "127.0.0.1:1"), (&named, false, "127.0.0.7:1"), (&without_ip, true, "127.0.0.7:1")]
    {
        registry.on("GET", "apps", json(page("UP_1_", &[("RATES", std::slice::from_ref(record))]))).await;
        registry.on("GET", "apps/delta", json(page("UP_1_", &[]))).await;
        let builder = EurekaSource::builder(&client, registry.url()).fetch_interval(ms(50));
        let source = builder.prefer_ip_address(prefer_ip_address).build().unwrap();
        let rates = resolver(&source, &dns).resolve("http://rates").await.unwrap();
        assert_eq!(addrs(&rates.endpoints()), [wanted], "prefer_ip_address {prefer_ip_address}");
        assert_eq!(rates.endpoints()[0].identity().uid(), Some("rates-1"));
        if wanted == "127.0.0.7:1" && prefer_ip_address {
            // The host moves.
            dns.apply(Service::headless("vm", "rates-a").port("http", 8080).pod(Pod::new("127.0.0.8")));
            until_addrs(&rates, &["127.0.0.8:1"]).await;
        }
    }
}

/// The name must match exactly, and every fetch is a full one.
#[tokio::test]
async fn fetches_one_vip_alone() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::headless("shop", "orders").port("http", 80).pod(Pod::new("127.0.0.9")));
    // Another application claims the VIP.
    let other = record("RATES-V2", "v2", 2, "UP").replace(r#""rates-v2""#, r#""rates,rates-v2""#);
    registry.on("GET", "vips/rates", json(page("UP_2_", &[("RATES", &[up(1)]), ("RATES-V2", &[other])]))).await;
    let source = source(&registry).vip("rates").build().unwrap();
    let resolver = resolver(&source, &dns);
    let rates = resolver.resolve("http://Rates").await.unwrap();
    assert_eq!(addrs(&rates.endpoints()), ["127.0.0.1:1"], "the application owns its name");
    until_counts(&source, "fetched again", |source| source.counts().full >= 3).await;
    assert_eq!(registry.count("GET vips/rates").await, registry.asked().await.len());
    let orders = resolver.resolve("http://orders").await.unwrap();
    assert!(!orders.explain().to_string().contains("neither a VIP"), "not applicable to other names");
    // The answer of a server for a VIP without instances.
    registry
        .on(
            "GET",
            "vips/rates",
            json(r#"{"applications":{"versions__delta":"-1","apps__hashcode":"","application":[]}}"#),
        )
        .await;
    until_addrs(&rates, &[]).await;
}

#[tokio::test]
async fn picks_the_own_zone_first() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    let zone = |port: u16, zone: &str| {
        up(port).replace(r#""@class":"java.util.Collections$EmptyMap""#, &format!(r#""zone":"{zone}""#))
    };
    registry.on("GET", "apps", json(page("UP_2_", &[("RATES", &[zone(1, "a"), zone(2, "b")])]))).await;
    let source = source(&registry).zone("b").build().unwrap();
    let rates = resolver(&source, &dns).resolve("http://rates").await.unwrap();
    assert_eq!(rates.endpoints().len(), 2);
    for _ in 0..20 {
        assert_eq!(rates.pick().unwrap().endpoint().zone(), Some("b"));
    }
}

#[tokio::test]
async fn fetches_nothing_while_no_handle_exists() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    registry.on("GET", "apps.*", json(page("UP_1_", &[("RATES", &[up(1)])]))).await;
    let source = source(&registry).build().unwrap();
    let resolver = resolver(&source, &dns);
    tokio::time::sleep(ms(200)).await;
    assert!(registry.asked().await.is_empty());
    let rates = resolver.resolve("http://rates").await.unwrap();
    let other = resolver.upstream("http://other").unwrap();
    drop(rates);
    let asked = registry.asked().await.len();
    crate::until("fetches for the other name", || async { registry.asked().await.len() > asked + 2 }).await;
    drop(other);
    // A fetch may still be under way.
    tokio::time::sleep(ms(200)).await;
    let asked = registry.asked().await.len();
    tokio::time::sleep(ms(300)).await;
    assert_eq!(registry.asked().await.len(), asked);
    resolver.resolve("http://rates").await.unwrap();
    assert!(registry.asked().await.len() > asked, "the old answer is fetched again before it is used");
}

#[tokio::test]
async fn a_hundred_names_cost_one_fetch() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    let apps: Vec<_> =
        (0..100_u16).map(|n| (format!("APP-{n}"), [record(&format!("APP-{n}"), "1", n + 1, "UP")])).collect();
    let apps: Vec<_> = apps.iter().map(|(name, records)| (name.as_str(), &records[..])).collect();
    registry.on("GET", "apps", json(page("UP_100_", &apps))).await;
    let source = source(&registry).fetch_interval(Duration::from_secs(600)).build().unwrap();
    let resolver = resolver(&source, &dns);
    for n in 0..100 {
        let app = resolver.resolve(format!("http://app-{n}").as_str()).await.unwrap();
        assert_eq!(addrs(&app.endpoints()), [format!("127.0.0.1:{}", n + 1)]);
    }
    assert_eq!(registry.asked().await, ["GET apps"]);
    assert_eq!(source.name(), "eureka");
}

#[tokio::test]
async fn fetching_moves_to_another_runtime() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    registry.on("GET", "apps", json(page("UP_1_", &[("RATES", &[up(1)])]))).await;
    registry.on("GET", "apps/delta", json(page("UP_1_", &[]))).await;
    let source = source(&registry).build().unwrap();
    let resolver = resolver(&source, &dns);
    let first = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let rates = first.spawn({
        let resolver = resolver.clone();
        async move { resolver.resolve("http://rates").await.unwrap() }
    });
    let rates = rates.await.unwrap();
    first.shutdown_background();
    registry.forget().await;
    registry.on("GET", "apps.*", json(page("UP_1_", &[("RATES", &[up(7)])]))).await;
    // Using the upstream on this runtime starts the work here.
    crate::until("the new record", || async { addrs(&rates.endpoints()).contains(&"127.0.0.1:7".to_owned()) }).await;
}
