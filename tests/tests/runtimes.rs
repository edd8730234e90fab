//! Runtimes that start and end under one resolver.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use discovery_core::{
    EndpointMap, Environment, Resolver, Upstream, Watch,
    plan::Plan,
    policy::Tried,
    source::{BoxFuture, Lookup, Source, Update},
};
use discovery_testing::{FakeDns, ManualHandle, ManualSource, Pod, QType, Rule};
use tests::{ORDERS, PATIENCE, addrs, brisk, eventually, in_pod, in_pod_with, orders, until, within};
use tokio::runtime::{Builder, Runtime};

fn resolver(dns: &FakeDns) -> Resolver {
    in_pod(dns, "shop").refresh(brisk()).build().unwrap()
}

fn resolver_over_tcp(dns: &FakeDns) -> Resolver {
    in_pod_with(dns, "shop", [("DISCOVERY_DNS_TRANSPORT", "tcp")]).refresh(brisk()).build().unwrap()
}

/// A DNS server on its own runtime, which outlives the runtimes of the tests.
fn dns() -> (Runtime, FakeDns) {
    let runtime = Runtime::new().unwrap();
    let dns = runtime.block_on(FakeDns::builder().ttl(0).start()).unwrap();
    dns.apply(orders(&["10.0.0.1"]));
    (runtime, dns)
}

#[test]
fn a_handle_continues_on_another_runtime_after_the_first_was_shut_down() {
    for over_tcp in [false, true] {
        let (_server, dns) = dns();
        let resolver = if over_tcp { resolver_over_tcp(&dns) } else { resolver(&dns) };
        let first = Runtime::new().unwrap();
        let orders = first.block_on(resolver.resolve("orders:80")).unwrap();
        drop(first);
        let asked = dns.count(ORDERS, QType::A);
        assert_eq!(orders.endpoints().len(), 1, "reads continue without any runtime");
        assert!(orders.pick().is_ok() && !orders.endpoints().is_stale());
        assert_eq!(resolver.active(), 1);
        dns.add_pod("shop", "orders", Pod::new("10.0.0.2"));

        let second = Runtime::new().unwrap();
        let tasks = || second.metrics().num_alive_tasks();
        assert_eq!((tasks(), dns.count(ORDERS, QType::A)), (0, asked), "no task refreshes it");
        second.block_on(until(&orders, "the new pod", |set| set.len() == 2));
        assert!(tasks() > 0, "a new task was started");
        assert_eq!(orders.endpoints().version(), 2, "the version continues");
        second.block_on(within("further refreshes", dns.asked(|_| true, dns.total() + 5)));
        drop(orders);
        assert_eq!(resolver.active(), 0);
    }
}

/// A read is enough; no caller has to wait.
#[test]
fn any_use_on_another_runtime_restarts_the_refreshes() {
    type Use = fn(&Upstream);
    let uses: [(&str, Use); 5] = [
        ("endpoints", |orders| drop(orders.endpoints())),
        ("pick", |orders| drop(orders.pick().unwrap())),
        ("watch", |orders| drop(orders.watch())),
        ("refresh", |orders| orders.refresh()),
        ("pick_untried", |orders| drop(orders.pick_untried(&Tried::new()).unwrap())),
    ];
    for (what, used) in uses {
        let (_server, dns) = dns();
        let resolver = resolver(&dns);
        let first = Runtime::new().unwrap();
        let orders = first.block_on(resolver.resolve("orders:80")).unwrap();
        drop(first);
        let asked = dns.total();
        Runtime::new().unwrap().block_on(async {
            used(&orders);
            within(what, dns.asked(|_| true, asked + 2)).await;
        });
    }
}

