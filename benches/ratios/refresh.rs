//! A thousand names, each refreshed once a second in the background.

use std::{
    net::IpAddr,
    sync::{Arc, Barrier, RwLock},
    time::Duration,
};

use allocation_counter::{AllocationInfo, measure};
use cpu_time::ThreadTime;
use discovery_core::{Resolver, Upstream};
use discovery_testing::FakeDns;
use futures_util::{StreamExt, stream};
use hickory_resolver::{
    TokioResolver,
    proto::rr::{Name, RData, RecordType},
};
use tokio::{runtime::Runtime, time::sleep};

use crate::{
    measure::{median, opt_out_returning},
    table::{Limit, Row, Table, Unit},
    world,
};

const NAMES: usize = 1_000;
const PODS: usize = 10;
const WINDOWS: usize = 7;
const WINDOW: Duration = Duration::from_secs(2);

/// The peer's time between two questions for a name: the middle of ours with a TTL of 1 s.
const PERIOD: Duration = Duration::from_millis(1_050);

/// The cost of one name on one side.
struct NameCost {
    /// Nanoseconds of processor time per second.
    cpu: f64,
    bytes: f64,
    /// Questions per second.
    questions: f64,
    /// Allocations per refresh.
    allocs: f64,
}

/// Runs both sides at the same time, each on its own thread with its own nameserver, so that disturbances hit both.
pub fn run(table: &mut Table) {
    let start = Barrier::new(2);
    let (ours, theirs) = std::thread::scope(|scope| {
        let ours = scope.spawn(|| measured(&start, |dns| world::ours(dns).build().expect("a resolver"), our_names));
        let theirs = scope.spawn(|| measured(&start, |dns| world::hickory(dns, 0), their_names));
        (ours.join().expect("our side"), theirs.join().expect("their side"))
    });
    let peer = |value: f64| Some(("hickory loop", value));
    let row = |what: &str| format!("refresh {NAMES} x {PODS}, TTL 1: {what}");
    table.add(Row::plain(row("CPU per name and s"), Unit::Nanos, ours.cpu, peer(theirs.cpu), Limit::None));
    table.add(Row::plain(
        row("questions per name and s"),
        Unit::Times,
        ours.questions,
        peer(theirs.questions),
        Limit::AtMost(1.0),
    ));
    let (our_cpu, their_cpu) = (ours.cpu / ours.questions, theirs.cpu / theirs.questions);
    let mut each = Row::plain(row("CPU per refresh"), Unit::Nanos, our_cpu, peer(their_cpu), Limit::None);
    each.allocs = (Some(ours.allocs.round()), Some(theirs.allocs.round()));
    table.add(each);
    table.add(Row::plain(row("memory per name"), Unit::Bytes, ours.bytes, peer(theirs.bytes), Limit::None));
}

fn measured<R, K>(start: &Barrier, resolver: impl Fn(&FakeDns) -> R, begin: impl AsyncFn(&R) -> K) -> NameCost {
    let (servers, here) = (world::elsewhere(1), world::here());
    let dns = servers.block_on(FakeDns::builder().ttl(1).start()).expect("a nameserver");
    (0..NAMES).for_each(|at| dns.apply(world::headless(&format!("svc-{at}"), PODS)));
    let resolver = resolver(&dns);
    let mut kept = None;
    let held = measure(|| kept = Some(here.block_on(begin(&resolver))));
    window(&here, WINDOW);
    start.wait();

    let (mut cpu, mut questions) = (Vec::new(), Vec::new());
    opt_out_returning(|| {
        for _ in 0..WINDOWS {
            dns.forget();
            cpu.push(window(&here, WINDOW));
            questions.push(dns.total() as f64);
        }
    });
    dns.forget();
    let counted: AllocationInfo = measure(|| {
        window(&here, WINDOW);
    });
    let cost = NameCost {
        cpu: median(cpu) / NAMES as f64 / WINDOW.as_secs_f64(),
        bytes: held.bytes_current as f64 / NAMES as f64,
        questions: median(questions) / NAMES as f64 / WINDOW.as_secs_f64(),
        allocs: counted.count_total as f64 / dns.total() as f64,
    };
    drop(kept);
    cost
}

/// Lets the client work for a while; returns the processor time that it took, in nanoseconds.
fn window(here: &Runtime, length: Duration) -> f64 {
    let start = ThreadTime::now();
    here.block_on(async { sleep(length).await });
    start.elapsed().as_nanos() as f64
}

/// Resolves all names, a few at a time so that the nameserver's socket is not flooded.
async fn our_names(resolver: &Resolver) -> Vec<Upstream> {
    let one = async |at: usize| {
        let upstream = resolver.resolve(format!("http://svc-{at}.shop:8080").as_str()).await.expect("endpoints");
        assert_eq!(upstream.endpoints().len(), PODS);
        upstream
    };
    stream::iter(0..NAMES).map(one).buffer_unordered(20).collect().await
}

type Addrs = Arc<RwLock<Vec<IpAddr>>>;

/// The loop that one writes with hickory alone: a task for each name that asks, stores the answer, and sleeps.
async fn their_names(resolver: &TokioResolver) -> Vec<Addrs> {
    let one = async |at: usize| {
        let name = Name::from_ascii(format!("svc-{at}.shop.svc.cluster.local.")).expect("a name");
        let addrs = Addrs::default();
        ask(resolver, &name, &addrs).await;
        let (resolver, kept) = (resolver.clone(), addrs.clone());
        tokio::spawn(async move {
            loop {
                sleep(PERIOD).await;
                ask(&resolver, &name, &kept).await;
            }
        });
        addrs
    };
    stream::iter(0..NAMES).map(one).buffer_unordered(20).collect().await
}

async fn ask(resolver: &TokioResolver, name: &Name, kept: &Addrs) {
    let Ok(answer) = resolver.lookup(name.clone(), RecordType::A).await else { return };
    let ip = |data: &RData| match data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        _ => None,
    };
    let addrs: Vec<IpAddr> = answer.answers().iter().filter_map(|record| ip(&record.data)).collect();
    *kept.write().expect("not poisoned") = addrs;
}
