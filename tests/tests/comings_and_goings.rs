//! Runtimes that come and go at random while they share one resolver, and some that stay without being driven.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use discovery_core::{
    Environment, Resolver, Upstream,
    endpoint::Endpoint,
    policy::{Rng, SplitMix64},
};
use discovery_testing::{ManualHandle, ManualSource};
use tests::brisk;
use tokio::runtime::{Builder, Runtime};

/// An upstream shows within this time what its source published before the call. A takeover takes a second; the rest is
/// for a busy machine.
const BOUND: Duration = Duration::from_secs(8);

/// How many threads use runtimes of their own.
const USERS: u64 = 6;

/// How often the source changes.
const PUBLISH_EVERY: Duration = Duration::from_micros(1500);

struct World {
    resolver: Resolver,
    published: AtomicU32,
    ends: AtomicBool,
}

/// One thread that uses the resolver, on one runtime after the other.
struct User<'a> {
    world: &'a World,
    dice: SplitMix64,
    /// A handle that outlives its runtime.
    kept: Option<Upstream>,
    /// A runtime that nothing drives any more.
    idle: Option<Runtime>,
    waits: u32,
}

impl User<'_> {
    fn roll(&mut self, sides: usize) -> usize {
        self.dice.below(sides)
    }

    fn one_runtime(&mut self) {
        let runtime = match self.roll(3) {
            0 => Builder::new_current_thread().enable_all().build().unwrap(),
            workers => Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap(),
        };
        for _ in 0..=self.roll(3) {
            runtime.block_on(self.one_use());
        }
        match self.roll(20) {
            0 => drop(self.idle.replace(runtime)),
            1..10 => runtime.shutdown_background(),
            10..20 => runtime.shutdown_timeout(Duration::from_millis(2)),
            _ => drop(runtime),
        }
    }

    async fn one_use(&mut self) {
        let kept = self.kept.take();
        let upstream = kept.unwrap_or_else(|| self.world.resolver.upstream("orders:80").unwrap());
        for _ in 0..self.roll(3) {
            let upstream = upstream.clone();
            tokio::spawn(async move { sees(&upstream, u32::MAX).await });
        }
        // One of six leaves before there is an answer.
        if self.roll(6) > 0 {
            let wanted = self.world.published.load(Ordering::Acquire);
            let seen = tokio::time::timeout(BOUND, sees(&upstream, wanted)).await;
            assert!(seen.is_ok(), "{wanted} was published, {} is shown: {upstream:?}", shown(&upstream));
            self.waits += 1;
        }
        self.kept = (self.roll(2) == 0).then_some(upstream);
    }
}

/// The number of a publication, as an endpoint.
fn endpoint(number: u32) -> Endpoint {
    let [_, a, b, c] = number.to_be_bytes();
    Endpoint::new(SocketAddr::from(([10, a, b, c], 80)))
}

/// The number of the publication that is shown.
fn shown(upstream: &Upstream) -> u32 {
    match upstream.endpoints().iter().next().map(Endpoint::addr) {
        Some(SocketAddr::V4(addr)) => u32::from(*addr.ip()) & 0x00ff_ffff,
        _ => 0,
    }
}

async fn sees(upstream: &Upstream, wanted: u32) {
    let mut watch = upstream.watch();
    while shown(upstream) < wanted {
        watch.next().await;
    }
}

/// Publishes until the world ends.
fn publish(world: &World, handle: &ManualHandle) {
    let mut number = 0;
    while !world.ends.load(Ordering::Relaxed) {
        number += 1;
        handle.set_endpoints([endpoint(number)]);
        world.published.store(number, Ordering::Release);
        thread::sleep(PUBLISH_EVERY);
    }
}

/// Lets all users go through `runtimes` runtimes each.
fn live(runtimes: u32, seed: u64) {
    let (source, handle) = ManualSource::new();
    let resolver = Resolver::builder().environment(Environment::empty()).source(Arc::new(source));
    let resolver = resolver.refresh(brisk().with_removal_hold(Duration::ZERO)).build().unwrap();
    let world = World { resolver, published: AtomicU32::new(0), ends: AtomicBool::new(false) };
    let user = |number: u64| {
        let dice = SplitMix64::with_seed(seed * USERS + number);
        let mut user = User { world: &world, dice, kept: None, idle: None, waits: 0 };
        (0..runtimes).for_each(|_| user.one_runtime());
        user.waits
    };
    let waits = thread::scope(|scope| {
        let publisher = scope.spawn(|| publish(&world, &handle));
        let users: Vec<_> = (0..USERS).map(|number| scope.spawn(move || user(number))).collect();
        let waits: Vec<_> = users.into_iter().map(thread::ScopedJoinHandle::join).collect();
        world.ends.store(true, Ordering::Relaxed);
        publisher.join().unwrap();
        waits
    });
    let waits: u32 = waits.into_iter().map(|waits| waits.unwrap_or_else(|_| panic!("frozen with seed {seed}"))).sum();
    assert!(waits > runtimes, "{waits} waits");
    println!("{waits} waits, none of them longer than {BOUND:?}");
}

#[test]
fn every_upstream_is_driven_while_runtimes_come_and_go() {
    live(60, 1);
}

/// Some 60 000 waits in a few minutes.
#[test]
#[ignore = "takes minutes"]
fn every_upstream_is_driven_for_minutes_while_runtimes_come_and_go() {
    (0..10).for_each(|seed| live(500, seed));
}