#[test]
fn one_resolver_serves_two_runtimes_at_once() {
    let (_server, dns) = dns();
    let resolver = resolver(&dns);
    let (one, other) = (Runtime::new().unwrap(), Builder::new_current_thread().enable_all().build().unwrap());
    let on_one = one.block_on(resolver.resolve("orders:80")).unwrap();
    let on_other = other.block_on(resolver.resolve("orders:80")).unwrap();
    assert_eq!((resolver.active(), one.metrics().num_alive_tasks() > 0), (1, true));
    assert!(other.metrics().num_alive_tasks() <= 1, "they share the work: at most a standby");
    dns.add_pod("shop", "orders", Pod::new("10.0.0.2"));
    other.block_on(until(&on_other, "the new pod", |set| set.len() == 2));
    assert_eq!(on_one.endpoints().len(), 2);

    // The runtime that refreshes ends; the other takes over.
    drop((on_one, one));
    dns.add_pod("shop", "orders", Pod::new("10.0.0.3"));
    other.block_on(until(&on_other, "the third pod", |set| set.len() == 3));
    assert_eq!(addrs(&on_other.endpoints()), ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
}

/// Twenty times, so that the shutdown interrupts the lookup at different points.
#[test]
fn dropping_a_runtime_during_a_lookup_loses_nothing() {
    let (server, dns) = dns();
    for round in 0..20 {
        let resolver = if round % 2 == 0 { resolver(&dns) } else { resolver_over_tcp(&dns) };
        dns.forget();
        let held = dns.script(Rule::any().delay(Duration::from_millis(50)));
        let first = Runtime::new().unwrap();
        let orders = first.block_on(async { resolver.upstream("orders:80") }).unwrap();
        if round % 4 < 2 {
            server.block_on(within("a query", dns.asked(|_| true, 1)));
        }
        drop(first);
        dns.remove_rule(held);
        let second = Builder::new_current_thread().enable_all().build().unwrap();
        second.block_on(within("endpoints", orders.ready())).unwrap();
        assert_eq!(addrs(&orders.endpoints()), ["10.0.0.1:80"]);
    }
}

/// A caller on a live runtime does not wait for a runtime that is gone.
#[test]
fn callers_on_another_runtime_are_answered_when_the_first_is_dropped() {
    let (server, dns) = dns();
    dns.script(Rule::any().times(1).delay(PATIENCE * 2));
    let resolver = resolver_over_tcp(&dns);
    let (first, second) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let orders = first.block_on(async { resolver.upstream("orders:80") }).unwrap();
    let mut watch = orders.watch();
    let waiting = second.spawn(async move {
        let (first_answer, ready, set) = tokio::join!(orders.first_answer(), orders.ready(), watch.next());
        (first_answer, ready, set.len())
    });
    server.block_on(within("a query", dns.asked(|_| true, 1)));
    drop(first);
    let (first_answer, ready, len) = second.block_on(within("an answer", waiting)).unwrap();
    first_answer.unwrap();
    ready.unwrap();
    assert_eq!(len, 1);
}

#[test]
fn an_endpoint_map_continues_on_another_runtime() {
    let (_server, dns) = dns();
    let resolver = resolver(&dns);
    let first = Runtime::new().unwrap();
    let orders = first.block_on(resolver.resolve("orders:80")).unwrap();
    let names = first.block_on(async { EndpointMap::new(orders.clone(), ToString::to_string) });
    drop(first);
    assert_eq!(names.pick(&Tried::new()).unwrap().1, "10.0.0.1:80", "without a runtime as well");
    dns.add_pod("shop", "orders", Pod::new("10.0.0.2"));
    let second = Runtime::new().unwrap();
    second.block_on(until(&orders, "the new pod", |set| set.len() == 2));
    let mut tried = Tried::new();
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..2 {
        let (pick, name) = names.pick(&tried).unwrap();
        tried.add(pick.endpoint().identity());
        seen.push(name);
    }
    seen.sort();
    assert_eq!(seen, ["10.0.0.1:80", "10.0.0.2:80"]);
}

#[test]
fn upstream_without_a_runtime_is_an_error_and_not_a_panic() {
    let (server, dns) = dns();
    let resolver = resolver(&dns);
    for target in ["orders:80", "10.0.0.1:80", "localhost:80"] {
        let error = resolver.upstream(target).unwrap_err();
        assert!(error.is_config() && error.to_string().contains("Tokio runtime"), "{error}");
    }
    assert_eq!((resolver.active(), dns.total()), (0, 0));
    let orders = server.block_on(resolver.resolve("orders:80")).unwrap();
    assert!(resolver.upstream("orders:80").is_err(), "for a known target as well");
    assert_eq!(orders.pick().unwrap().endpoint().to_string(), "10.0.0.1:80", "a handle works on any thread");
}

/// On a thread without a runtime, and after the runtime that refreshed it.
#[test]
fn the_last_handle_may_be_dropped_anywhere() {
    let (_server, dns) = dns();
    let resolver = resolver(&dns);
    let first = Runtime::new().unwrap();
    let orders = first.block_on(resolver.resolve("orders:80")).unwrap();
    std::thread::spawn(move || drop(orders)).join().unwrap();
    assert_eq!(resolver.active(), 0);
    let orders = first.block_on(resolver.resolve("orders:80")).unwrap();
    drop(first);
    drop(orders);
    assert_eq!(resolver.active(), 0);
}

/// A source that pushes its changes, and how often the resolver may query it: on every change.
fn pushed() -> (Resolver, ManualHandle) {
    let (source, handle) = ManualSource::new();
    handle.set(["10.0.0.1:80"]);
    let settings = brisk().with_removal_hold(Duration::ZERO);
    let resolver = Resolver::builder().environment(Environment::empty()).refresh(settings).source(Arc::new(source));
    (resolver.build().unwrap(), handle)
}

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Tokio drives the tasks of a current-thread runtime only while a thread blocks on it.
#[test]
fn a_runtime_that_nothing_blocks_on_does_not_freeze_the_others() {
    type Use = fn(Upstream) -> Pin<Box<dyn Future<Output = ()>>>;
    // Reads nothing that counts as a use.
    let changed = |upstream: &Upstream| upstream.explain().to_string().contains("10.0.0.1:81");
    let uses: [(&str, Use); 4] = [
        ("watch", |orders| Box::pin(until_port_81(orders.watch()))),
        ("refresh", |orders| Box::pin(async move { orders.refresh() })),
        ("first_answer", |orders| Box::pin(async move { orders.first_answer().await.unwrap() })),
        ("picks", |orders| Box::pin(async move { (0..100).for_each(|_| drop(orders.pick().unwrap())) })),
    ];
    for (what, used) in uses {
        let (resolver, handle) = pushed();
        let (idle, live) = (current_thread(), Runtime::new().unwrap());
        let orders = idle.block_on(resolver.resolve("orders:80")).unwrap();
        handle.set(["10.0.0.1:81"]);
        live.block_on(within(what, async {
            used(orders.clone()).await;
            eventually(&orders, what, changed).await;
        }));

        // The first runtime is driven again, and the other one is gone.
        drop(live);
        handle.set(["10.0.0.1:80"]);
        idle.block_on(until(&orders, "the next change", |set| set.iter().any(|one| one.addr().port() == 80)));
    }
}

async fn until_port_81(mut watch: Watch) {
    while watch.next().await.iter().all(|one| one.addr().port() != 81) {}
}

/// A watch that waits already is served as well, without another call.
#[test]
fn a_waiting_watch_is_served_when_the_other_runtime_is_left_alone() {
    let (resolver, handle) = pushed();
    let (idle, live) = (current_thread(), Runtime::new().unwrap());
    let orders = idle.block_on(resolver.resolve("orders:80")).unwrap();
    let (sender, waits) = tokio::sync::oneshot::channel();
    let mut watch = orders.watch();
    let waiting = live.spawn(async move {
        watch.next().await;
        sender.send(()).unwrap();
        watch.next().await
    });
    idle.block_on(waits).unwrap();
    handle.set(["10.0.0.1:81"]);
    let set = live.block_on(within("the change", waiting)).unwrap();
    assert_eq!(addrs(&set), ["10.0.0.1:81"]);
}

/// A [`ManualSource`] whose answers have a TTL of an hour.
#[derive(Debug)]
struct WithTtl(ManualSource);

#[derive(Debug)]
struct LookupWithTtl(Box<dyn Lookup>);

impl Source for WithTtl {
    fn name(&self) -> &'static str {
        "with-ttl"
    }

    fn open(&self, plan: &Plan) -> Box<dyn Lookup> {
        Box::new(LookupWithTtl(self.0.open(plan)))
    }
}

