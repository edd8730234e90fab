//! T6: the resolver honors the `options` of `resolv.conf`.

use std::time::{Duration, Instant};

use discovery_core::context::Families;
use discovery_testing::{FakeDns, Pod, Rule, Transport};
use futures_util::future::join_all;
use tests::{brisk, orders, refusal, within};

use crate::support::dns::{Fails, dns, pod_with_lines};

/// A single transmission: the timeout ends before the first retransmission.
const ONE_TRANSMISSION: [(&str, &str); 2] = [("DISCOVERY_DNS_TIMEOUT", "100ms"), ("DISCOVERY_DNS_ATTEMPTS", "1")];

fn is_over_tcp_only(dns: &FakeDns) -> bool {
    dns.questions().iter().all(|asked| asked.transport == Transport::Tcp)
}

/// T6.
#[tokio::test]
async fn use_vc_queries_over_tcp_only() {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1", "10.0.0.2"]).pod(Pod::new("fd00::1")));
    let resolver =
        pod_with_lines(&dns, "options use-vc", &[]).families(Families::Both).refresh(brisk()).build().unwrap();
    for target in ["orders:80", "orders:http", "orders.shop.svc:81"] {
        within(target, resolver.resolve(target)).await.unwrap();
    }
    let upstream = resolver.resolve("orders:80").await.unwrap();
    let so_far = dns.total();
    within("refreshes", dns.asked(|_| true, so_far + 10)).await;
    drop(upstream);
    assert!(refusal(&resolver, "nobody:80").await.is_not_found());
    assert!(is_over_tcp_only(&dns), "{:?}", dns.questions());
}

/// T6.
#[tokio::test]
async fn use_vc_does_not_fall_back_to_udp() {
    for fails in [Rule::drop as Fails, Rule::disconnect, Rule::servfail] {
        let dns = FakeDns::start().await.unwrap();
        dns.apply(orders(&["10.0.0.1", "10.0.0.2"]));
        dns.script(fails(Rule::any().over(Transport::Tcp)));
        let error =
            refusal(&pod_with_lines(&dns, "options use-vc", &ONE_TRANSMISSION).build().unwrap(), "orders:80").await;
        assert!(error.is_transient(), "{error}");
        assert!(is_over_tcp_only(&dns), "{:?}", dns.questions());
    }
}

/// The number of transmissions to a server that never answers, and the time until the error.
async fn queries_to_a_silent_server(lines: &str, vars: &[(&str, &str)]) -> (usize, Duration) {
    let dns = FakeDns::start().await.unwrap();
    dns.script(Rule::any().drop());
    let begun = Instant::now();
    let error = refusal(&pod_with_lines(&dns, lines, vars).build().unwrap(), "orders:80").await;
    assert!(error.is_timeout(), "{lines}: {error}");
    println!("T6: `{lines}` {vars:?}: {} transmissions, {:?}", dns.total(), begun.elapsed());
    (dns.total(), begun.elapsed())
}

/// T6. A query may take `timeout` times `attempts`; its packets are at 0, 150, 450, 1050 and 2250 ms, twice as many as
/// attempts and four at least, the last one early enough for an answer.
#[tokio::test]
async fn honors_timeout_and_attempts() {
    let cases = [
        ("options timeout:1 attempts:1", &[][..], 4..=4, 1000),
        ("options timeout:1 attempts:2", &[], 4..=4, 2000),
        // The last packet is not sent if a busy machine is late: by then the nameserver is silent.
        ("options timeout:1 attempts:3", &[], 4..=5, 3000),
        ("options timeout:2 attempts:1", &[], 4..=4, 2000),
        ("options timeout:1", &[], 4..=4, 2000),
        ("options attempts:1", &[], 4..=4, 5000),
        ("", &[], 4..=4, 5000),
        // Over TCP the resolver retransmits nothing.
        ("options use-vc timeout:1 attempts:2", &[], 2..=2, 2000),
        // A variable overrides the file.
        (
            "options timeout:30 attempts:1",
            &[("DISCOVERY_DNS_TIMEOUT", "100ms"), ("DISCOVERY_DNS_ATTEMPTS", "5")],
            2..=3,
            500,
        ),
    ];
    let seen = join_all(cases.clone().map(|(lines, vars, ..)| queries_to_a_silent_server(lines, vars))).await;
    for ((lines, _, transmissions, millis), (total, took)) in cases.into_iter().zip(seen) {
        assert!(transmissions.contains(&total), "{lines}: {total}");
        assert!(took >= Duration::from_millis(millis), "{lines}: {took:?}");
    }
}
