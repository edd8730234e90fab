//! A registration, request by request.

use std::time::{Duration, Instant};

use discovery_eureka::{Registration, RegistrationBuilder, Status};
use serde_json::{Value, json};

use tests::{error_texts, log, within};

use crate::{client, ms, script, script::Registry, until};

const PORT: u16 = 8080;

/// A pod at 127.0.0.1 with a heartbeat every 50 ms.
fn builder(url: &str) -> RegistrationBuilder {
    Registration::builder(&client(), url, "Rates")
        .ip([127, 0, 0, 1].into())
        .port(PORT)
        .lease(ms(50), Duration::from_secs(90))
        .env([("POD_NAME", "rates-0"), ("POD_NAMESPACE", "shop"), ("POD_UID", "")])
}

const ID: &str = "rates-0:rates:8080:127.0.0.1";

#[tokio::test]
async fn registers_reads_back_sends_heartbeats_and_deregisters() {
    let registry = Registry::start().await;
    registry.accepts_all(PORT).await;
    let registration = builder(&format!("{}/", registry.url())).zone("a").register().await.unwrap();
    within("settled", registration.settled()).await.unwrap();
    assert_eq!((registration.id(), registration.app()), (ID, "RATES"));
    until("two heartbeats", || async { registry.count("PUT").await >= 2 }).await;
    within("shut down", registration.shutdown(Duration::ZERO)).await.unwrap();
    tokio::time::sleep(ms(200)).await;

    let asked = registry.asked().await;
    assert_eq!(asked[..2], ["POST apps/RATES".to_owned(), format!("GET apps/RATES/{ID}")]);
    assert!(asked[2..asked.len() - 1].iter().all(|asked| *asked == format!("PUT apps/RATES/{ID}")), "{asked:?}");
    assert_eq!(*asked.last().unwrap(), format!("DELETE apps/RATES/{ID}"));

    let requests = registry.requests().await;
    for request in &requests {
        let header = |name| request.headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(header("accept"), Some("application/json"));
        assert_eq!(header("discoveryidentity-name"), Some("DefaultClient"));
        assert_eq!(header("discoveryidentity-version"), Some("1.4"));
        assert_eq!(header("discoveryidentity-id"), Some("127.0.0.1"));
        assert_eq!(header("authorization"), None);
    }
    let post = &requests[0];
    assert_eq!(post.headers["content-type"], "application/json");
    let body: Value = serde_json::from_slice(&post.body).unwrap();
    let sent = &body["instance"];
    let dirty = sent["lastDirtyTimestamp"].as_str().unwrap();
    assert!(dirty.parse::<u64>().unwrap() > 1_700_000_000_000, "milliseconds: {dirty}");
    let expected = json!({
        "instanceId": ID, "hostName": "127.0.0.1", "app": "RATES", "ipAddr": "127.0.0.1",
        "status": "UP", "overriddenstatus": "UNKNOWN",
        "port": {"$": 8080, "@enabled": "true"}, "securePort": {"$": 443, "@enabled": "false"}, "countryId": 1,
        "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
        "leaseInfo": {"renewalIntervalInSecs": 1, "durationInSecs": 90},
        "metadata": {"kubernetes.namespace": "shop", "kubernetes.pod": "rates-0", "zone": "a"},
        "homePageUrl": "http://127.0.0.1:8080/", "vipAddress": "rates", "secureVipAddress": "rates",
        "isCoordinatingDiscoveryServer": "false", "lastUpdatedTimestamp": dirty, "lastDirtyTimestamp": dirty,
    });
    assert_eq!(*sent, expected);
    let query: Vec<_> = requests[2].url.query_pairs().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(query, ["status=UP".to_owned(), format!("lastDirtyTimestamp={dirty}")]);
}

