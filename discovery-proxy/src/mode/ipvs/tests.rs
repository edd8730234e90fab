//! The schedulers. The expected orders are derived from the kernel's code.

use std::{net::SocketAddr, time::Instant};

use super::{
    Scheduler::{self, *},
    plan::Plan,
    virtual_server::VirtualServer,
};
use crate::{Maglev, SourceHash, tests::world::epoch};
use discovery_core::policy::{Rng, SplitMix64};

/// A virtual server with destinations 10.0.0.1, 10.0.0.2 and so on.
struct Server {
    plan: Plan,
    server: VirtualServer,
    now: Instant,
}

fn dest(last: u8) -> SocketAddr {
    ([10, 0, 0, last], 80).into()
}

impl Server {
    fn new(scheduler: Scheduler, dests: &[u8]) -> Self {
        let mut server = Self { plan: Plan::new(scheduler), server: VirtualServer::new(scheduler), now: epoch() };
        server.sync(dests);
        server
    }

    /// A virtual server whose list is 10.0.0.1, 10.0.0.2 and so on, with these weights.
    fn weighted(scheduler: Scheduler, weights: &[u32]) -> Self {
        let mut server = Self::new(scheduler, &[]);
        // Each one is added at the head, before those that are there.
        for last in (1..=weights.len() as u8).rev() {
            server.sync(&(last..=weights.len() as u8).collect::<Vec<_>>());
        }
        weights.iter().zip(1..).for_each(|(weight, last)| server.set_weight(last, *weight));
        server
    }

    fn sync(&mut self, dests: &[u8]) {
        let wanted: Vec<_> = dests.iter().map(|last| dest(*last)).collect();
        let steps = self.server.steps(self.plan.want(&wanted), true);
        drop(self.server.apply(&steps, self.plan.prepare(&steps), None, self.now));
    }

    fn set_weight(&mut self, last: u8, weight: u32) {
        self.server.set_weight(dest(last), weight, self.plan.set_weight(dest(last), weight));
    }

    fn from(&mut self, client: &str) -> Option<u8> {
        let client = client.parse().expect("a client");
        let to = "10.96.0.10:80".parse().expect("an address");
        self.server.schedule(client, to, self.now).map(|(addr, _)| addr.to_string().as_bytes()[7] - b'0')
    }

    fn next(&mut self) -> Option<u8> {
        self.from("192.0.2.1:1")
    }

    fn run(&mut self, n: usize) -> Vec<u8> {
        (0..n).filter_map(|_| self.next()).collect()
    }

    fn open(&mut self, last: u8, active: u32, inactive: u32) {
        let client = [192, 0, 2, 1].into();
        let ids: Vec<_> = (0..active + inactive).filter_map(|_| self.server.opened(dest(last), client)).collect();
        ids.into_iter().take(inactive as usize).for_each(|id| self.server.finishing(id));
    }

    fn list(&self) -> Vec<u8> {
        self.server.addresses().iter().map(|addr| addr.to_string().as_bytes()[7] - b'0').collect()
    }
}

#[test]
fn destinations_are_added_at_the_head_of_the_list() {
    let mut server = Server::new(RoundRobin, &[1, 2]);
    server.sync(&[1, 2, 3]);
    assert_eq!(server.list(), [3, 2, 1]);
}

#[test]
fn rr_walks_the_list() {
    assert_eq!(Server::new(RoundRobin, &[1, 2, 3]).run(5), [3, 2, 1, 3, 2]);
}

#[test]
fn rr_continues_after_the_last_one_when_one_is_added() {
    let mut server = Server::new(RoundRobin, &[1, 2, 3]);
    assert_eq!(server.run(2), [3, 2]);
    server.sync(&[1, 2, 3, 4]);
    assert_eq!(server.run(4), [1, 4, 3, 2]);
}

#[test]
fn rr_steps_back_when_the_last_one_is_removed() {
    let mut server = Server::new(RoundRobin, &[1, 2, 3]);
    assert_eq!(server.run(2), [3, 2]);
    server.sync(&[1, 3]);
    assert_eq!(server.run(3), [1, 3, 1]);
    let mut head = Server::new(RoundRobin, &[1, 2, 3]);
    assert_eq!(head.run(1), [3]);
    head.sync(&[1, 2]);
    assert_eq!(head.run(3), [2, 1, 2], "back at the head of the list");
}

#[test]
fn rr_skips_weight_0_and_rejects_without_candidates() {
    let mut server = Server::weighted(RoundRobin, &[1, 0, 1]);
    assert_eq!(server.run(4), [1, 3, 1, 3]);
    for last in [1, 3] {
        server.set_weight(last, 0);
    }
    assert_eq!(server.next(), None);
    assert_eq!(Server::new(RoundRobin, &[]).next(), None);
}

