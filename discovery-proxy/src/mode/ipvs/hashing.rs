//! `sh` and `dh`: a table of 256 buckets, filled from the list of destinations.
//!
//! Source: linux net/netfilter/ipvs/ip_vs_sh.c and ip_vs_dh.c. Every change fills the table anew, so that most clients
//! move: this is no consistent hashing.

use std::net::{IpAddr, SocketAddr};

use super::schedule::Dest;

/// What can be set of `sh`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceHash {
    fallback: bool,
    port: bool,
    before_4_10: bool,
}

impl SourceHash {
    /// `sh-fallback`: when the owner of a bucket is not available, look for another one instead of refusing.
    #[must_use]
    pub const fn with_fallback(mut self, fallback: bool) -> Self {
        self.fallback = fallback;
        self
    }

    /// `sh-port`: the client's port counts as well.
    #[must_use]
    pub const fn with_port(mut self, port: bool) -> Self {
        self.port = port;
        self
    }

    /// The formula of older kernels: the lowest byte of a product, not the highest.
    #[must_use]
    pub const fn with_old_formula(mut self, old: bool) -> Self {
        self.before_4_10 = old;
        self
    }
}

/// Who owns each bucket, by number in the list.
#[derive(Debug)]
pub(super) struct HashTable {
    config: SourceHash,
    weighted: bool,
    buckets: Vec<usize>,
}

const BUCKETS: u32 = 256;

impl HashTable {
    pub(super) fn by_source(config: SourceHash) -> Self {
        Self { config, weighted: true, buckets: Vec::new() }
    }

    pub(super) fn by_destination() -> Self {
        Self { config: SourceHash::default(), weighted: false, buckets: Vec::new() }
    }

    /// Each destination takes as many buckets in a row as its weight says, at least one, round and round.
    pub(super) fn rebuild(&mut self, dests: &[Dest]) {
        let turns = |dest: &Dest| if self.weighted { dest.weight.max(1) } else { 1 };
        let round = || dests.iter().enumerate().flat_map(|(at, dest)| (0..turns(dest)).map(move |_| at));
        self.buckets = std::iter::repeat_with(round).take(BUCKETS as usize).flatten().take(BUCKETS as usize).collect();
    }

    pub(super) fn schedule(&self, dests: &[Dest], addr: SocketAddr) -> Option<usize> {
        let port = if self.config.port { addr.port() } else { 0 };
        let bucket = |offset| self.bucket(addr.ip(), port, offset);
        let available = |bucket: u32| {
            let at = *self.buckets.get(bucket as usize)?;
            dests.get(at).is_some_and(|dest| dest.weight > 0).then_some(at)
        };
        let first = bucket(0);
        let found = available(first);
        if found.is_some() || !self.config.fallback {
            return found;
        }
        (0..BUCKETS).find_map(|offset| available(bucket((offset + first) % BUCKETS)))
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

/// An address in 32 bits; the words of a long one xor each other.
pub(super) fn fold(ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits(),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            (bits >> 96) as u32 ^ (bits >> 64) as u32 ^ (bits >> 32) as u32 ^ bits as u32
        }
    }
}

/// Of linux include/linux/hash.h.
const GOLDEN_RATIO_32: u32 = 0x61C8_8647;
/// What the schedulers used before.
const KNUTH: u32 = 2_654_435_761;
