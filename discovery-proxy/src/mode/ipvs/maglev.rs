//! `mh`: Google's Maglev hashing.
//!
//! Source: linux net/netfilter/ipvs/ip_vs_mh.c; lib/siphash.c (`hsiphash_1u32`). Each destination walks the table in a
//! permutation of its own and takes the next free slot, in turns. So the loss of one destination moves its own
//! clients and few others.
//!
//! The kernel hashes with what is fast on its machine. This is the 64-bit form, SipHash-1-3 cut to 32 bits; a 32-bit
//! kernel distributes otherwise.

use std::net::SocketAddr;

use super::{
    hashing::fold,
    schedule::{Dest, gcd_of_weights},
};

/// What can be set of `mh`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Maglev {
    fallback: bool,
    port: bool,
}

impl Maglev {
    /// `mh-fallback`: when the owner of a slot is not available, look for another one instead of refusing.
    #[must_use]
    pub const fn with_fallback(mut self, fallback: bool) -> Self {
        self.fallback = fallback;
        self
    }

    /// `mh-port`: the client's port counts as well.
    #[must_use]
    pub const fn with_port(mut self, port: bool) -> Self {
        self.port = port;
        self
    }
}

/// Who owns each slot, by number in the list.
#[derive(Debug)]
pub(super) struct MaglevTable {
    config: Maglev,
    slots: Vec<usize>,
}

/// A destination that fills the table.
struct Walk {
    at: usize,
    slot: u32,
    skip: u32,
    turns: u32,
}

impl MaglevTable {
    pub(super) fn new(config: Maglev) -> Self {
        Self { config, slots: Vec::new() }
    }

    pub(super) fn rebuild(&mut self, dests: &[Dest]) {
        let mut walks = walks(dests);
        self.slots.clear();
        if walks.is_empty() {
            return;
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
        self.slots = slots.into_iter().flatten().collect();
    }

    pub(super) fn schedule(&self, dests: &[Dest], client: SocketAddr) -> Option<usize> {
        let port = if self.config.port { client.port() } else { 0 };
        let slot = |offset: u32| hash(&FIRST, client, port, offset) % SLOTS;
        let available = |slot: u32| {
            let at = *self.slots.get(slot as usize)?;
            dests.get(at).is_some_and(|dest| dest.weight > 0).then_some(at)
        };
        let first = slot(0);
        let found = available(first);
        if found.is_some() || !self.config.fallback {
            return found;
        }
        (0..SLOTS).find_map(|offset| available(slot((offset + first) % SLOTS)))
    }
}

impl Walk {
    fn take(&mut self, slots: &mut [Option<usize>]) {
        while let Some(slot) = slots.get_mut(self.slot as usize) {
            if slot.is_none() {
                *slot = Some(self.at);
                return;
            }
            self.slot = (self.slot + self.skip) % SLOTS;
        }
    }
}

/// Those with a weight, and how many slots each takes at a time.
fn walks(dests: &[Dest]) -> Vec<Walk> {
    let Some(gcd) = gcd_of_weights(dests) else { return Vec::new() };
    let highest = dests.iter().map(|dest| dest.weight).max().unwrap_or(0) / gcd;
    let shift = (u32::BITS - highest.leading_zeros()).saturating_sub(WEIGHT_BITS);
    let walk = |(at, dest): (usize, &Dest)| Walk {
        at,
        slot: hash(&FIRST, dest.addr, dest.addr.port(), 0) % SLOTS,
        skip: hash(&SECOND, dest.addr, dest.addr.port(), 0) % (SLOTS - 1) + 1,
        turns: ((dest.weight / gcd) >> shift).max(1),
    };
    dests.iter().enumerate().filter(|(_, dest)| dest.weight > 0).map(walk).collect()
}

fn hash(key: &[u64; 2], addr: SocketAddr, port: u16, offset: u32) -> u32 {
    hsiphash(key, fold(addr.ip()).wrapping_add(port.into()).wrapping_add(offset))
}

/// SipHash-1-3 of four bytes.
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

/// The fifth of the kernel's primes, for the default of `CONFIG_IP_VS_MH_TAB_INDEX`, 12.
const SLOTS: u32 = 4093;
/// Half of that index: heavier weights are scaled down to so many bits.
const WEIGHT_BITS: u32 = 6;
const FIRST: [u64; 2] = [2_654_435_761; 2];
const SECOND: [u64; 2] = [2_654_446_892; 2];
