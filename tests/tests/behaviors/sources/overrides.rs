//! `DISCOVERY_OVERRIDES` and its file send the requests for a name elsewhere, whatever the other sources know.

use std::{fs, path::PathBuf};

use discovery_core::{Environment, Resolver};
use discovery_testing::{FakeDns, Pod, Service};
use tests::{addrs, in_pod_with, refusal, until, within};

async fn dns() -> FakeDns {
    let dns = FakeDns::start().await.unwrap();
    dns.apply(Service::cluster_ip("shop", "orders").ip("10.96.0.1").port("http", 80).port("metrics", 9090));
    dns.apply(Service::cluster_ip("billing", "orders").ip("10.96.0.2").port("http", 80));
    dns.apply(Service::headless("shop", "nginx").port("http", 80).pod(Pod::new("10.0.0.1")));
    dns
}

async fn found(resolver: &Resolver, target: &str) -> (Vec<String>, &'static str) {
    let upstream = within(target, resolver.resolve(target)).await.expect(target);
    (addrs(&upstream.endpoints()), upstream.explain().winner.unwrap())
}

#[tokio::test]
async fn an_override_wins_over_variables_and_dns() {
    let dns = dns().await;
    let mut vars = dns.service_env("shop");
    let overrides = "orders:metrics=127.0.0.1:9, orders.billing=127.0.0.1:1,127.0.0.1:2; api.example.com=nginx:80";
    vars.insert("DISCOVERY_OVERRIDES".to_owned(), overrides.to_owned());
    let vars = vars.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let resolver = in_pod_with(&dns, "shop", vars).build().unwrap();
    for (target, addrs, winner) in [
        ("orders:metrics", &["127.0.0.1:9"][..], "overrides"),
        ("http://orders.billing.svc.cluster.local/", &["127.0.0.1:1", "127.0.0.1:2"], "overrides"),
        ("http://orders/", &["10.96.0.1:80"], "env"),
        ("nginx:80", &["10.0.0.1:80"], "dns"),
        ("https://api.example.com/", &["10.0.0.1:80"], "overrides"),
    ] {
        let expected: Vec<String> = addrs.iter().map(|addr| (*addr).to_owned()).collect();
        assert_eq!(found(&resolver, target).await, (expected, winner), "{target}");
    }
    let metrics = within("the override", resolver.resolve("orders:metrics")).await.unwrap();
    let explained = metrics.explain().to_string();
    assert!(explained.contains("DISCOVERY_OVERRIDES: orders:metrics=127.0.0.1:9"), "{explained}");
}

#[tokio::test]
async fn an_override_that_cannot_be_found_does_not_reach_the_real_service() {
    let dns = dns().await;
    let vars = [("DISCOVERY_OVERRIDES", "orders=missing.shop:80")];
    let resolver = in_pod_with(&dns, "shop", vars).build().unwrap();
    let upstream = resolver.upstream("http://orders/").unwrap();
    let error = refusal(&resolver, "http://orders/").await;
    assert!(error.to_string().contains("http://orders"), "{error}");
    let explained = upstream.explain().to_string();
    assert!(explained.contains("orders=missing.shop:80") && !explained.contains("10.96.0.1"), "{explained}");
}

struct OverridesFile(PathBuf);

impl OverridesFile {
    fn write(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("overrides-{}-{name}", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn replace(&self, text: &str) {
        let next = self.0.with_extension("next");
        fs::write(&next, text).unwrap();
        fs::rename(&next, &self.0).unwrap();
    }
}

impl Drop for OverridesFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn an_edit_of_the_file_moves_the_requests_of_a_running_program() {
    let dns = dns().await;
    let file = OverridesFile::write("edit", "# nothing yet\n");
    let vars = [("DISCOVERY_OVERRIDES_FILE", file.0.to_str().unwrap())];
    let resolver = in_pod_with(&dns, "shop", vars).build().unwrap();
    let upstream = within("DNS", resolver.resolve("nginx:80")).await.unwrap();
    assert_eq!(addrs(&upstream.endpoints()), ["10.0.0.1:80"]);
    file.replace("nginx = 127.0.0.1:8080 # mine\n");
    until(&upstream, "the override", |set| addrs(set) == ["127.0.0.1:8080"]).await;
    file.replace("nginx = 127.0.0.1:8080, localhost\n");
    until(&upstream, "a second address", |set| set.len() == 2).await;
    file.replace("");
    until(&upstream, "DNS again", |set| addrs(set) == ["10.0.0.1:80"]).await;
}

#[test]
fn a_wrong_override_is_an_error_of_the_configuration() {
    for (name, value, wanted) in [
        ("DISCOVERY_OVERRIDES", "orders:127.0.0.1", "it has no `=`"),
        ("DISCOVERY_OVERRIDES_FILE", "/nonexistent/overrides", "the file does not exist"),
    ] {
        let environment = Environment::empty().with_env([(name, value)]);
        let error = Resolver::builder().environment(environment).build().unwrap_err();
        let text = error.to_string();
        assert!(error.is_config() && text.contains(name) && text.contains(wanted), "{text}");
    }
}
