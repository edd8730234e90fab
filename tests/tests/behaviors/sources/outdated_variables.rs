//! Variables that outlive their Service: the kubelet's give way to the next source, an operator's stay (issue 12.3).

use std::{sync::Arc, time::Duration};

use discovery_core::{Environment, Resolver, Upstream, policy::Outcome};
use discovery_reqwest::Client;
use discovery_testing::{FakeDns, FakePod, ManualHandle, ManualSource, Service};
use tests::{addrs, eventually, in_pod_with, until, within};

const OLD: &str = "10.96.0.1:80";
const NEW: &str = "10.96.0.2:80";

/// The variables of `orders` as the kubelet writes them.
fn kubelet() -> Vec<(&'static str, &'static str)> {
    vec![
        ("ORDERS_SERVICE_HOST", "10.96.0.1"),
        ("ORDERS_SERVICE_PORT", "80"),
        ("ORDERS_SERVICE_PORT_HTTP", "80"),
        ("ORDERS_PORT", "tcp://10.96.0.1:80"),
        ("ORDERS_PORT_80_TCP", "tcp://10.96.0.1:80"),
        ("ORDERS_PORT_80_TCP_PROTO", "tcp"),
        ("ORDERS_PORT_80_TCP_PORT", "80"),
        ("ORDERS_PORT_80_TCP_ADDR", "10.96.0.1"),
    ]
}

/// A resolver with these variables, whose next source is set by hand, without sockets.
async fn with_next_source(vars: Vec<(&'static str, &'static str)>) -> (Upstream, ManualHandle) {
    let (source, next) = ManualSource::new();
    let environment = Environment::empty().with_env(vars.into_iter().chain([("POD_NAMESPACE", "shop")]));
    let resolver = Resolver::builder().environment(environment).source(Arc::new(source)).build().unwrap();
    next.set([NEW]);
    let orders = resolver.resolve("orders:80").await.unwrap();
    assert_eq!((addrs(&orders.endpoints()), orders.explain().winner), (vec![OLD.to_owned()], Some("env")));
    (orders, next)
}

/// A request that cannot connect.
fn fail_to_connect(orders: &Upstream) {
    orders.pick().unwrap().complete(Outcome::Unreachable, tokio::time::Instant::now().into_std());
}

async fn shows(orders: &Upstream, expected: &str) {
    until(orders, expected, |set| addrs(set) == [expected]).await;
}

/// The Service was deleted and created again while the pod ran.
#[tokio::test]
async fn requests_reach_a_recreated_service_after_one_failed_request() {
    let dns = FakeDns::start().await.unwrap();
    let pod = FakePod::start("orders-0").await.unwrap();
    let service = |ip: &str| Service::cluster_ip("shop", "orders").ip(ip).port("http", pod.addr().port());
    dns.apply(service("127.0.0.2"));
    let vars = dns.service_env("shop");
    dns.apply(service("127.0.0.1"));
    let vars = vars.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let resolver = in_pod_with(&dns, "shop", vars).build().unwrap();
    let url = format!("http://orders:{}/", pod.addr().port());
    let orders = within("the variables", resolver.resolve(url.as_str())).await.unwrap();
    assert_eq!(orders.explain().winner, Some("env"));

    let client = Client::new(resolver);
    let first = within("a request", client.get(&url).send()).await;
    let failed = usize::from(first.is_err());
    shows(&orders, &pod.addr().to_string()).await;
    for _ in 0..5 {
        assert!(within("a request", client.get(&url).send()).await.unwrap().status().is_success());
    }
    assert!(failed <= 1 && pod.requests() >= 5);
    let explanation = orders.explain();
    assert_eq!(explanation.winner, Some("dns"));
    let text = explanation.to_string();
    for part in ["ORDERS_SERVICE_HOST", "127.0.0.2", "unreachable", "give way to the next source for"] {
        assert!(text.contains(part), "`{part}` in\n{text}");
    }
}

/// On simulated time: one report is enough, and the next source is asked at once.
#[tokio::test(start_paused = true)]
async fn variables_of_the_kubelet_give_way_at_the_first_report_and_are_asked_again_later() {
    let (orders, _next) = with_next_source(kubelet()).await;
    let mut hold = Duration::from_secs(30);
    for _ in 0..3 {
        let reported = tokio::time::Instant::now();
        fail_to_connect(&orders);
        shows(&orders, NEW).await;
        assert!(reported.elapsed() < Duration::from_millis(100), "{:?}", reported.elapsed());
        assert_eq!(orders.explain().winner, Some("manual"));
        tokio::time::sleep(hold - Duration::from_secs(1)).await;
        assert_eq!(addrs(&orders.endpoints()), [NEW]);
        // Asked again, although the next source reports its changes and has none.
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!((addrs(&orders.endpoints()), orders.explain().winner), (vec![OLD.to_owned()], Some("env")));
        hold *= 2;
    }
}

