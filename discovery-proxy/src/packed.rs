//! Endpoints, many of them, in little memory.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use super::object::IpFamily;

/// Endpoints of one family: six bytes for each of IPv4, where a [`SocketAddr`] takes 32.
#[derive(Debug)]
pub(super) enum Packed {
    V4(Vec<SocketAddrV4>),
    V6(Vec<SocketAddrV6>),
}

/// Where a set begins, and how long it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Range {
    at: u32,
    pub(super) len: u32,
}

impl Packed {
    pub(super) fn new(family: IpFamily, capacity: usize) -> Self {
        match family {
            IpFamily::V4 => Self::V4(Vec::with_capacity(capacity)),
            IpFamily::V6 => Self::V6(Vec::with_capacity(capacity)),
        }
    }

    /// Adds a set. Nobody has 2^32 endpoints; if so, those are as good as none.
    pub(super) fn push(&mut self, set: &[SocketAddr]) -> Range {
        let before = self.len();
        for addr in set {
            match (&mut *self, addr) {
                (Self::V4(all), SocketAddr::V4(addr)) => all.push(*addr),
                (Self::V6(all), SocketAddr::V6(addr)) => all.push(*addr),
                // The proxy has taken in no endpoint of the other family.
                _ => {}
            }
        }
        match (u32::try_from(before), u32::try_from(self.len() - before)) {
            (Ok(at), Ok(len)) => Range { at, len },
            _ => Range::default(),
        }
    }

    /// One of a set, by its place there.
    pub(super) fn get(&self, set: Range, place: usize) -> Option<SocketAddr> {
        let at = set.at as usize + place;
        match self {
            Self::V4(all) => all.get(at).copied().map(SocketAddr::V4),
            Self::V6(all) => all.get(at).copied().map(SocketAddr::V6),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::V4(all) => all.len(),
            Self::V6(all) => all.len(),
        }
    }
}
