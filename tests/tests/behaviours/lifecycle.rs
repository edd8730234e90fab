//! From the first handle of a target to the last: who shares, what stops, what is told meanwhile.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use discovery_core::{
    Environment, Resolver, ResolverBuilder, Upstream,
    name::Target,
    policy::{Outcome, Tried},
    refresh::RefreshSettings,
};
use discovery_testing::{Asked, FakeDns, ManualSource, Pod, QType, Rule, Service};
use futures_util::{FutureExt as _, StreamExt, future::join_all};
use tests::{PATIENCE, addrs, brisk, in_pod, until};

const ORDERS: &str = "orders.shop.svc.cluster.local";

fn headless(name: &str, pods: &[&str]) -> Service {
    let service = Service::headless("shop", name).port("http", 8080);
    pods.iter().fold(service, |service, ip| service.pod(Pod::new(*ip)))
}

/// A DNS server with `orders` and `other`, whose answers are asked for again as soon as the floor allows.
async fn dns() -> FakeDns {
    let dns = FakeDns::builder().ttl(0).start().await.unwrap();
    dns.apply(headless("orders", &["10.0.0.1"]));
    dns.apply(headless("other", &["10.0.0.2"]));
    dns
}

fn pod(dns: &FakeDns) -> Resolver {
    in_pod(dns, "shop").refresh(brisk()).build().unwrap()
}

/// Over TCP nothing is sent twice.
fn pod_over_tcp(dns: &FakeDns) -> ResolverBuilder {
    let vars = [("POD_NAMESPACE", "shop"), ("DISCOVERY_DNS_TRANSPORT", "tcp")];
    let environment = Environment::empty().with_env(vars).with_resolv_conf(dns.resolv_conf("shop"));
    in_pod(dns, "shop").environment(environment)
}