/// There is nothing better to try, and the Service may come back under its address.
#[tokio::test(start_paused = true)]
async fn an_unreachable_address_stays_in_use_while_no_later_source_has_endpoints() {
    let (orders, next) = with_next_source(kubelet()).await;
    for answer in [ManualHandle::not_found, ManualHandle::empty, |next: &ManualHandle| next.fail("no registry")] {
        answer(&next);
        let before = orders.explain();
        fail_to_connect(&orders);
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert!(!Arc::ptr_eq(&before, &orders.explain()), "asked again");
        assert_eq!((addrs(&orders.endpoints()), orders.explain().winner), (vec![OLD.to_owned()], Some("env")));
        let text = orders.explain().to_string();
        assert!(text.contains("no later source has endpoints"), "{text}");
        assert_eq!(orders.explain().freshness, "fresh");
    }
    // A later source that gets endpoints takes over while the report counts.
    next.set([NEW]);
    shows(&orders, NEW).await;
}

/// A later source that fails after it has taken over keeps its endpoints, as any source does.
#[tokio::test(start_paused = true)]
async fn the_source_that_took_over_keeps_its_endpoints_while_it_fails() {
    let (orders, next) = with_next_source(kubelet()).await;
    fail_to_connect(&orders);
    shows(&orders, NEW).await;
    next.fail("the registry restarts");
    eventually(&orders, "a failed round", |orders| orders.explain().freshness.starts_with("stale")).await;
    assert_eq!(addrs(&orders.endpoints()), [NEW]);
}

/// An operator wants the override: it stays, and the explanation names the variable.
#[tokio::test(start_paused = true)]
async fn an_override_that_is_unreachable_stays_and_the_explanation_names_it() {
    let main = [("ORDERS_SERVICE_HOST", "10.96.0.1"), ("ORDERS_SERVICE_PORT", "80")];
    let link_elsewhere = kubelet().into_iter().map(|(name, value)| match name {
        "ORDERS_PORT" | "ORDERS_PORT_80_TCP" => (name, "tcp://10.96.0.9:80"),
        "ORDERS_PORT_80_TCP_ADDR" => (name, "10.96.0.9"),
        _ => (name, value),
    });
    for vars in [vec![main[0]], main.to_vec(), link_elsewhere.collect()] {
        let (orders, _next) = with_next_source(vars).await;
        for _ in 0..3 {
            fail_to_connect(&orders);
            eventually(&orders, "the report", |orders| orders.explain().to_string().contains("stays in use")).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!((addrs(&orders.endpoints()), orders.explain().winner), (vec![OLD.to_owned()], Some("env")));
        }
        let text = orders.explain().to_string();
        assert!(
            text.contains("10.96.0.1:80: unreachable: `ORDERS_SERVICE_HOST` is `10.96.0.1`, an override"),
            "{text}"
        );
    }
}

/// The error of a request says where the dead address comes from.
#[tokio::test]
async fn a_connect_error_names_the_variable_of_an_override() {
    let dns = FakeDns::start().await.unwrap();
    let pod = FakePod::start("laptop").await.unwrap();
    pod.stop().await;
    let (port, link) = (pod.addr().port().to_string(), format!("tcp://{}", pod.addr()));
    for (vars, variable) in [
        (vec![("ORDERS_SERVICE_HOST", "127.0.0.1"), ("ORDERS_SERVICE_PORT", &*port)], "ORDERS_SERVICE_HOST"),
        (vec![("ORDERS_SERVICE_HOST", "localhost"), ("ORDERS_SERVICE_PORT", &*port)], "ORDERS_SERVICE_HOST"),
        (vec![("ORDERS_PORT", &*link)], "ORDERS_PORT"),
    ] {
        let client = Client::new(in_pod_with(&dns, "shop", vars).build().unwrap());
        for _ in 0..3 {
            let error = within("an error", client.get("http://orders/").send()).await.unwrap_err();
            let text = error.to_string();
            assert!(error.is_connect() && text.contains(&format!("comes from the variable `{variable}`")), "{text}");
        }
    }
}
