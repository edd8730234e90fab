//! Which instances of an application are used.

use std::sync::Arc;

use discovery_core::{Resolver, Upstream};
use discovery_eureka::{EurekaSource, EurekaSourceBuilder};
use discovery_testing::{FakeDns, Pod, Service};
use tests::{addrs, brisk, in_pod, until};

use crate::{
    client, ms,
    script::{Registry, json, page, record},
};

fn source(registry: &Registry) -> EurekaSourceBuilder {
    EurekaSource::builder(&client(), registry.url()).fetch_interval(ms(50)).disable_delta()
}

fn resolver(source: &EurekaSource, dns: &FakeDns) -> Resolver {
    in_pod(dns, "shop").refresh(brisk()).source(Arc::new(source.clone())).build().unwrap()
}

/// A record with metadata in place of the empty map.
fn version(port: u16, version: &str, track: &str) -> String {
    let metadata = format!(r#"{{"version":"{version}","track":"{track}"}}"#);
    record("RATES", &format!("rates-{port}"), port, "UP")
        .replace(r#"{"@class":"java.util.Collections$EmptyMap"}"#, &metadata)
}

async fn serve(registry: &Registry, records: &[String]) {
    registry.on("GET", "apps", json(page("", &[("RATES", records)]))).await;
}

async fn until_addrs(upstream: &Upstream, wanted: &[&str]) {
    until(upstream, &format!("{wanted:?}"), |set| addrs(set) == wanted).await;
}

#[tokio::test]
async fn uses_instances_with_this_metadata() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    // DNS knows the name too, and is not asked.
    dns.apply(Service::headless("shop", "rates").port("http", 9).pod(Pod::new("127.0.0.9")));
    serve(&registry, &[version(1, "1", "stable"), version(2, "2", "stable"), version(3, "2", "canary")]).await;
    let source = source(&registry).metadata("version", "2").build().unwrap();
    let rates = resolver(&source, &dns).resolve("http://rates").await.unwrap();
    assert_eq!(addrs(&rates.endpoints()), ["127.0.0.1:2", "127.0.0.1:3"]);
    // An instance that changes its metadata is taken in or left out.
    serve(&registry, &[version(1, "2", "stable"), version(2, "3", "stable"), version(3, "2", "canary")]).await;
    until_addrs(&rates, &["127.0.0.1:1", "127.0.0.1:3"]).await;
    serve(&registry, &[version(1, "1", "stable")]).await;
    until_addrs(&rates, &[]).await;
    let explanation = rates.explain().to_string();
    assert!(explanation.contains("of 0 that meet the conditions of the source"), "{explanation}");
    assert_eq!(source.instances("rates").len(), 1, "the list has all instances");
}

/// Two clients of one process: most requests go to the stable version, some to the canary.
#[tokio::test]
async fn sources_of_one_registry_share_its_cache() {
    let (registry, dns) = (Registry::start().await, FakeDns::start().await.unwrap());
    serve(&registry, &[version(1, "1", "stable"), version(2, "2", "canary")]).await;
    let all = source(&registry).fetch_interval(std::time::Duration::from_secs(3600)).build().unwrap();
    let is = |track: &'static str| move |instance: &discovery_eureka::Instance| instance.metadata["track"] == track;
    let (stable, canary) = (all.matching(is("stable")), all.matching(is("canary")));
    let upstreams = [
        (resolver(&stable, &dns).resolve("http://rates").await.unwrap(), &["127.0.0.1:1"][..]),
        (resolver(&canary, &dns).resolve("http://rates").await.unwrap(), &["127.0.0.1:2"]),
        (resolver(&all, &dns).resolve("http://rates").await.unwrap(), &["127.0.0.1:1", "127.0.0.1:2"]),
    ];
    for (upstream, wanted) in &upstreams {
        assert_eq!(addrs(&upstream.endpoints()), *wanted);
    }
    assert_eq!(registry.asked().await, ["GET apps"], "fetched once for all of them");
}
