//! The order of endpoints: by the bytes of `ip:port`.
//!
//! Source: k/k pkg/proxy/endpointslicecache.go (`byAddress`). `10.1.1.11:11` comes before `10.1.1.1:11`, and `10.0.1.10:80`
//! before `10.0.1.1:80`. The texts are not written for a comparison: a key with the same order takes their place.

use std::{
    cmp::Ordering,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// Compares two addresses as their texts compare.
pub(super) fn compare(one: SocketAddr, other: SocketAddr) -> Ordering {
    let by_ip = match (one.ip(), other.ip()) {
        (IpAddr::V4(one), IpAddr::V4(other)) => v4_key(one).cmp(&v4_key(other)),
        (IpAddr::V6(one), IpAddr::V6(other)) => v6_key(one).cmp(&v6_key(other)),
        // A digit comes before a bracket.
        (IpAddr::V4(_), IpAddr::V6(_)) => Ordering::Less,
        (IpAddr::V6(_), IpAddr::V4(_)) => Ordering::Greater,
    };
    by_ip.then_with(|| port_key(one.port()).cmp(&port_key(other.port())))
}

/// Sorts items by their addresses. Items with the same address stay in the order in which they are.
pub(super) fn sort<T>(items: Vec<T>, addr: impl Fn(&T) -> SocketAddr) -> Vec<T> {
    fn by_key<T, K: Ord>(items: Vec<T>, key: impl Fn(&T) -> Option<K>) -> Vec<T> {
        let mut keyed: Vec<_> = items.into_iter().map(|item| (key(&item), item)).collect();
        // It merges the runs that are in order already, such as the endpoints of each slice often are.
        keyed.sort_by(|(one, _), (other, _)| one.cmp(other));
        keyed.into_iter().map(|(_, item)| item).collect()
    }
    if items.iter().any(|item| addr(item).is_ipv6()) {
        return by_key(items, |item| match addr(item).ip() {
            IpAddr::V4(ip) => Some((None, v4_key(ip), port_key(addr(item).port()))),
            IpAddr::V6(ip) => Some((Some(v6_key(ip)), 0, port_key(addr(item).port()))),
        });
    }
    by_key(items, |item| match addr(item) {
        SocketAddr::V4(addr) => Some((v4_key(*addr.ip()), port_key(addr.port()))),
        SocketAddr::V6(_) => None,
    })
}

/// The index of an address in an ordered list.
pub(super) fn position(list: &[SocketAddr], addr: SocketAddr) -> Option<usize> {
    list.binary_search_by(|one| compare(*one, addr)).ok()
}

/// The union of two ordered lists without duplicates, in order.
pub(super) fn union(mut first: &[SocketAddr], mut second: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut all = Vec::with_capacity(first.len() + second.len());
    while let (Some((one, after_one)), Some((other, after_other))) = (first.split_first(), second.split_first()) {
        let by_text = if one == other { Ordering::Equal } else { compare(*one, *other) };
        all.push(if by_text.is_gt() { *other } else { *one });
        first = if by_text.is_gt() { first } else { after_one };
        second = if by_text.is_lt() { second } else { after_other };
    }
    all.extend(first.iter().chain(second));
    all
}

/// The addresses that a list has lost and gained, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Differences {
    pub(super) removed: Vec<SocketAddr>,
    pub(super) added: Vec<SocketAddr>,
}

impl Differences {
    /// Compares two ordered lists without duplicates.
    pub(super) fn between(
        old: impl IntoIterator<Item = SocketAddr>,
        new: impl IntoIterator<Item = SocketAddr>,
    ) -> Self {
        let (mut old, mut new, mut all) = (old.into_iter(), new.into_iter(), Self::default());
        let (mut one, mut other) = (old.next(), new.next());
        loop {
            match (one, other) {
                (None, None) => return all,
                (Some(gone), None) => all.removed.push(gone),
                (None, Some(added)) => all.added.push(added),
                (Some(same), Some(addr)) if same == addr => {}
                (Some(gone), Some(addr)) if compare(gone, addr).is_lt() => {
                    all.removed.push(gone);
                    one = old.next();
                    continue;
                }
                (_, Some(added)) => {
                    all.added.push(added);
                    other = new.next();
                    continue;
                }
            }
            (one, other) = (old.next(), new.next());
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.added.is_empty()
    }
}

/// The text with a colon at its end, four bits for each of its at most 16 characters: `.` is 1, digits are 2 to 11, and
/// `:` is 12.
fn v4_key(ip: Ipv4Addr) -> u64 {
    const DOT: u64 = 1;
    const COLON: u64 = 12;
    let (mut key, mut bits) = (0, 0);
    let mut push = |symbols: u64, width: u32| {
        key = key << width | symbols;
        bits += width;
    };
    for (at, octet) in ip.octets().into_iter().enumerate() {
        if at > 0 {
            push(DOT, 4);
        }
        let (symbols, width) = OCTETS.get(usize::from(octet)).copied().unwrap_or_default();
        push(symbols.into(), width);
    }
    push(COLON, 4);
    key << (u64::BITS - bits)
}

/// The digits of each octet, and how many bits they take.
static OCTETS: [(u16, u32); 256] = {
    let mut all = [(0, 0); 256];
    let mut octet = 0_u16;
    while octet < 256 {
        let (hundreds, tens, ones) = (octet / 100 + 2, octet / 10 % 10 + 2, octet % 10 + 2);
        all[octet as usize] = match octet {
            0..10 => (ones, 4),
            10..100 => (tens << 4 | ones, 8),
            _ => (hundreds << 8 | tens << 4 | ones, 12),
        };
        octet += 1;
    }
    all
};

/// The text with a bracket at its end, as RFC 5952 writes it.
fn v6_key(ip: Ipv6Addr) -> [u8; 40] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let segments = ip.segments();
    let (from, to) = longest_zeros(&segments);
    let (mut key, mut len) = ([0; 40], 0);
    let mut push = |byte: u8| {
        if let Some(free) = key.get_mut(len) {
            *free = byte;
            len += 1;
        }
    };
    for (at, segment) in segments.into_iter().enumerate() {
        if (from..to).contains(&at) {
            // The other colon of the two comes with the next segment, or after the last.
            if at == from {
                push(b':');
            }
            continue;
        }
        if at > 0 {
            push(b':');
        }
        let digits = (u16::BITS - segment.leading_zeros()).div_ceil(4).max(1);
        for digit in (0..digits).rev() {
            push(HEX.get(usize::from(segment >> (4 * digit) & 15)).copied().unwrap_or_default());
        }
    }
    if to == segments.len() {
        push(b':');
    }
    push(b']');
    key
}