#[tokio::test]
async fn a_secure_port_has_its_own_urls() {
    let registry = Registry::start().await;
    registry.accepts_all(PORT).await;
    let both = builder(&registry.url()).secure_port(8443).health_check("/health").status_page("info").vip("a,b");
    drop(both.ip([10, 0, 0, 1].into()).register().await.unwrap());
    let body: Value = serde_json::from_slice(&registry.requests().await[0].body).unwrap();
    let sent = &body["instance"];
    assert_eq!(sent["securePort"], json!({"$": 8443, "@enabled": "true"}));
    assert_eq!(sent["healthCheckUrl"], "http://10.0.0.1:8080/health");
    assert_eq!(sent["secureHealthCheckUrl"], "https://10.0.0.1:8443/health");
    assert_eq!(sent["statusPageUrl"], "http://10.0.0.1:8080/info");
    assert_eq!((&sent["vipAddress"], &sent["secureVipAddress"]), (&json!("a,b"), &json!("a,b")));
}

/// Spring and Steeltoe have absolute URLs, for a management port or another host.
#[tokio::test]
async fn absolute_urls_are_registered_as_they_are() {
    let registry = Registry::start().await;
    registry.accepts_all(PORT).await;
    let pages = |health: &str| {
        let builder = builder(&registry.url()).secure_port(8443).home_page("HTTPS://shop.example.com");
        builder.status_page("http://10.0.0.1:9090/info?a=b").health_check(health)
    };
    drop(pages("http://10.0.0.1:9090/health").register().await.unwrap());
    drop(pages("https://10.0.0.1:9090/health").register().await.unwrap());
    let posts: Vec<_> = registry.requests().await.into_iter().filter(|request| request.method == "POST").collect();
    let sent = |at: usize| serde_json::from_slice::<Value>(&posts[at].body).unwrap()["instance"].clone();
    assert_eq!(sent(0)["homePageUrl"], "https://shop.example.com/");
    assert_eq!(sent(0)["statusPageUrl"], "http://10.0.0.1:9090/info?a=b");
    let health = |at: usize| (sent(at)["healthCheckUrl"].clone(), sent(at)["secureHealthCheckUrl"].clone());
    assert_eq!(health(0), (json!("http://10.0.0.1:9090/health"), Value::Null));
    assert_eq!(health(1), (Value::Null, json!("https://10.0.0.1:9090/health")));
}

#[tokio::test]
async fn a_host_name_may_be_an_address() {
    let registry = Registry::start().await;
    registry.accepts_all(PORT).await;
    for host in ["2001:db8::7", "[2001:db8::7]", "rates_a.example.com"] {
        drop(builder(&registry.url()).host_name(host).register().await.unwrap());
        let requests = registry.requests().await;
        let post = requests.iter().rev().find(|request| request.method == "POST").unwrap();
        let sent = serde_json::from_slice::<Value>(&post.body).unwrap()["instance"].clone();
        let host = if host.contains("::") { "[2001:db8::7]" } else { host };
        assert_eq!(sent["hostName"], host);
        assert_eq!(sent["homePageUrl"], format!("http://{host}:8080/"));
    }
}

#[tokio::test]
async fn an_ipv6_host_name_has_brackets() {
    let registry = Registry::start().await;
    registry.accepts_all(PORT).await;
    drop(builder(&registry.url()).ip("2001:db8::1".parse().unwrap()).register().await.unwrap());
    let body: Value = serde_json::from_slice(&registry.requests().await[0].body).unwrap();
    assert_eq!(body["instance"]["hostName"], "[2001:db8::1]");
    assert_eq!(body["instance"]["ipAddr"], "2001:db8::1");
    assert_eq!(body["instance"]["homePageUrl"], "http://[2001:db8::1]:8080/");
}

/// At once, with a later time stamp (Netflix #914).
#[tokio::test]
async fn registers_again_when_a_heartbeat_is_unknown() {
    let registry = Registry::start().await;
    registry.accepts_all(PORT).await;
    registry.next(1, "PUT", "apps/.+", script::status(404)).await;
    let registration = builder(&registry.url()).register().await.unwrap();
    until("the second registration", || async { registration.state().lost == 1 && registration.state().is_settled() })
        .await;
    let posts: Vec<_> = registry.requests().await.into_iter().filter(|request| request.method == "POST").collect();
    let dirty = |at: usize| {
        let body: Value = serde_json::from_slice(&posts[at].body).unwrap();
        body["instance"]["lastDirtyTimestamp"].as_str().unwrap().parse::<u64>().unwrap()
    };
    assert_eq!(posts.len(), 2);
    assert!(dirty(1) > dirty(0));
}

