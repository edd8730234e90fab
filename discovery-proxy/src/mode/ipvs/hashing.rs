//! The schedulers with a hash table: `sh` and `dh` with 256 buckets, and `mh`, Google's Maglev hashing.
//!
//! Source for `sh` and `dh`: linux net/netfilter/ipvs/ip_vs_sh.c and ip_vs_dh.c. Every change refills the table from
//! the list of destinations, so most clients move: this is not consistent hashing.
//!
//! Source for `mh`: linux net/netfilter/ipvs/ip_vs_mh.c; lib/siphash.c (`hsiphash_1u32`). Each destination walks the
//! table in its own permutation and takes the next free slot, in turns. Removing a destination therefore moves its own
//! clients and few others. The kernel uses the hash function that is fast on its machine. This is the 64-bit one,
//! SipHash-1-3 truncated to 32 bits; a 32-bit kernel distributes clients differently.

use std::net::{IpAddr, SocketAddr};

use super::{
    list::List,
    plan::Target,
    schedule::{Algorithm, Prepared, gcd_of_weights},
};
use crate::mode::slots::Id;

/// The settings of the `sh` scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceHash {
    fallback: bool,
    port: bool,
    before_4_10: bool,
}

impl SourceHash {
    /// Sets `sh-fallback`: if the destination of a bucket is unavailable, uses another one instead of rejecting.
    #[must_use]
    pub const fn with_fallback(mut self, fallback: bool) -> Self {
        self.fallback = fallback;
        self
    }

    /// Sets `sh-port`: hashes the client's port as well.
    #[must_use]
    pub const fn with_port(mut self, port: bool) -> Self {
        self.port = port;
        self
    }

    /// Uses the formula of kernels before 4.10: the lowest byte of the product instead of the highest.
    #[must_use]
    pub const fn with_old_formula(mut self, old: bool) -> Self {
        self.before_4_10 = old;
        self
    }
}

/// The destination of each bucket.
#[derive(Debug)]
pub(super) struct HashTable {
    config: SourceHash,
    /// `dh`: hashes the virtual address instead of the client's, and ignores weights.
    by_destination: bool,
    buckets: Vec<SocketAddr>,
}

const BUCKETS: u32 = 256;

impl HashTable {
    pub(super) fn by_source(config: SourceHash, list: &[Target]) -> Self {
        Self { config, by_destination: false, buckets: buckets(list, |target| target.weight.max(1)) }
    }

    pub(super) fn by_destination(list: &[Target]) -> Self {
        Self { config: SourceHash::default(), by_destination: true, buckets: buckets(list, |_| 1) }
    }

    fn bucket(&self, ip: IpAddr, port: u16, offset: u32) -> u32 {
        let value = fold(ip).wrapping_add(port.into());
        let hash = match self.config.before_4_10 {
            false => value.wrapping_mul(GOLDEN_RATIO_32) >> 24,
            true => value.wrapping_mul(KNUTH),
        };
        hash.wrapping_add(offset) % BUCKETS
    }
}

impl Algorithm for HashTable {
    fn schedule(&mut self, list: &List, client: SocketAddr, virtual_addr: SocketAddr) -> Option<Id> {
        let addr = if self.by_destination { virtual_addr } else { client };
        let port = if self.config.port { addr.port() } else { 0 };
        let bucket = |offset| self.bucket(addr.ip(), port, offset);
        let available = |bucket: u32| available(list, *self.buckets.get(bucket as usize)?);
        let first = bucket(0);
        let found = available(first);
        if found.is_some() || !self.config.fallback {
            return found;
        }
        (0..BUCKETS).find_map(|offset| available(bucket((offset + first) % BUCKETS)))
    }

    fn changed(&mut self, prepared: Prepared) {
        if let Prepared::Hash(table) = prepared {
            *self = table;
        }
    }
}

/// Fills the buckets: each destination in turn gets as many consecutive buckets as its weight, at least one.
fn buckets(list: &[Target], turns: impl Fn(&Target) -> u32) -> Vec<SocketAddr> {
    let round = || list.iter().flat_map(|target| (0..turns(target)).map(|_| target.addr));
    std::iter::repeat_with(round).take(BUCKETS as usize).flatten().take(BUCKETS as usize).collect()
}

/// The destination at an address, unless it has weight 0.
fn available(list: &List, addr: SocketAddr) -> Option<Id> {
    list.find(addr).filter(|id| list.get(*id).is_some_and(|(_, dest)| dest.weight > 0))
}

/// An address in 32 bits; the four words of an IPv6 address are combined with xor.
fn fold(ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits(),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            (bits >> 96) as u32 ^ (bits >> 64) as u32 ^ (bits >> 32) as u32 ^ bits as u32
        }
    }
}

/// The settings of the `mh` scheduler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maglev {
    fallback: bool,
    port: bool,
}

