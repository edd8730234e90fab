//! Picking an endpoint: the core with the time as an argument, and `Upstream::pick` as applications call it.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    time::Instant,
};

use discovery_core::{
    Resolver, Upstream,
    endpoint::EndpointSet,
    policy::{
        Decision, LeastRequest, Outcome, PickArgs, Picker, Policy, Random, RoundRobin, Snapshot, SplitMix64, Tried,
    },
};
use pingora_load_balancing::{LoadBalancer, selection::RoundRobin as PingoraRoundRobin};
use tower::{
    Service, ServiceExt,
    balance::p2c,
    discover::ServiceList,
    load::{CompleteOnResponse, PendingRequests},
    service_fn,
};
use volo::{
    context::Endpoint as VoloEndpoint,
    discovery::StaticDiscover,
    loadbalance::{LoadBalance, random::WeightedRandomBalance},
};

use crate::{
    measure::{compare, side, side_async},
    table::{Limit, Row, Table},
    world,
};

/// volo, the fastest peer, took 43 ns when the limit was set; pingora took 150.
const CHOICE: Limit = Limit::NoAllocs { most: 15.0, ratio: 15.0 / 43.0 };
const ROBIN: Limit = Limit::NoAllocs { most: 15.0, ratio: 0.1 };

/// tower took 190 ns at best when the limit was set.
const REQUEST: Limit = Limit::NoAllocs { most: 45.0, ratio: 45.0 / 190.0 };

const SIZES: [usize; 3] = [3, 100, 10_000];

pub fn run(table: &mut Table) {
    for size in SIZES {
        choosing(table, size);
    }
    for size in SIZES {
        least_request(table, size);
    }
}

/// Round robin and random: the choice alone.
fn choosing(table: &mut Table, size: usize) {
    let here = world::here();
    let (mut core_rr, mut core_random) = (Core::new(RoundRobin::new(), size), Core::new(Random::new(), size));
    let (app_rr, app_random) = (upstream(RoundRobin::new(), size), upstream(Random::new(), size));
    let pingora = LoadBalancer::<PingoraRoundRobin>::try_from_iter(world::addrs(size)).expect("backends");
    let volo = WeightedRandomBalance::<()>::new();
    let (name, addrs) = (VoloEndpoint::new("orders".into()), StaticDiscover::from(world::addrs(size)));
    let [core_rr, app_rr, pingora, core_random, app_random, volo] = compare([
        side(|| core_rr.choose()),
        side(|| app_rr.1.pick().expect("an endpoint").endpoint().addr()),
        side(|| pingora.select(b"", 256).expect("a backend")),
        side(|| core_random.choose()),
        side(|| app_random.1.pick().expect("an endpoint").endpoint().addr()),
        side_async(&here, async || volo.get_picker(&name, &addrs).await.expect("a picker").next().expect("one")),
    ]);
    let row = |what: &str| format!("{what}, N = {size}");
    table.add(Row::costs(row("pick round robin: core choose"), core_rr, "pingora select", pingora, ROBIN));
    table.add(Row::costs(row("pick round robin: Upstream::pick"), app_rr, "pingora select", pingora, Limit::None));
    table.add(Row::costs(row("pick random: core choose"), core_random, "volo get_picker+next", volo, CHOICE));
    table.add(Row::costs(row("pick random: Upstream::pick"), app_random, "volo get_picker+next", volo, Limit::None));
}

/// P2C by requests in flight: the choice, the start and the end of a request.
fn least_request(table: &mut Table, size: usize) {
    let here = world::here();
    let mut core = Core::new(LeastRequest::new(), size);
    let app = upstream(LeastRequest::new(), size);
    let mut tower = tower_p2c(size);
    let [core, app, clock, tower] = compare([
        side(|| core.request()),
        side(|| {
            let pick = app.1.pick().expect("an endpoint");
            pick.complete(Outcome::Success, Instant::now);
        }),
        side(Instant::now),
        side_async(&here, async || {
            let service = tower.ready().await.unwrap_or_else(|error| panic!("{error}"));
            service.call(()).await.unwrap_or_else(|error| panic!("{error}"));
        }),
    ]);
    let row = |what: &str| format!("{what}, N = {size}");
    table.add(Row::costs(row("pick P2C + complete: core"), core, "tower p2c ready+call", tower, REQUEST));
    table.add(Row::costs(row("pick P2C + complete: Upstream::pick"), app, "tower p2c ready+call", tower, REQUEST));
    if size == SIZES[0] {
        table.add(Row::costs(
            "one clock read, for comparison (pick P2C needs none)",
            clock,
            "tower p2c ready+call",
            tower,
            Limit::None,
        ));
    }
}

/// The pure core: a snapshot, its picker, a seed and a moment.
struct Core {
    snapshot: Snapshot,
    picker: Box<dyn Picker>,
    rng: SplitMix64,
    now: Instant,
}

impl Core {
    fn new(policy: impl Policy, size: usize) -> Self {
        let (set, now) = (EndpointSet::new(world::endpoints(size)), Instant::now());
        let snapshot = Snapshot::new(Arc::new(set), &policy, now, 1, None);
        let picker = policy.picker(snapshot.loaded_endpoints(), 1);
        Self { snapshot, picker, rng: SplitMix64::with_seed(2), now }
    }

    fn choose(&mut self) -> Decision {
        self.picker.pick(&mut PickArgs::new(&self.now, &mut self.rng, &Tried::new()))
    }

    fn request(&mut self) {
        let pick = self.snapshot.pick(&mut PickArgs::new(&self.now, &mut self.rng, &Tried::new()));
        pick.expect("an endpoint").complete(Outcome::Success, self.now);
    }
}

/// An upstream, with the runtime on which its task runs.
fn upstream(policy: impl Policy, size: usize) -> (tokio::runtime::Runtime, Upstream) {
    let here = world::here();
    let upstream = here.block_on(world::upstream(Resolver::builder().policy(policy), world::endpoints(size)));
    assert_eq!(upstream.endpoints().len(), size);
    (here, upstream)
}

fn tower_p2c(size: usize) -> impl Service<(), Response = (), Error = tower::BoxError> {
    let service = |_: usize| {
        let ok = |()| -> Ready<Result<(), Infallible>> { ready(Ok(())) };
        PendingRequests::new(service_fn(ok), CompleteOnResponse::default())
    };
    p2c::Balance::new(ServiceList::new::<()>((0..size).map(service)))
}