#[test]
fn wrr_follows_the_kernels_order() {
    let mut server = Server::weighted(WeightedRoundRobin, &[4, 3, 2]);
    // Setting the weights one after the other has decreased the current weight to 1. After one round it is back at its
    // start.
    let round = server.run(18);
    let want = [1, 1, 2, 1, 2, 3, 1, 2, 3];
    assert!((0..9).any(|from| round[from..from + 9] == want), "{round:?}");
}

#[test]
fn wrr_gives_shares_by_weight() {
    for weights in [[4, 3, 2], [2, 4, 6], [1, 0, 5], [10, 10, 10]] {
        let mut server = Server::weighted(WeightedRoundRobin, &weights);
        let total: u32 = weights.iter().sum();
        server.run(total as usize);
        let gone = server.run(10 * total as usize);
        for (weight, last) in weights.iter().zip(1..) {
            assert_eq!(gone.iter().filter(|one| **one == last).count(), 10 * *weight as usize, "{weights:?}");
        }
    }
}

#[test]
fn wrr_starts_over_at_the_head_after_a_change() {
    let mut server = Server::new(WeightedRoundRobin, &[1, 2, 3]);
    assert_eq!(server.run(2), [3, 2]);
    server.sync(&[1, 2, 3, 4]);
    assert_eq!(server.run(5), [4, 3, 2, 1, 4]);
    assert_eq!(Server::weighted(WeightedRoundRobin, &[0, 0]).next(), None);
    assert_eq!(Server::new(WeightedRoundRobin, &[]).next(), None);
}

#[test]
fn lc_counts_an_active_connection_256_times() {
    let mut server = Server::weighted(LeastConnection, &[1, 1]);
    server.open(1, 1, 0);
    server.open(2, 0, 255);
    assert_eq!(server.next(), Some(2));
    server.open(2, 0, 1);
    assert_eq!(server.next(), Some(1), "of equals, the first in list order");
    server.open(1, 0, 1);
    assert_eq!(server.next(), Some(2));
}

#[test]
fn lc_ignores_positive_weights_and_wlc_divides_by_them() {
    for (scheduler, want) in [(LeastConnection, 2), (WeightedLeastConnection, 1)] {
        let mut server = Server::weighted(scheduler, &[3, 1, 0]);
        server.open(1, 2, 0);
        server.open(2, 1, 0);
        assert_eq!(server.next(), Some(want), "{scheduler:?}");
    }
    let mut equal = Server::weighted(WeightedLeastConnection, &[2, 1]);
    equal.open(1, 2, 0);
    equal.open(2, 1, 0);
    assert_eq!(equal.next(), Some(1), "of equals, the first in list order");
}

#[test]
fn sed_counts_the_new_connection_and_ignores_closing_ones() {
    let mut server = Server::weighted(ShortestExpectedDelay, &[1, 3]);
    assert_eq!(server.next(), Some(2), "1/1 against 1/3");
    server.open(2, 2, 1000);
    assert_eq!(server.next(), Some(1), "1/1 against 3/3: the first in list order");
    server.open(1, 1, 0);
    assert_eq!(server.next(), Some(2));
}

#[test]
fn nq_prefers_an_idle_destination() {
    let mut server = Server::weighted(NeverQueue, &[1, 3]);
    assert_eq!(server.next(), Some(1), "idle, although the other one has a higher weight");
    server.open(1, 1, 0);
    assert_eq!(server.next(), Some(2));
    server.open(2, 1, 0);
    assert_eq!(server.next(), Some(2), "2/1 against 2/3");
}

#[test]
fn sed_nq_and_lc_agree_with_equal_weights_and_no_closing_connections() {
    let mut rng = SplitMix64::with_seed(3);
    for _ in 0..500 {
        let schedulers = [ShortestExpectedDelay, NeverQueue, LeastConnection];
        let mut servers = schedulers.map(|scheduler| Server::new(scheduler, &[1, 2, 3]));
        for last in 1..=3 {
            let active = rng.below(4) as u32;
            servers.iter_mut().for_each(|server| server.open(last, active, 0));
        }
        let [sed, nq, lc] = servers.map(|mut server| server.next());
        assert_eq!((sed, nq), (nq, lc));
    }
}

/// `hash_32` of linux include/linux/hash.h.
fn new_bucket(ip: u32) -> usize {
    (ip.wrapping_mul(0x61C8_8647) >> 24) as usize
}

