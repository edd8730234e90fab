//! A DNS server, and the resolver of a pod that queries it.

use std::{sync::Arc, time::Duration};

use discovery_core::{Environment, Resolver, ResolverBuilder, Upstream, context::Families};
use discovery_testing::{FakeDns, ManualHandle, ManualSource, Rule};
use tests::{brisk, in_pod_with, orders, within};

/// What a rule does to the answers that it matches.
pub(crate) type Fails = fn(Rule) -> Rule;

pub(crate) const PODS: [&str; 3] = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];

/// A lost query costs 50 ms: its timeout ends before the first retransmission.
pub(crate) const QUICK: [(&str, &str); 2] = [("DISCOVERY_DNS_TIMEOUT", "50ms"), ("DISCOVERY_DNS_ATTEMPTS", "1")];

/// One attempt of half a minute, longer than any test waits for an answer.
pub(crate) const PATIENT: [(&str, &str); 2] = [("DISCOVERY_DNS_TIMEOUT", "30s"), ("DISCOVERY_DNS_ATTEMPTS", "1")];

/// Over TCP the resolver retransmits nothing, so that every query counts.
pub(crate) const OVER_TCP: [(&str, &str); 1] = [("DISCOVERY_DNS_TRANSPORT", "tcp")];

/// A DNS server with TTL 0: the resolver refreshes as soon as the floor allows.
pub(crate) async fn dns() -> FakeDns {
    FakeDns::builder().ttl(0).start().await.unwrap()
}

/// The same with `orders`, which has one pod.
pub(crate) async fn dns_with_orders() -> FakeDns {
    let dns = dns().await;
    dns.apply(orders(&["10.0.0.1"]));
    dns
}

/// The resolver of a pod in `shop`, for IPv4, with refreshes in quick succession.
pub(crate) fn pod(dns: &FakeDns) -> Resolver {
    pod_with(dns, &[]).build().unwrap()
}

pub(crate) fn dual_stack_pod(dns: &FakeDns) -> Resolver {
    pod_with(dns, &[]).families(Families::Both).build().unwrap()
}

/// As [`pod`], with `DISCOVERY_*` variables, to be configured further.
pub(crate) fn pod_with(dns: &FakeDns, vars: &[(&str, &str)]) -> ResolverBuilder {
    in_pod_with(dns, "shop", vars.iter().copied()).refresh(brisk())
}

/// The resolver of a pod in `shop` whose `resolv.conf` has these lines after those of the kubelet. Refreshes by
/// default.
pub(crate) fn pod_with_lines(dns: &FakeDns, lines: &str, vars: &[(&str, &str)]) -> ResolverBuilder {
    let vars = [("POD_NAMESPACE", "shop")].iter().chain(vars).copied();
    let conf = format!("{}{lines}\n", dns.resolv_conf("shop"));
    let environment = Environment::empty().with_env(vars).with_resolv_conf(conf);
    Resolver::builder().environment(environment).nameservers([dns.addr()]).families(Families::V4)
}

/// `orders` with its three [`PODS`], resolved; from then on a lost query costs 50 ms.
pub(crate) async fn resolved(dns: &FakeDns) -> Upstream {
    dns.apply(orders(&PODS));
    within("an answer", pod_with(dns, &QUICK).build().unwrap().resolve("orders:80")).await.unwrap()
}

/// Waits for `n` more queries.
pub(crate) async fn asked_again(dns: &FakeDns, n: usize) {
    let so_far = dns.total();
    within("more queries", dns.asked(|_| true, so_far + n)).await;
}

/// The explanation of the last round of queries, as people read it.
pub(crate) fn evidence(upstream: &Upstream) -> String {
    upstream.explain().to_string()
}

/// A resolver on a source that answers what the handle sets, without delay.
pub(crate) fn manual() -> (Resolver, ManualHandle) {
    let (source, handle) = ManualSource::new();
    let moment = Duration::from_millis(1);
    let settings =
        brisk().with_removal_hold(Duration::ZERO).with_confirm_after(moment).with_refresh(moment, moment * 20);
    let builder = Resolver::builder().environment(Environment::empty()).source(Arc::new(source));
    (builder.refresh(settings.unwrap()).build().unwrap(), handle)
}
