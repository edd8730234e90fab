//! Lists and watches that an API server, or a proxy in front of it, refuses.
//!
//! What a refusal looks like: the Kubernetes API concepts page ("Efficient detection of changes", "Response
//! compression and errors"), `responsewriters.ErrorNegotiated`, and the plain text of API Priority and Fairness
//! (`tooManyRequests` in `apiserver/pkg/server/filters/priority-and-fairness.go`). What a client does with it:
//! client-go's `tools/cache/reflector.go` and `rest/request.go` (`checkWait`, `retryAfterSeconds`).

use std::time::Duration;

use discovery_testing::{FakeDns, Service};
use tests::{addrs, eventually, until};

use super::{
    objects::{service, slice},
    resolver,
    server::{Answer, ApiServer, Mode},
    source,
};

const SECOND: Duration = Duration::from_secs(1);

async fn with_orders() -> (ApiServer, FakeDns) {
    let (server, dns) = (ApiServer::start().await, FakeDns::start().await.unwrap());
    dns.apply(Service::cluster_ip("shop", "orders").ip("127.0.0.7"));
    server.apply(&service("orders", "10.96.0.7", &[("http", 80)]));
    server.apply(&slice("orders-a", "orders", ("http", 8080), &["10.0.0.1"]));
    (server, dns)
}

fn answer(to: &'static str, status: u16, body: impl Into<String>) -> Answer {
    Answer { to, status, headers: "content-type: application/json\r\n", body: body.into() }
}

/// A Status as `kubectl get --raw` and the API server's `?pretty=true` show it: one field per line.
fn status(code: u16, reason: &str, details: &str) -> String {
    format!(
        "{{\n  \"kind\": \"Status\",\n  \"apiVersion\": \"v1\",\n  \"metadata\": {{}},\n  \"status\": \
         \"Failure\",\n  \"message\": \"as the test wants it\",\n  \"reason\": \"{reason}\",\n  \"details\": \
         {{{details}}},\n  \"code\": {code}\n}}\n"
    )
}

/// Waits until the watches of Services, which the server ends after a second each, have begun this many times. That is
/// the proof that time has passed.
async fn until_service_watches(server: &ApiServer, count: usize) {
    server
        .until("watches of Services", |s| s.journal.iter().filter(|l| l.starts_with("watch services")).count() >= count)
        .await;
}

/// kube's `request_events` checks no HTTP status.
#[tokio::test]
async fn a_forbidden_watch_names_the_role_whatever_the_body() {
    for body in [
        status(403, "Forbidden", ""),
        status(403, "Forbidden", "").replace('\n', ""),
        // From proxies.
        "<html>\n<body>\nForbidden\n</body>\n</html>\n".to_owned(),
        "{\"error\": \"no\"}".to_owned(),
        "\"no\"".to_owned(),
        "no".to_owned(),
        String::new(),
    ] {
        let (server, dns) = with_orders().await;
        server.set(Mode::Answer(answer("watch", 403, body.clone())));
        let orders = resolver(source(&server), &dns).resolve("orders:80").await.unwrap();
        until(&orders, "the address from DNS", |set| addrs(set) == ["127.0.0.7:80"]).await;
        let why = orders.explain().to_string();
        assert!(why.contains("Role with the verbs get, list and watch"), "{body:?}: {why}");
        assert!(why.contains("(403 Forbidden"), "{body:?}: {why}");
        server.set(Mode::Serve);
        until(&orders, "the pods, with the Role", |set| addrs(set) == ["10.0.0.1:8080"]).await;
    }
}