/// A resolver on a source that says what the handle tells it, without delay.
fn manual() -> (Resolver, discovery_testing::ManualHandle) {
    let (source, handle) = ManualSource::new();
    let moment = Duration::from_millis(1);
    let settings =
        brisk().with_removal_hold(Duration::ZERO).with_confirm_after(moment).with_refresh(moment, moment * 20);
    let builder = Resolver::builder().environment(Environment::empty()).source(Arc::new(source));
    (builder.refresh(settings.unwrap()).build().unwrap(), handle)
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

fn of(name: &'static str) -> impl Fn(&Asked) -> bool {
    move |asked| asked.name.starts_with(name)
}

fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// The tasks that were aborted are gone when the runtime has had its turn.
async fn only_tasks(expected: usize) {
    let gone = async {
        while tasks() > expected {
            tokio::task::yield_now().await;
        }
    };
    within("an end of the tasks", gone).await;
    assert_eq!(tasks(), expected);
}

/// Asserts that nobody asks for `orders` any more, while `other` is asked for eight more times.
async fn nobody_asks_for_orders(dns: &FakeDns, witness: &Resolver) {
    let other = within("other", witness.resolve("other:80")).await.unwrap();
    // What was still on its way has arrived by then.
    let so_far = dns.count("other.shop.svc.cluster.local", QType::A);
    within("the witness", dns.asked(of("other"), so_far + 2)).await;
    let before = dns.count(ORDERS, QType::A);
    within("the witness", dns.asked(of("other"), so_far + 10)).await;
    assert_eq!(dns.count(ORDERS, QType::A), before);
    drop(other);
}

#[tokio::test]
async fn equal_targets_share_one_task_and_one_question() {
    let dns = dns().await;
    let resolver = pod_over_tcp(&dns).build().unwrap();
    let before = tasks();
    let target: Target = "orders:80".parse().unwrap();
    let held = [
        resolver.upstream("orders:80").unwrap(),
        resolver.upstream("ORDERS:80").unwrap(),
        resolver.upstream(&target).unwrap(),
        resolver.upstream(target).unwrap(),
        resolver.clone().upstream("orders:80").unwrap(),
    ];
    assert_eq!((resolver.active(), tasks() - before), (1, 1));
    for upstream in &held {
        within("an answer", upstream.first_answer()).await.unwrap();
    }
    assert_eq!(dns.total(), 1);
    assert!(held.iter().all(|upstream| Arc::ptr_eq(&upstream.endpoints().to_arc(), &held[0].endpoints().to_arc())));

    // Another port, another scheme, a port by name: other targets.
    let others = ["orders:81", "http://orders:80", "orders:http"].map(|text| resolver.upstream(text).unwrap());
    assert_eq!(resolver.active(), 4);
    let srv = resolver.upstream("_http._tcp.orders").unwrap();
    assert_eq!(resolver.active(), 4, "the same as orders:http");
    drop((others, srv));
    assert_eq!(resolver.active(), 1);
}

#[tokio::test]
async fn the_last_handle_ends_the_questions() {
    let dns = dns().await;
    let (resolver, witness) = (pod(&dns), pod(&dns));
    let one = within("orders", resolver.resolve("orders:80")).await.unwrap();
    let (clone, watch) = (one.clone(), one.watch());
    let endpoints = one.endpoints();
    for kept in [Box::new(one) as Box<dyn std::any::Any>, Box::new(clone)] {
        drop(kept);
        let so_far = dns.count(ORDERS, QType::A);
        within("refreshes", dns.asked(of("orders"), so_far + 3)).await;
        assert_eq!(resolver.active(), 1);
    }
    drop(watch);
    assert_eq!(resolver.active(), 0);
    nobody_asks_for_orders(&dns, &witness).await;
    assert_eq!(addrs(&endpoints), ["10.0.0.1:80"], "a view stays what it was");
}

/// A resolver is a door, not an owner: upstreams go on without it.
#[tokio::test]
async fn an_upstream_outlives_its_resolver() {
    let dns = dns().await;
    let orders = within("orders", pod(&dns).resolve("orders:80")).await.unwrap();
    dns.add_pod("shop", "orders", Pod::new("10.0.0.9"));
    until(&orders, "the new pod", |set| set.len() == 2).await;
}

#[tokio::test]
async fn nothing_runs_for_a_name_that_nobody_holds() {
    let dns = dns().await;
    let (resolver, witness) = (pod(&dns), pod(&dns));
    let before = tasks();
    for invalid in ["orders_v2", "", "orders:0", "http://", "a..b"] {
        assert!(resolver.resolve(invalid).await.unwrap_err().is_invalid_name(), "{invalid}");
        assert_eq!((resolver.active(), tasks()), (0, before));
    }
    assert!(within("a no", resolver.resolve("nobody:80")).await.unwrap_err().is_not_found());
    assert_eq!(resolver.active(), 0, "an error is not held");

    dns.script(Rule::any().name(ORDERS).drop());
    let mut given_up = Box::pin(resolver.resolve("orders:80"));
    assert!(given_up.as_mut().now_or_never().is_none());
    within("a question", async {
        tokio::select! {
            _ = &mut given_up => panic!("there was no answer"),
            () = dns.asked(of("orders"), 1) => {}
        }
    })
    .await;
    assert_eq!(resolver.active(), 1);
    drop(given_up);
    assert_eq!(resolver.active(), 0);
    only_tasks(before).await;
    nobody_asks_for_orders(&dns, &witness).await;
}

#[tokio::test]
async fn a_first_caller_who_gives_up_does_not_fail_the_others() {
    let dns = dns().await;
    dns.script(Rule::any().name(ORDERS).delay(Duration::from_millis(200)));
    let resolver = pod_over_tcp(&dns).build().unwrap();
    let first = tokio::spawn({
        let resolver = resolver.clone();
        async move { resolver.resolve("orders:80").await.map(drop) }
    });
    within("its question", dns.asked(of("orders"), 1)).await;
    let mut others: Vec<_> = (0..10).map(|_| Box::pin(resolver.resolve("orders:80"))).collect();
    assert!(others.iter_mut().all(|other| other.now_or_never().is_none()));
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    for answer in within("answers", join_all(others)).await {
        assert_eq!(addrs(&answer.unwrap().endpoints()), ["10.0.0.1:80"]);
    }
    assert_eq!(dns.total(), 1, "ten callers and the one who gave up: {:?}", dns.questions());
}

#[tokio::test]
async fn a_thousand_targets_leave_nothing_behind() {
    let dns = dns().await;
    // Nobody is refreshed while others are still waiting for their first answer.
    dns.script(Rule::any().name(ORDERS).ttl(3600));
    let resolver = in_pod(&dns, "shop").build().unwrap();
    let witness = pod(&dns);
    let before = tasks();
    let targets: Vec<String> = (0..1000).map(|n| format!("orders:{}", 1000 + n)).collect();
    let held: Vec<Upstream> = targets.iter().map(|target| resolver.upstream(target.as_str()).unwrap()).collect();
    assert_eq!(resolver.active(), 1000);
    // A thousand packets at a time may be too many for the server's socket: whoever is not answered asks again.
    for available in within("a thousand answers", join_all(held.iter().map(Upstream::ready))).await {
        available.unwrap();
    }
    assert_eq!((resolver.active(), tasks() - before), (1000, 1000));
    println!("1000 targets: {} tasks, {} questions", tasks() - before, dns.total());
    drop(held);
    assert_eq!(resolver.active(), 0);
    only_tasks(before).await;
    nobody_asks_for_orders(&dns, &witness).await;
}

/// Not what has changed, but all that there is; and a Service that is gone is not the end of it.
#[tokio::test]
async fn a_watch_yields_full_sets_and_never_ends() {
    let dns = dns().await;
    let orders = pod(&dns).upstream("orders:80").unwrap();
    let mut watch = orders.watch();
    let mut versions = Vec::new();
    let mut next = async |what: &str, expected: &[&str]| {
        // A set that lies between two of these (a removal is held for a while) may come first.
        loop {
            let set = within(what, watch.next()).await;
            versions.push(set.version());
            if addrs(&set) == expected {
                return;
            }
        }
    };
    next("the first", &["10.0.0.1:80"]).await;
    dns.add_pod("shop", "orders", Pod::new("10.0.0.3"));
    next("one more", &["10.0.0.1:80", "10.0.0.3:80"]).await;
    dns.remove_pod("shop", "orders", "10.0.0.1");
    next("one less", &["10.0.0.3:80"]).await;
    dns.remove("shop", "orders");
    next("no Service", &[]).await;
    dns.apply(headless("orders", &["10.0.0.4", "10.0.0.5"]));
    next("the Service again", &["10.0.0.4:80", "10.0.0.5:80"]).await;
    assert!(versions.is_sorted_by(|one, next| one < next), "{versions:?}");

    let so_far = dns.total();
    within("refreshes", dns.asked(|_| true, so_far + 5)).await;
    assert!(watch.next().now_or_never().is_none(), "an unchanged answer is no news");
}

/// As a stream, and for those who come late: the current set first.
#[tokio::test]
async fn a_watch_is_a_stream_that_begins_with_what_there_is() {
    let (resolver, handle) = manual();
    let orders = resolver.upstream("orders").unwrap();
    let mut early = orders.watch();
    assert!(early.next().now_or_never().is_none(), "before the first answer there is nothing to tell");
    handle.set(["10.0.0.1:80"]);
    assert_eq!(within("a set", StreamExt::next(&mut early)).await.map(|set| set.len()), Some(1));
    handle.empty();
    assert_eq!(within("a set", StreamExt::next(&mut early)).await.map(|set| set.len()), Some(0));
    handle.set(["10.0.0.1:80", "10.0.0.2:80"]);
    assert_eq!(within("a set", StreamExt::next(&mut early)).await.map(|set| set.len()), Some(2));
    let mut late = orders.watch();
    assert_eq!(late.next().now_or_never().expect("at once").len(), 2);
    drop(resolver);
    handle.not_found();
    assert_eq!(within("a set", StreamExt::next(&mut late)).await.map(|set| set.len()), Some(0), "and it goes on");
}

#[tokio::test]
async fn an_explanation_names_sources_answers_and_winner() {
    let dns = dns().await;
    let (source, handle) = ManualSource::new();
    let build = || in_pod(&dns, "shop").refresh(brisk()).source(Arc::new(source.clone())).build().unwrap();
    let orders = within("orders", build().resolve("orders:80")).await.unwrap();
    let explanation = orders.explain();
    let steps: Vec<_> = explanation.steps.iter().map(|step| (step.source, step.verdict.as_str())).collect();
    assert_eq!(
        steps,
        [("fixed", "nothing to say"), ("env", "nothing to say"), ("manual", "nothing to say"), ("dns", "1 endpoint")]
    );
    assert_eq!((explanation.winner, explanation.standing.as_str()), (Some("dns"), "fresh"));
    assert_eq!(addrs(&explanation.endpoints), ["10.0.0.1:80"]);
    let text = explanation.to_string();
    for part in [
        "own namespace: shop (POD_NAMESPACE)",
        "cluster domain: cluster.local (search list of resolv.conf)",
        &dns.addr().to_string(),
        "ORDERS_SERVICE_HOST: not set",
        "A orders.shop.svc.cluster.local.: 10.0.0.1, TTL 0s",
        "dns: 1 endpoint  <- won",
        "now fresh",
        "10.0.0.1:80",
    ] {
        assert!(text.contains(part), "`{part}` in\n{text}");
    }

    // Another source wins, and DNS is not asked.
    handle.set(["10.9.9.9:80"]);
    let orders = within("orders", build().resolve("orders:80")).await.unwrap();
    assert_eq!((orders.explain().winner, orders.explain().steps.len()), (Some("manual"), 3));

    // Nobody wins.
    handle.fail("the registry is down");
    dns.script(Rule::any().refuse());
    let orders = build().upstream("orders:80").unwrap();
    assert!(within("an answer", orders.first_answer()).await.is_err());
    let text = orders.explain().to_string();
    assert_eq!(orders.explain().winner, None);
    assert!(text.contains("manual: failed: the registry is down") && text.contains("Refused"), "{text}");
}

#[tokio::test]
async fn an_error_keeps_the_cause_of_every_source() {
    let dns = dns().await;
    let error = within("a no", pod(&dns).resolve("nobody:80")).await.unwrap_err();
    assert!(error.is_not_found());
    let causes: Vec<String> = error.causes().iter().map(ToString::to_string).collect();
    assert_eq!(causes.len(), 2, "{causes:?}");
    assert!(causes[0].contains("NOBODY_SERVICE_HOST: not set"), "{causes:?}");
    assert!(causes[1].contains("nobody.shop.svc.cluster.local.: no such name (NXDOMAIN)"), "{causes:?}");

    // A source that fails might have known: the "no" of the others is not the answer.
    let (source, handle) = ManualSource::new();
    handle.fail("the registry is down");
    let resolver = in_pod(&dns, "shop").source(Arc::new(source)).build().unwrap();
    let error = within("an error", resolver.resolve("nobody:80")).await.unwrap_err();
    assert!(error.is_transient() && !error.is_not_found(), "{error}");
    assert_eq!(error.causes().len(), 3, "{error}");
    for part in ["NOBODY_SERVICE_HOST", "the registry is down", "NXDOMAIN", "`nobody:80`"] {
        assert!(error.to_string().contains(part), "`{part}` in {error}");
    }
}

#[tokio::test]
async fn ready_tells_the_first_answer_and_available_waits_for_endpoints() {
    let (resolver, handle) = manual();
    let orders = resolver.upstream("orders").unwrap();
    let mut available = Box::pin(orders.ready());
    handle.not_found();
    assert!(within("a no", orders.first_answer()).await.unwrap_err().is_not_found());
    assert!(available.as_mut().now_or_never().is_none());
    handle.empty();
    let empty = async {
        while !orders.first_answer().await.is_err_and(|error| error.is_no_endpoints()) {
            tokio::task::yield_now().await
        }
    };
    within("an empty set", empty).await;
    assert!(available.as_mut().now_or_never().is_none());
    handle.fail("down");
    let failed = async {
        while !orders.first_answer().await.is_err_and(|error| error.is_transient()) {
            tokio::task::yield_now().await
        }
    };
    within("a failure", failed).await;
    assert!(available.as_mut().now_or_never().is_none());
    handle.set(["10.0.0.1:80"]);
    within("endpoints", available).await.unwrap();
    orders.first_answer().now_or_never().expect("at once").unwrap();

    // What is known stays, and nobody waits any more.
    handle.fail("down again");
    let stale = async {
        while !orders.endpoints().is_stale() {
            tokio::task::yield_now().await
        }
    };
    within("stale", stale).await;
    orders.first_answer().now_or_never().expect("at once").unwrap();
    orders.ready().now_or_never().expect("at once").unwrap();
}

/// While somebody waits, a Service that is created is found soon, in spite of the TTL of its absence.
#[tokio::test]
async fn available_asks_again_for_a_service_that_is_created() {
    let dns = FakeDns::builder().ttl(30).start().await.unwrap();
    let settings = brisk().with_negative(Duration::from_millis(20), Duration::from_secs(30)).unwrap();
    let orders = in_pod(&dns, "shop").refresh(settings).build().unwrap().upstream("orders:80").unwrap();
    let mut available = Box::pin(orders.ready());
    within("two questions", async {
        tokio::select! {
            done = &mut available => panic!("{done:?}"),
            () = dns.asked(of("orders"), 2) => {}
        }
    })
    .await;
    dns.apply(headless("orders", &["10.0.0.1"]));
    within("endpoints", available).await.unwrap();
}

#[tokio::test]
async fn external_hosts_localhost_and_addresses_go_the_same_way() {
    let dns = dns().await;
    dns.record("db.example.com", "192.0.2.7");
    let resolver = pod(&dns);
    for (target, first, winner) in [
        ("db.example.com:5432", "192.0.2.7:5432", "dns"),
        ("postgres://db.example.com:5432/x", "192.0.2.7:5432", "dns"),
        ("localhost:5432", "127.0.0.1:5432", "fixed"),
        ("10.1.2.3:5432", "10.1.2.3:5432", "fixed"),
        ("[2001:db8::1]:5432", "[2001:db8::1]:5432", "fixed"),
    ] {
        let upstream = within(target, resolver.resolve(target)).await.unwrap();
        let pick = upstream.pick().unwrap();
        assert_eq!(pick.endpoint().addr().to_string(), first, "{target}");
        pick.complete(Outcome::Success, std::time::Instant::now());
        assert_eq!(upstream.watch().next().now_or_never().map(|set| set.len()), Some(1), "{target}");
        assert_eq!(upstream.explain().winner, Some(winner), "{target}");
        within(target, upstream.ready()).await.unwrap();
        assert_eq!(resolver.active(), 1);
    }
    let db = within("db", resolver.resolve("db.example.com:5432")).await.unwrap();
    dns.record("db.example.com", "192.0.2.8");
    until(&db, "the second address", |set| set.len() == 2).await;
}

#[tokio::test]
async fn a_pick_without_endpoints_tells_why() {
    let (resolver, handle) = manual();
    let orders = resolver.upstream("orders:80").unwrap();
    let unknown = orders.pick().unwrap_err();
    assert!(
        unknown.is_transient() && unknown.to_string().contains("not been answered yet: await `ready`"),
        "{unknown}"
    );

    let told = async |is: fn(&discovery_core::Error) -> bool| {
        while !orders.pick().is_err_and(|error| is(&error)) {
            tokio::task::yield_now().await;
        }
        orders.pick().unwrap_err().to_string()
    };
    handle.not_found();
    let text = within("not found", told(|error| error.is_not_found())).await;
    assert!(text.contains("`orders:80` was not found") && text.contains("manual"), "{text}");
    handle.empty();
    let text = within("empty", told(|error| error.is_no_endpoints())).await;
    assert!(text.contains("`orders:80` has no endpoints") && text.contains("manual"), "{text}");
    handle.fail("the registry is down");
    let text = within("failed", told(|error| error.is_transient())).await;
    assert!(text.contains("the registry is down"), "{text}");

    handle.set(["10.0.0.1:80", "10.0.0.2:80"]);
    within("endpoints", orders.ready()).await.unwrap();
    let mut tried = Tried::new();
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        let pick = orders.pick_untried(&tried).unwrap();
        tried.add(pick.endpoint().identity());
        seen.insert(pick.endpoint().addr());
    }
    assert_eq!(seen.len(), 2);
    let error = orders.pick_untried(&tried).unwrap_err();
    assert!(error.is_all_tried() && !error.is_no_endpoints(), "{error}");
}