impl Maglev {
    /// Sets `mh-fallback`: if the destination of a slot is unavailable, uses another one instead of rejecting.
    #[must_use]
    pub const fn with_fallback(mut self, fallback: bool) -> Self {
        self.fallback = fallback;
        self
    }

    /// Sets `mh-port`: hashes the client's port as well.
    #[must_use]
    pub const fn with_port(mut self, port: bool) -> Self {
        self.port = port;
        self
    }
}

/// The destination of each slot.
#[derive(Debug)]
pub(super) struct MaglevTable {
    config: Maglev,
    /// By index in `owners`.
    slots: Vec<u32>,
    owners: Vec<SocketAddr>,
}

/// The permutation in which a destination walks the table.
struct Walk {
    at: u32,
    slot: u32,
    skip: u32,
    turns: u32,
}

impl MaglevTable {
    pub(super) fn new(config: Maglev, list: &[Target]) -> Self {
        let owners = list.iter().map(|target| target.addr).collect();
        Self { config, slots: slots(walks(list)), owners }
    }
}

impl Algorithm for MaglevTable {
    fn schedule(&mut self, list: &List, client: SocketAddr, _: SocketAddr) -> Option<Id> {
        let port = if self.config.port { client.port() } else { 0 };
        let slot = |offset: u32| hash(&FIRST, client, port, offset) % SLOTS;
        let available = |slot: u32| {
            let owner = *self.slots.get(slot as usize)?;
            available(list, *self.owners.get(owner as usize)?)
        };
        let first = slot(0);
        let found = available(first);
        if found.is_some() || !self.config.fallback {
            return found;
        }
        (0..SLOTS).find_map(|offset| available(slot((offset + first) % SLOTS)))
    }

    fn changed(&mut self, prepared: Prepared) {
        if let Prepared::Maglev(table) = prepared {
            *self = table;
        }
    }
}

/// Fills the slots: the destinations take free slots in turns.
fn slots(mut walks: Vec<Walk>) -> Vec<u32> {
    if walks.is_empty() {
        return Vec::new();
    }
    let mut slots = vec![None; SLOTS as usize];
    let mut left = slots.len();
    while left > 0 {
        for walk in &mut walks {
            for _ in 0..walk.turns.min(left as u32) {
                walk.take(&mut slots);
                left -= 1;
            }
        }
    }
    slots.into_iter().flatten().collect()
}

impl Walk {
    fn take(&mut self, slots: &mut [Option<u32>]) {
        while let Some(slot) = slots.get_mut(self.slot as usize) {
            if slot.is_none() {
                *slot = Some(self.at);
                return;
            }
            self.slot = (self.slot + self.skip) % SLOTS;
        }
    }
}

/// The walks of all destinations with a positive weight, with the slots that each takes per turn.
fn walks(list: &[Target]) -> Vec<Walk> {
    let Some(gcd) = gcd_of_weights(list) else { return Vec::new() };
    let highest = list.iter().map(|target| target.weight).max().unwrap_or(0) / gcd;
    let shift = (u32::BITS - highest.leading_zeros()).saturating_sub(WEIGHT_BITS);
    let walk = |(at, target): (u32, &Target)| Walk {
        at,
        slot: hash(&FIRST, target.addr, target.addr.port(), 0) % SLOTS,
        skip: hash(&SECOND, target.addr, target.addr.port(), 0) % (SLOTS - 1) + 1,
        turns: ((target.weight / gcd) >> shift).max(1),
    };
    (0..).zip(list).filter(|(_, target)| target.weight > 0).map(walk).collect()
}

fn hash(key: &[u64; 2], addr: SocketAddr, port: u16, offset: u32) -> u32 {
    hsiphash(key, fold(addr.ip()).wrapping_add(port.into()).wrapping_add(offset))
}

/// SipHash-1-3 of four bytes, truncated to 32 bits.
fn hsiphash(key: &[u64; 2], value: u32) -> u32 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let block = 4 << 56 | u64::from(value);
    v[3] ^= block;
    round(&mut v);
    v[0] ^= block;
    v[2] ^= 0xff;
    (0..3).for_each(|_| round(&mut v));
    (v[0] ^ v[1] ^ v[2] ^ v[3]) as u32
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

/// From linux include/linux/hash.h.
const GOLDEN_RATIO_32: u32 = 0x61C8_8647;
/// The multiplier of older schedulers.
const KNUTH: u32 = 2_654_435_761;
/// The fifth of the kernel's primes, for the default 12 of `CONFIG_IP_VS_MH_TAB_INDEX`.
const SLOTS: u32 = 4093;
/// Half of that index: larger weights are scaled down to this many bits.
const WEIGHT_BITS: u32 = 6;
const FIRST: [u64; 2] = [2_654_435_761; 2];
const SECOND: [u64; 2] = [2_654_446_892; 2];