/// Watches are refused for longer than `max_stale`, although lists succeed.
#[tokio::test]
async fn dns_takes_over_from_a_watch_that_is_refused_for_longer_than_max_stale() {
    let unauthorized = answer("watch", 401, status(401, "Unauthorized", ""));
    let busy = answer("watch", 429, status(429, "TooManyRequests", "\"retryAfterSeconds\": 1"));
    let plain = Answer { headers: "retry-after: 1\r\n", ..answer("watch", 429, "Too many requests\n") };
    for (refusal, why) in [
        (
            unauthorized,
            "rejected the bearer token of this pod's service account (401 Unauthorized: as the test wants it)",
        ),
        (busy, "429 TooManyRequests: as the test wants it"),
        (plain, "429 Too Many Requests: Too many requests"),
    ] {
        let (server, dns) = with_orders().await;
        server.set(Mode::Answer(refusal));
        let builder = source(&server).max_stale(Duration::from_millis(300));
        let orders = resolver(builder, &dns).resolve("orders:80").await.unwrap();
        until(&orders, "DNS answers", |set| addrs(set) == ["127.0.0.7:80"]).await;
        eventually(&orders, "the reason", |orders| orders.explain().to_string().contains(why)).await;
        server.set(Mode::Serve);
        until(&orders, "the pods again", |set| addrs(set) == ["10.0.0.1:8080"]).await;
    }
}

/// `retryAfterSeconds` in the Status says how long to wait. The header `Retry-After` of a 429 or
/// 5xx says the same (client-go `rest/request.go`, `checkWait`).
#[tokio::test]
async fn waits_as_long_as_the_api_server_asks() {
    let slices = |what: &'static str, status, headers, body: String| Answer { headers, ..answer(what, status, body) };
    let retry_after = "retry-after: 30\r\n";
    let mut servers = Vec::new();
    for what in ["watch endpointslices", "list endpointslices"] {
        for refusal in [
            slices(what, 429, "", status(429, "TooManyRequests", "\"retryAfterSeconds\": 30")),
            slices(what, 429, retry_after, "Too many requests, please try again later.\n".to_owned()),
            slices(what, 429, retry_after, String::new()),
            slices(what, 503, retry_after, "<html>\n</html>".to_owned()),
            slices(what, 500, retry_after, status(500, "InternalError", "")),
            slices(what, 504, "", status(504, "Timeout", "\"retryAfterSeconds\": 30")),
        ] {
            let (server, dns) = with_orders().await;
            server.set(Mode::Answer(refusal.clone()));
            let resolver = resolver(source(&server).watch_timeout(SECOND), &dns);
            let orders = resolver.resolve("orders:80").await.unwrap();
            servers.push((server, what, refusal, orders));
        }
    }
    for (server, what, refusal, _orders) in servers {
        until_service_watches(&server, 4).await;
        assert_eq!(server.count(what), 1, "{refusal:?}: {:#?}", server.journal());
    }
}

/// client-go doubles its wait up to 30 s, and a list between two watches does not reset the wait.
#[tokio::test]
async fn backs_off_while_every_watch_ends_at_once() {
    let mut servers = Vec::new();
    let error = status(410, "Expired", "").replace('\n', "");
    for refusal in [
        answer("watch endpointslices", 410, status(410, "Expired", "")),
        answer("watch endpointslices", 410, String::new()),
        answer("watch endpointslices", 200, format!("{{\"type\":\"ERROR\",\"object\":{error}}}\n")),
        answer("watch endpointslices", 200, String::new()),
        answer("watch endpointslices", 200, "{\"type\":\"ADDED\",\"object\":{"),
        answer("watch endpointslices", 500, status(500, "InternalError", "")),
        answer("watch endpointslices", 302, "<html>\n</html>"),
        answer("watch endpointslices", 200, "<html>\n</html>"),
    ] {
        let (server, dns) = with_orders().await;
        server.set(Mode::Answer(refusal.clone()));
        let builder = source(&server).backoff(Duration::from_millis(20), 30 * SECOND).watch_timeout(SECOND);
        let orders = resolver(builder, &dns).resolve("orders:80").await.unwrap();
        servers.push((server, refusal, orders));
    }
    for (server, refusal, orders) in servers {
        until_service_watches(&server, 4).await;
        // The waits double from 10 ms: the sixteenth watch is due after five minutes.
        let (watches, lists) = (server.count("watch endpointslices"), server.count("list endpointslices"));
        println!("{watches} watches and {lists} lists: {} {:?}", refusal.status, refusal.body.lines().next());
        assert!(watches < 16 && lists < 16, "{watches} watches, {lists} lists: {refusal:?}: {:#?}", server.journal());
        assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:8080"], "{refusal:?}");
    }
}

