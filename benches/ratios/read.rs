//! Reading a resolved name: `Upstream::endpoints` beside hickory's cached answer.

use discovery_core::Upstream;
use discovery_testing::FakeDns;
use hickory_resolver::{
    TokioResolver,
    proto::rr::{Name, RecordType},
};

use crate::{
    measure::{compare, scaling, side, side_async},
    table::{Limit, Row, Table, Unit},
    world,
};

/// hickory took 1000 ns when the limit was set.
const LIMIT: Limit = Limit::NoAllocs { most: 25.0, ratio: 0.025 };

const BATCH: u64 = 256;

pub fn run(table: &mut Table) {
    let (servers, here) = (world::elsewhere(1), world::here());
    let dns = servers.block_on(FakeDns::builder().ttl(3_600).start()).expect("a nameserver");
    dns.apply(world::headless("orders", 10));
    let name = Name::from_ascii("orders.shop.svc.cluster.local.").expect("a name");
    let hickory = world::hickory(&dns, 8_192);
    let orders = here.block_on(async {
        assert_eq!(cached(&hickory, &name).await, 10);
        let resolver = world::ours(&dns).build().expect("a resolver");
        resolver.resolve("http://orders.shop:8080").await.expect("endpoints")
    });
    assert_eq!(read(&orders), 10);

    let [ours, theirs] = compare([side(|| read(&orders)), side_async(&here, async || cached(&hickory, &name).await)]);
    table.add(Row::costs("read: endpoints(), len and first", ours, "hickory, cached", theirs, LIMIT));

    let control = scaling(|| {
        let mut state = 1_u64;
        move || {
            for _ in 0..BATCH {
                state = std::hint::black_box(state.wrapping_mul(0x5851_f42d_4c95_7f2d).rotate_left(17) ^ state);
            }
            BATCH
        }
    });
    let ours = scaling(|| {
        let orders = orders.clone();
        move || {
            for _ in 0..BATCH {
                std::hint::black_box(read(&orders));
            }
            BATCH
        }
    });
    let theirs = scaling(|| {
        let (runtime, hickory, name) = (world::here(), hickory.clone(), name.clone());
        move || {
            runtime.block_on(async {
                for _ in 0..BATCH {
                    std::hint::black_box(cached(&hickory, &name).await);
                }
            });
            BATCH
        }
    });
    table.add(Row::plain("control: 2 threads / 1, nothing shared", Unit::Times, control, None, Limit::None));
    table.add(Row::plain("read: 2 threads / 1", Unit::Times, ours, Some(("hickory", theirs)), Limit::None));
}

/// Reads the first endpoint's address and returns the number of endpoints.
fn read(orders: &Upstream) -> usize {
    let endpoints = orders.endpoints();
    std::hint::black_box(endpoints.first().map(|endpoint| endpoint.addr()));
    endpoints.len()
}

async fn cached(hickory: &TokioResolver, name: &Name) -> usize {
    let answer = hickory.lookup(name.clone(), RecordType::A).await.expect("an answer");
    std::hint::black_box(answer.answers().first());
    answer.answers().len()
}
