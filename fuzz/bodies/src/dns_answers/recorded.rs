//! Packets as bytes, as nameservers send them.

use super::packet::Packet;

/// What inputs of recorded packets begin with.
pub(super) const MARK: &[u8] = b"dns:";

/// Reads packets: flags, three counts, a length, and as many bytes after the question.
pub(super) fn packets(mut bytes: &[u8]) -> Vec<Packet> {
    let mut packets = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<6>() {
        let [high, low, counts @ .., length] = *head;
        let (records, more) = rest.split_at(usize::from(length).min(rest.len()));
        packets.push(Packet::Loose { flags: u16::from_be_bytes([high, low]), counts, rest: records.to_vec() });
        bytes = more;
    }
    packets
}

pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let a = record(1, &[10, 244, 0, 7]);
    let aaaa = record(28, &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    let glue = [&name("web-0.orders.shop.svc.cluster.local")[..], &a[2..]].concat();
    let srv = record(33, &[&[0, 0, 0, 100, 31, 144][..], &name("web-0.orders.shop.svc.cluster.local")].concat());
    let cname = record(5, &name("db.example.com"));
    let soa = record(6, &[&name("ns.dns.cluster.local")[..], &name("hostmaster.cluster.local"), &[0; 20]].concat());
    let many = [&a[..], &record(1, &[10, 244, 0, 8]), &record(1, &[10, 244, 1, 9])].concat();
    let mut inputs = Vec::new();
    // Every target meets every answer.
    for target in 0..4 {
        for packets in [
            // CoreDNS: `aa`, `rd`; then a recursive server: `ra`.
            vec![packet(0x8500, [1, 0, 0], &a)],
            vec![packet(0x8500, [3, 0, 0], &many), packet(0x8500, [1, 0, 0], &aaaa)],
            vec![packet(0x8500, [1, 0, 1], &[&srv[..], &glue].concat())],
            vec![packet(0x8180, [2, 0, 0], &[&cname[..], &[&name("db.example.com")[..], &a[2..]].concat()].concat())],
            vec![packet(0x8503, [0, 1, 0], &soa)],
            vec![packet(0x8500, [0, 1, 0], &soa)],
            vec![packet(0x8382, [0, 0, 0], &[]), packet(0x8500, [1, 0, 0], &a)],
        ] {
            inputs.push([MARK, &[target], &packets.concat()].concat());
        }
    }
    // Nearly valid records, by the bytes that they are made from.
    inputs.extend((0..8_u8).map(|at| (0..=255).map(|byte: u8| byte.wrapping_mul(2 * at + 37) ^ at).collect()));
    inputs
}

/// A packet, as [`packets`] reads it.
fn packet(flags: u16, counts: [u8; 3], records: &[u8]) -> Vec<u8> {
    let length = u8::try_from(records.len()).expect("a short packet");
    [&flags.to_be_bytes()[..], &counts, &[length], records].concat()
}

/// A record of the name in the question.
fn record(rtype: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("a short record");
    [&[0xc0, 12][..], &rtype.to_be_bytes(), &[0, 1, 0, 0, 0, 5], &length.to_be_bytes(), data].concat()
}

fn name(text: &str) -> Vec<u8> {
    let label = |label: &str| [&[u8::try_from(label.len()).expect("a label")][..], label.as_bytes()].concat();
    text.split('.').flat_map(label).chain([0]).collect()
}