/// Go writes an empty list as null.
#[tokio::test]
async fn a_list_without_items_is_empty() {
    for items in [r#","items":null"#, ""] {
        let body = format!(r#"{{"kind":"EndpointSliceList","metadata":{{"resourceVersion":"1002"}}{items}}}"#);
        let (server, dns) = with_orders().await;
        server.set(Mode::Answer(answer("list endpointslices", 200, body.clone())));
        let error = resolver(source(&server), &dns).resolve("orders:80").await.unwrap_err();
        assert!(error.is_no_endpoints(), "{body}: {error}");
        assert_eq!((server.count("list endpointslices"), dns.total()), (1, 0), "{body}");

        let body = body.replace("EndpointSliceList", "ServiceList");
        let (server, dns) = with_orders().await;
        server.set(Mode::Answer(answer("list services", 200, body.clone())));
        let orders = resolver(source(&server), &dns).resolve("orders:80").await.unwrap();
        assert_eq!(addrs(&orders.endpoints()), ["127.0.0.7:80"], "{body}");
        assert!(orders.explain().to_string().contains("Service not found"), "{body}: {}", orders.explain());
        assert_eq!(server.count("list services"), 1, "{body}");
    }
}

/// As Go reads it: null stands for the zero value of any field.
#[tokio::test]
async fn null_stands_for_an_absent_field() {
    let (server, dns) = with_orders().await;
    let slice = slice("orders-a", "orders", ("http", 8080), &["10.0.0.1"]).replace(r#""@""#, r#""1002""#);
    let slice = slice.replace(r#""conditions""#, r#""hostname":null,"deprecatedTopology":null,"conditions""#);
    let other = slice.replace("orders-a", "other").replace(r#""endpoints":["#, r#""endpoints":null,"unknown":["#);
    let labels = other.replace(r#"{"kubernetes.io/service-name":"orders"}"#, r#"{"kubernetes.io/service-name":null}"#);
    let none = other.replace(r#"{"kubernetes.io/service-name":"orders"}"#, "null");
    let body = format!(
        r#"{{"kind":"EndpointSliceList","metadata":{{"resourceVersion":"1002","continue":null,"remainingItemCount":null}},"items":[{slice},{other},{labels},{none}]}}"#
    );
    server.set(Mode::Answer(answer("list endpointslices", 200, body)));
    let orders = resolver(source(&server), &dns).resolve("http://orders").await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:8080"], "{}", orders.explain());

    let (server, dns) = with_orders().await;
    let service = service("orders", "10.96.0.7", &[("http", 80)]).replace(r#""@""#, r#""1001""#);
    let nulls = service.replace(r#""type":"ClusterIP""#, r#""type":null"#).replace(r#"["IPv4"]"#, "null");
    let bare = r#"{"metadata":{"name":"bare","resourceVersion":null,"labels":null},"spec":null,"status":null}"#;
    let external = service.replace("orders", "external").replace(r#""clusterIP":"10.96.0.7""#, r#""clusterIP":null"#);
    let body = format!(r#"{{"metadata":{{"resourceVersion":"1002"}},"items":[{nulls},{bare},{external}]}}"#);
    server.set(Mode::Answer(answer("list services", 200, body)));
    let orders = resolver(source(&server), &dns).resolve("http://orders").await.unwrap();
    assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:8080"], "{}", orders.explain());
}
