//! Publishing a set of 10 000 endpoints, with one percent of them replaced or with no change.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    measure::{compare, median, side, side_async},
    table::{Limit, Row, Table, Unit},
    world,
};
use discovery_core::{
    Environment, Resolver,
    endpoint::Endpoint,
    policy::{LeastRequest, Snapshot},
    refresh::{Refresh, RefreshSettings},
    source::{State, Update},
};
use discovery_testing::ManualSource;
use pingora_load_balancing::{Backend, Backends, LoadBalancer, discovery::ServiceDiscovery, prelude::RoundRobin};

const SIZE: usize = 10_000;
const CHANGED: usize = SIZE / 100;
const LIMIT: Limit = Limit::AtMost(5e6);

/// The time between two changes: the resolver accepts changes from a source at most once a second.
const APART: Duration = Duration::from_millis(1_050);

pub fn run(table: &mut Table) {
    core(table);
    end_to_end(table);
}

/// `Refresh::on_update` and `Snapshot::next`, beside pingora's `update`, which also takes a full set.
fn core(table: &mut Table) {
    let here = world::here();
    let (mut same, mut rolling, mut holding) = (Core::new(Duration::ZERO), Core::new(Duration::ZERO), Core::new(HOLD));
    let unchanged = Update::new(State::Ready(sets().0));
    let (changing, steady) = (pingora(true), pingora(false));
    let [ours, held, theirs, same, their_same] = compare([
        side(|| assert!(rolling.change(), "a changed set is published")),
        side(|| holding.change()),
        side_async(&here, async || changing.update().await.expect("an update")),
        side(|| assert!(!same.update(&unchanged), "an unchanged set is not published")),
        side_async(&here, async || steady.update().await.expect("an update")),
    ]);
    let peer = "pingora update";
    table.add(Row::costs("publish 10 000: 1 % replaced, core", ours, peer, theirs, LIMIT));
    table.add(Row::costs("publish 10 000: 1 % replaced, removals held back", held, peer, theirs, LIMIT));
    table.add(Row::costs("publish 10 000: unchanged, core", same, peer, their_same, LIMIT));
}

const HOLD: Duration = Duration::from_secs(1);

/// The two layers between a source's answer and the snapshot that readers use.
struct Core {
    refresh: Refresh,
    snapshot: Snapshot,
    sets: [Update; 2],
    turn: usize,
    now: Instant,
}

impl Core {
    fn new(hold: Duration) -> Self {
        let now = Instant::now();
        let (one, other) = sets();
        let mut core = Self {
            refresh: Refresh::new(RefreshSettings::default().with_removal_hold(hold), now),
            snapshot: Snapshot::new(Arc::default(), &LeastRequest::new(), now, 1, None),
            sets: [one, other].map(|set| Update::new(State::Ready(set))),
            turn: 1,
            now,
        };
        core.change();
        core
    }

    /// Applies the next set. Sets come two seconds apart, so that held-back removals are due.
    fn change(&mut self) -> bool {
        self.now += Duration::from_secs(2);
        self.turn += 1;
        let update = self.sets[self.turn % 2].clone();
        self.update(&update)
    }

    fn update(&mut self, update: &Update) -> bool {
        let Some(view) = self.refresh.on_update(update, self.now, &mut || 0.5) else { return false };
        self.snapshot = self.snapshot.next(view.set, &LeastRequest::new(), 1);
        true
    }
}

/// Two sets that differ in one percent of their endpoints.
fn sets() -> (Vec<Endpoint>, Vec<Endpoint>) {
    let all = world::endpoints(SIZE + CHANGED);
    (all[..SIZE].to_vec(), all[CHANGED..].to_vec())
}

fn pingora(change: bool) -> LoadBalancer<RoundRobin> {
    let all: Vec<Backend> =
        world::addrs(SIZE + CHANGED).iter().map(|addr| Backend::new(&addr.to_string()).expect("a backend")).collect();
    let sets = [all[..SIZE].to_vec(), all[if change { CHANGED..SIZE + CHANGED } else { 0..SIZE }].to_vec()];
    let flip = Flip { sets: sets.map(|set| set.into_iter().collect()), second: AtomicBool::new(false) };
    LoadBalancer::from_backends(Backends::new(Box::new(flip)))
}

/// A discovery that alternates between two sets.
struct Flip {
    sets: [BTreeSet<Backend>; 2],
    second: AtomicBool,
}

#[async_trait::async_trait]
impl ServiceDiscovery for Flip {
    async fn discover(&self) -> pingora_error::Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let second = self.second.fetch_xor(true, Ordering::Relaxed);
        Ok((self.sets[usize::from(second)].clone(), HashMap::new()))
    }
}

/// The time from a change in a source until a reader sees it.
fn end_to_end(table: &mut Table) {
    let pool = world::elsewhere(1);
    let (one, other) = sets();
    let (source, handle) = ManualSource::new();
    handle.set_endpoints(one.clone());
    let settings = RefreshSettings::default().with_removal_hold(Duration::ZERO);
    let resolver = Resolver::builder()
        .environment(Environment::empty())
        .refresh(settings)
        .source(Arc::new(source))
        .build()
        .expect("resolver");
    let orders = pool.block_on(resolver.resolve("orders.shop:8080")).expect("endpoints");
    let version = || orders.endpoints().version();
    let mut took = Vec::new();
    for round in 0..8 {
        std::thread::sleep(APART);
        let before = version();
        let next = if round % 2 == 0 { other.clone() } else { one.clone() };
        let start = Instant::now();
        handle.set_endpoints(next);
        while version() == before {
            std::hint::spin_loop();
        }
        took.push(start.elapsed().as_nanos() as f64);
    }
    table.add(Row::plain("publish 10 000: 1 % replaced, source to reader", Unit::Nanos, median(took), None, LIMIT));

    std::thread::sleep(APART);
    let before = version();
    handle.set_endpoints(one);
    std::thread::sleep(APART);
    let published = (version() - before) as f64;
    table.add(Row::plain(
        "publish 10 000: unchanged, versions published",
        Unit::Times,
        published,
        None,
        Limit::AtMost(0.0),
    ));
}