/// Spring Cloud answers 400 with plain text, and labels it JSON.
#[tokio::test]
async fn the_error_quotes_the_text_of_a_refusal() {
    let registry = Registry::start().await;
    let refusal = wiremock::ResponseTemplate::new(400).set_body_raw("Missing hostname", "application/json");
    registry.on("POST", "apps/RATES", refusal).await;
    let error = builder(&registry.url()).required().register().await.unwrap_err();
    assert_eq!(error.status(), Some(400));
    assert!(error.to_string().contains("POST apps/RATES with 400: Missing hostname"), "{error}");
}

#[tokio::test]
async fn a_pod_starts_while_the_registry_is_down() {
    let registry = Registry::start().await;
    registry.on("POST", "apps/RATES", script::status(503)).await;
    let error = builder(&registry.url()).required().register().await.unwrap_err();
    assert_eq!(error.status(), Some(503));

    let registration = builder(&registry.url()).register().await.unwrap();
    assert!(!registration.state().registered);
    registry.accepts_all(PORT).await;
    within("the registration", registration.settled()).await.unwrap();
}

/// Another pod's record has the same id and stays, because the clock of its writer was ahead. The answer to the
/// registration is 204 nevertheless (Netflix #802).
#[tokio::test]
async fn reads_its_record_back_and_registers_again_on_a_conflict() {
    let registry = Registry::start().await;
    registry.accepts_all(PORT).await;
    let ahead = u64::MAX / 4;
    let foreign = script::record("RATES", ID, 9999, "UP")
        .replace(r#""status""#, &format!(r#""lastDirtyTimestamp":"{ahead}","status""#));
    registry.next(1, "GET", "apps/RATES/.+", script::json(format!(r#"{{"instance":{foreign}}}"#))).await;
    let registration = builder(&registry.url()).register().await.unwrap();
    within("settled", registration.settled()).await.unwrap();
    assert_eq!(registration.state().conflicts, 1);
    let second = &registry.requests().await[2];
    let body: Value = serde_json::from_slice(&second.body).unwrap();
    assert_eq!(body["instance"]["lastDirtyTimestamp"], (ahead + 1).to_string());
}

#[tokio::test]
async fn sends_status_override_and_metadata_to_their_paths() {
    let registry = Registry::start().await;
    registry.accepts_all(PORT).await;
    let registration =
        builder(&registry.url()).lease(Duration::from_secs(30), Duration::from_secs(90)).register().await.unwrap();
    within("settled", registration.settled()).await.unwrap();
    registration.set_status(Status::OutOfService);
    within("settled", registration.settled()).await.unwrap();
    registration.set_status(Status::Up);
    within("settled", registration.settled()).await.unwrap();
    registration.set_metadata("a key", "a&b=c");
    within("settled", registration.settled()).await.unwrap();
    let urls: Vec<_> = registry.requests().await[2..]
        .iter()
        .map(|r| format!("{} {}?{}", r.method, r.url.path(), r.url.query().unwrap_or_default()))
        .collect();
    let base = format!("/eureka/apps/RATES/{ID}");
    let expected = [
        format!("PUT {base}/status?value=OUT_OF_SERVICE"),
        format!("PUT {base}/status?value=UP"),
        format!("DELETE {base}/status?value=UP"),
        format!("PUT {base}/metadata?a+key=a%26b%3Dc"),
    ];
    assert_eq!(urls, expected);
}

/// Heartbeats of such an id got 400 from Tomcat, and the pod vanished.
#[tokio::test]
async fn an_id_with_any_character_is_encoded_in_the_path() {
    let registry = Registry::start().await;
    registry.accepts_all(PORT).await;
    let registration = builder(&registry.url()).instance_id("rates[0]|^:1").register().await.unwrap();
    within("settled", registration.settled()).await.unwrap();
    until("a heartbeat", || async { registry.count("PUT").await >= 1 }).await;
    within("shut down", registration.shutdown(Duration::ZERO)).await.unwrap();
    let requests = registry.requests().await;
    let body: Value = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!(body["instance"]["instanceId"], "rates[0]|^:1");
    for request in &requests[1..] {
        assert_eq!(request.url.path(), "/eureka/apps/RATES/rates%5B0%5D%7C%5E:1", "{}", request.method);
    }
}

/// The registry listed OUT_OF_SERVICE while the state said UP, and setting UP did nothing.
#[tokio::test]
async fn shows_an_operators_override_and_setting_up_removes_it() {
    let registry = Registry::start().await;
    registry.accepts_all(PORT).await;
    let registration = builder(&registry.url()).register().await.unwrap();
    within("settled", registration.settled()).await.unwrap();
    assert_eq!((registration.state().listed, registration.state().overridden()), (Some(Status::Up), None));
    let listed = |status| script::json(format!(r#"{{"instance":{}}}"#, script::record("RATES", "any", PORT, status)));
    registry.on("GET", "apps/[^/]+/.+", listed("OUT_OF_SERVICE")).await;
    until("the override", || async { registration.state().overridden() == Some(Status::OutOfService) }).await;
    assert!(registration.state().is_settled() && registration.status() == Status::Up);
    assert_eq!(registry.count("DELETE").await, 0, "the operator's override stays until the application wants UP");
    registration.set_status(Status::Up);
    within("settled", registration.settled()).await.unwrap();
    let asked = registry.asked().await;
    assert!(asked.contains(&format!("PUT apps/RATES/{ID}/status")), "{asked:?}");
    assert!(asked.contains(&format!("DELETE apps/RATES/{ID}/status")), "{asked:?}");
}

#[tokio::test]
async fn registers_again_when_metadata_cannot_be_put() {
    let registry = Registry::start().await;
    registry.accepts_all(PORT).await;
    let registration = builder(&registry.url()).register().await.unwrap();
    within("settled", registration.settled()).await.unwrap();
    // As an older server answers for an instance that it does not know.
    registry.on("PUT", "apps/[^/]+/[^/]+/metadata", script::status(500)).await;
    registration.set_metadata("color", "blue");
    within("settled", registration.settled()).await.unwrap();
    let requests = registry.requests().await;
    let last = requests.iter().rev().find(|request| request.method == "POST").unwrap();
    let body: Value = serde_json::from_slice(&last.body).unwrap();
    assert_eq!(body["instance"]["metadata"]["color"], "blue");
}

#[tokio::test]
async fn shutdown_succeeds_when_the_instance_is_unknown() {
    let registry = Registry::start().await;
    registry.accepts_all(PORT).await;
    registry.on("DELETE", "apps/.+", script::status(404)).await;
    let registration = builder(&registry.url()).register().await.unwrap();
    within("shut down", registration.shutdown(Duration::ZERO)).await.unwrap();
    assert_eq!(registry.count("DELETE").await, 1);
}

#[tokio::test]
async fn retries_a_deregistration_once() {
    let registry = Registry::start().await;
    registry.accepts_all(PORT).await;
    registry.next(1, "DELETE", "apps/.+", script::status(500)).await;
    let registration = builder(&registry.url()).register().await.unwrap();
    within("shut down", registration.shutdown(Duration::ZERO)).await.unwrap();
    assert_eq!(registry.count("DELETE").await, 2);
}

#[tokio::test]
async fn a_hanging_registry_does_not_delay_the_shutdown() {
    let registry = Registry::start().await;
    registry.accepts_all(PORT).await;
    registry.on("DELETE", "apps/.+", script::status(200).set_delay(Duration::from_secs(60))).await;
    let registration = builder(&registry.url()).register().await.unwrap();
    within("settled", registration.settled()).await.unwrap();
    let begun = Instant::now();
    let error = within("shut down", registration.shutdown(Duration::ZERO)).await.unwrap_err();
    assert!(error.is_unreachable(), "{error}");
    // Two attempts of 2 s each; the registry would take 60 s.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn reports_invalid_settings_before_it_sends_anything() {
    let registry = Registry::start().await;
    let url = registry.url();
    let rules = [
        ("port 0", builder(&url).port(0)),
        ("instance id `a/b`", builder(&url).instance_id("a/b")),
        ("instance id `..`", builder(&url).instance_id("..")),
        ("lease of", builder(&url).lease(Duration::from_secs(30), Duration::from_secs(30))),
        ("lease of", builder(&url).lease(Duration::ZERO, Duration::from_secs(30))),
        ("UNKNOWN", builder(&url).status(Status::Unknown)),
        ("host name `a:80`", builder(&url).host_name("a:80")),
        ("host name `http://a`", builder(&url).host_name("http://a")),
        ("host name `a/b`", builder(&url).host_name("a/b")),
        ("host name ``", builder(&url).host_name("")),
        ("host name `[a]`", builder(&url).host_name("[a]")),
        ("health check `ftp://a/b`", builder(&url).health_check("ftp://a/b")),
        ("health check `http://:80`", builder(&url).health_check("http://:80")),
        ("health check `http:/health`", builder(&url).health_check("http:/health")),
        ("health check `a:8080/health`", builder(&url).health_check("a:8080/health")),
        ("health check `//a/health`", builder(&url).health_check("//a/health")),
        ("home page `mailto:a`", builder(&url).home_page("mailto:a")),
        ("status page `in info`", builder(&url).status_page("in info")),
        ("home page `http://[::1/`", builder(&url).home_page("http://[::1/")),
        ("no port", Registration::builder(&client(), &*url, "rates")),
        ("application `a b`", Registration::builder(&client(), &*url, "a b").port(1)),
        ("registry URL", Registration::builder(&client(), "eureka:8761", "rates").port(1)),
    ];
    for (text, builder) in rules {
        let error = builder.register().await.unwrap_err();
        assert!(error.is_config() && error.to_string().contains(text), "{text}: {error}");
    }
    assert!(registry.asked().await.is_empty());
}

/// User and password go into a header, decoded, and nowhere else.
#[tokio::test]
async fn credentials_are_sent_and_never_shown() {
    let log = log::capture(tracing::Level::TRACE);
    let registry = Registry::start().await;
    registry.on("POST", "apps/RATES", script::status(401)).await;
    let addr = registry.addr();
    let url = format!("http://us%65r:s3cr%40t@{addr}/eureka");
    let failed = builder(&url);
    let debugged = format!("{failed:?}");
    let error = failed.required().register().await.unwrap_err();
    assert_eq!(error.status(), Some(401));
    assert_eq!(registry.count("POST").await, 1, "another connection would be refused as well");
    let sent = registry.requests().await[0].headers["authorization"].to_str().unwrap().to_owned();
    assert_eq!(sent, "Basic dXNlcjpzM2NyQHQ=", "user:s3cr@t");

    // No server listens on port 9.
    let unreachable = builder("http://user:s3cr%40t@127.0.0.1:9/eureka").register().await.unwrap();
    let state = unreachable.state();
    let broken = builder("http://user:s3cr%40t@[/eureka").register().await.unwrap_err();
    let mut texts = vec![debugged, format!("{unreachable:?}"), format!("{state:?}")];
    texts.extend([error, state.error.unwrap(), broken].map(|error| error_texts(&error)));
    for text in texts {
        assert!(!text.contains("s3cr") && !text.contains("dXNlcjpz"), "{text}");
    }
    assert!(!log.containing(&addr.to_string()).is_empty(), "the address was logged");
    assert_eq!(log.containing("s3cr"), Vec::<String>::new());
    assert_eq!(log.containing("dXNlcjpz"), Vec::<String>::new());
}