#[test]
fn sh_fills_buckets_in_list_order_and_uses_the_highest_byte() {
    let mut server = Server::new(SourceHashing(SourceHash::default()), &[1, 2, 3]);
    let list = server.list();
    for (client, ip) in [("10.244.1.7:9", 0x0AF4_0107), ("10.244.1.8:9", 0x0AF4_0108), ("203.0.113.9:1", 0xCB00_7109)] {
        assert_eq!(server.from(client), Some(list[new_bucket(ip) % 3]), "{client}");
    }
    assert_eq!(new_bucket(0x0AF4_0107), 0x36, "10.244.1.7");
}

#[test]
fn sh_of_older_kernels_uses_the_lowest_byte() {
    let mut server = Server::new(SourceHashing(SourceHash::default().with_old_formula(true)), &[1, 2, 3]);
    let list = server.list();
    let bucket = (0x0AF4_0107_u32.wrapping_mul(2_654_435_761) & 255) as usize;
    assert_eq!(server.from("10.244.1.7:9"), Some(list[bucket % 3]));
}

#[test]
fn sh_combines_the_four_words_of_ipv6() {
    let mut server = Server::new(SourceHashing(SourceHash::default()), &[1, 2, 3]);
    let list = server.list();
    let fold = 0x2001_0db8 ^ 0x0000_0001 ^ 0x0000_0002 ^ 0x0000_0003;
    assert_eq!(server.from("[2001:db8:0:1:0:2:0:3]:9"), Some(list[new_bucket(fold) % 3]));
}

#[test]
fn sh_gives_consecutive_buckets_by_weight_and_one_for_weight_0() {
    let clients: Vec<String> = (0..64).map(|last| format!("10.244.1.{last}:9")).collect();
    let mut server = Server::weighted(SourceHashing(SourceHash::default()), &[2, 0, 1]);
    let owners = [1, 1, 2, 3];
    for (client, last) in clients.iter().zip(0_u32..) {
        let owner = owners[new_bucket(0x0AF4_0100 + last) % 4];
        assert_eq!(server.from(client), (owner != 2).then_some(owner), "weight 0 refuses");
    }
}

#[test]
fn sh_fallback_uses_another_destination() {
    let mut server = Server::weighted(SourceHashing(SourceHash::default().with_fallback(true)), &[1, 0]);
    for last in 0..64 {
        assert_eq!(server.from(&format!("10.244.1.{last}:9")), Some(1));
    }
}

#[test]
fn sh_port_hashes_the_port() {
    let owners = |config: SourceHash| {
        let mut server = Server::new(SourceHashing(config), &[1, 2, 3]);
        (1..100).map(|port| server.from(&format!("10.244.1.7:{port}"))).collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!(owners(SourceHash::default()), 1);
    assert_eq!(owners(SourceHash::default().with_port(true)), 3);
}

#[test]
fn dh_sends_all_clients_of_an_address_to_one_destination() {
    let mut server = Server::weighted(DestinationHashing, &[1, 9, 1]);
    let want = server.list()[new_bucket(0x0A60_000A) % 3];
    for last in 0..64 {
        assert_eq!(server.from(&format!("10.244.1.{last}:9")), Some(want));
    }
}

fn owners(server: &mut Server) -> Vec<Option<u8>> {
    (0..250).flat_map(|a| (1..9).map(move |b| format!("10.244.{b}.{a}:9"))).map(|client| server.from(&client)).collect()
}

#[test]
fn mh_is_balanced_and_moves_few_clients() {
    let mut server = Server::new(Maglev(Maglev::default()), &[1, 2, 3, 4, 5]);
    let before = owners(&mut server);
    for last in 1..=5 {
        let share = before.iter().filter(|owner| **owner == Some(last)).count();
        assert!((300..500).contains(&share), "{last}: {share} of 2000");
    }
    server.sync(&[1, 2, 4, 5]);
    let after = owners(&mut server);
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after && **before != Some(3)).count();
    assert!(moved < 160, "{moved} of 1600 moved without need");
    assert!(after.iter().all(|owner| *owner != Some(3)));
}

#[test]
fn mh_gives_shares_by_weight_and_rejects_without_destinations() {
    let mut server = Server::weighted(Maglev(Maglev::default()), &[3, 1, 0]);
    let all = owners(&mut server);
    let heavy = all.iter().filter(|owner| **owner == Some(1)).count();
    assert!((1_400..1_600).contains(&heavy), "{heavy} of 2000");
    assert!(all.iter().all(|owner| *owner != Some(3) && owner.is_some()));
    assert_eq!(Server::new(Maglev(Maglev::default()), &[]).next(), None);
}

#[test]
fn mh_port_hashes_the_port() {
    let mut server = Server::new(Maglev(Maglev::default().with_port(true).with_fallback(true)), &[1, 2, 3]);
    let owners: std::collections::BTreeSet<_> =
        (1..100).map(|port| server.from(&format!("10.244.1.7:{port}"))).collect();
    assert_eq!(owners.len(), 3);
}