impl Lookup for LookupWithTtl {
    fn ask<'a>(&'a mut self, early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(async { self.0.ask(early).await.with_ttl(Duration::from_secs(3600)) })
    }

    fn changed(&mut self) -> BoxFuture<'_, ()> {
        self.0.changed()
    }
}

/// The next refresh is due in an hour at the earliest, so only the changes count.
fn pushed_with_ttl() -> (Resolver, ManualHandle) {
    let (source, handle) = ManualSource::new();
    handle.set(["10.0.0.1:80"]);
    let hour = Duration::from_secs(3600);
    let settings = brisk().with_removal_hold(Duration::ZERO).with_refresh(Duration::from_millis(20), hour).unwrap();
    let resolver = Resolver::builder().environment(Environment::empty()).refresh(settings);
    (resolver.source(Arc::new(WithTtl(source))).build().unwrap(), handle)
}

/// The task that would have heard the change has ended; its TTL has not.
#[test]
fn a_change_between_two_runtimes_is_seen_before_the_ttl_ends() {
    let (resolver, handle) = pushed_with_ttl();
    let first = Runtime::new().unwrap();
    let orders = first.block_on(resolver.resolve("orders:80")).unwrap();
    drop(first);
    handle.set(["10.0.0.1:81"]);
    let second = Runtime::new().unwrap();
    second.block_on(within("the change", until_port_81(orders.watch())));
}

/// A runtime with a clock of its own must not leave times in the future behind.
#[test]
fn the_paused_clock_of_one_runtime_does_not_freeze_another() {
    let (resolver, handle) = pushed_with_ttl();
    let paused = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let orders = paused.block_on(async {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        resolver.resolve("orders:80").await.unwrap()
    });
    drop(paused);
    handle.set(["10.0.0.1:81"]);
    let live = Runtime::new().unwrap();
    live.block_on(within("the change", until_port_81(orders.watch())));
    handle.set(["10.0.0.1:80"]);
    live.block_on(until(&orders, "another change", |set| set.iter().any(|one| one.addr().port() == 80)));
}