/// The first of the longest runs of at least two zeros, which `::` stands for. Empty at 0 without such a run.
fn longest_zeros(segments: &[u16; 8]) -> (usize, usize) {
    let (mut best, mut from) = ((0, 0), 0);
    for (at, segment) in segments.iter().enumerate() {
        if *segment != 0 {
            from = at + 1;
        } else if at + 1 - from > (best.1 - best.0).max(1) {
            best = (from, at + 1);
        }
    }
    best
}

/// The digits of a port, the first one highest, so that `8` comes before `80`.
const fn port_key(port: u16) -> u32 {
    let (mut key, mut left, mut shift) = (0, port as u32, 0);
    loop {
        key |= (left % 10 + 1) << shift;
        left /= 10;
        shift += 4;
        if left == 0 {
            return key << (20 - shift);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use discovery_core::policy::{Rng, SplitMix64};

    /// Addresses with few different digits, so that texts have long common prefixes.
    fn addresses() -> Vec<SocketAddr> {
        let mut rng = SplitMix64::with_seed(1);
        let octets = [0_u8, 1, 2, 9, 10, 11, 19, 99, 100, 101, 110, 199, 255];
        let segments = [0_u16, 0, 0, 1, 0xa, 0x1f, 0xff, 0x100, 0xa000, 0xffff];
        let ports = [0_u16, 1, 8, 9, 10, 80, 81, 800, 8080, 8081, 10_000, 65_535];
        let mut all = Vec::new();
        for _ in 0..300 {
            let port = ports[rng.below(ports.len())];
            all.push(SocketAddr::from((std::array::from_fn::<_, 4, _>(|_| octets[rng.below(octets.len())]), port)));
            let v6: [u16; 8] = std::array::from_fn(|_| segments[rng.below(segments.len())]);
            // The text of an IPv4-mapped address has dots; the proxy has none.
            all.push(SocketAddr::from((v6, port)));
        }
        let texts =
            ["[::]:1", "[::1]:80", "[1::]:80", "[1:0:2::]:80", "[0:1::2]:80", "[1:2:3:4:5:6:7:8]:80", "[1:0:0:2::3]:8"];
        all.extend(texts.map(|text| text.parse::<SocketAddr>().unwrap()));
        all
    }

    #[test]
    fn addresses_compare_as_their_texts() {
        let all = addresses();
        for one in &all {
            for other in &all {
                assert_eq!(compare(*one, *other), one.to_string().cmp(&other.to_string()), "{one} {other}");
            }
        }
    }

    #[test]
    fn addresses_are_sorted_as_their_texts() {
        let v4: Vec<_> = addresses().into_iter().filter(SocketAddr::is_ipv4).collect();
        for all in [addresses(), v4] {
            let mut texts: Vec<_> = all.iter().map(ToString::to_string).collect();
            texts.sort();
            let sorted: Vec<_> = sort(all, |addr| *addr).iter().map(ToString::to_string).collect();
            assert_eq!(sorted, texts);
        }
    }

    #[test]
    fn lists_are_united_and_compared_in_order() {
        let list = |lasts: &[u8]| sort(lasts.iter().map(|last| ([10, 0, 0, *last], 80).into()).collect(), |addr| *addr);
        let (old, new) = (list(&[1, 2, 10, 11, 30]), list(&[2, 3, 10, 110]));
        assert_eq!(union(&old, &new), list(&[1, 2, 3, 10, 11, 30, 110]));
        let changes = Differences::between(old.clone(), new);
        assert_eq!((changes.removed, changes.added), (list(&[1, 11, 30]), list(&[3, 110])));
        assert!(Differences::between(old.clone(), old.clone()).is_empty());
        assert!(old.iter().enumerate().all(|(at, addr)| position(&old, *addr) == Some(at)));
        assert_eq!(position(&old, ([10, 0, 0, 3], 80).into()), None);
    }
}