/// Two sets of fifty take turns; nobody ever sees a part of one, or of both.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_whole_sets_while_they_change() {
    let (source, handle) = ManualSource::new();
    let moment = Duration::from_millis(1);
    let settings = RefreshSettings::default().with_refresh(moment, Duration::from_secs(30)).unwrap();
    let settings = settings.with_backoff(moment, moment).unwrap().with_removal_hold(Duration::ZERO);
    let builder = Resolver::builder().environment(Environment::empty()).source(Arc::new(source)).refresh(settings);
    let set = |net: u8| (1..=50).map(move |n| format!("10.0.{net}.{n}:80")).collect::<Vec<_>>();
    let tell = |net: u8| handle.set(set(net).iter().map(String::as_str));
    tell(0);
    let orders = within("endpoints", builder.build().unwrap().resolve("orders")).await.unwrap();

    let (done, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (orders, done, reads) = (orders.clone(), done.clone(), reads.clone());
            tokio::spawn(async move {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    let endpoints = orders.endpoints();
                    let nets: BTreeSet<_> = endpoints.iter().map(|endpoint| octets(endpoint.addr())[2]).collect();
                    assert_eq!((endpoints.len(), nets.len()), (50, 1), "{nets:?}");
                    assert!(endpoints.version() >= last, "{last} then {}", endpoints.version());
                    last = endpoints.version();
                    let pick = orders.pick().unwrap();
                    assert!((1..=50).contains(&octets(pick.endpoint().addr())[3]));
                    drop((pick, endpoints));
                    reads.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for round in 1..=200_u64 {
        let net = u8::try_from(round % 2).unwrap();
        tell(net);
        until(&orders, "the other set", |set| octets(set[0].addr())[2] == net).await;
    }
    done.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    println!("{} reads, {} sets", reads.load(Ordering::Relaxed), orders.endpoints().version());
    assert_eq!(orders.endpoints().version(), 201);
    assert!(reads.load(Ordering::Relaxed) > 0);
}

fn octets(addr: std::net::SocketAddr) -> [u8; 4] {
    match addr {
        std::net::SocketAddr::V4(addr) => addr.ip().octets(),
        std::net::SocketAddr::V6(addr) => panic!("{addr}"),
    }
}
