use super::*;
use crate::source::dns::message::tests::addresses;

/// What two families say together: `+` records, `0` NODATA, `-` NXDOMAIN, `!` a failure.
fn merged(answers: [(Rtype, char); 2]) -> char {
    let (mut merged, mut memory) = (Merged::default(), AddressMemory::default());
    for (rtype, answer) in answers {
        let ttl = Duration::from_secs(5);
        let result = match answer {
            '+' => Ok(Answer::Found { value: addresses(rtype), ttl }),
            '0' => Ok(Answer::NoData { ttl }),
            '-' => Ok(Answer::NxDomain { ttl }),
            _ => Err(Error::transient("SERVFAIL")),
        };
        let outcome = QueryOutcome { rtype, result, large: false, evidence: Vec::new() };
        merged.add(outcome, &mut memory, clock::now(), Duration::ZERO, &mut Vec::new());
    }
    match merged.finish() {
        Ok(Answer::Found { .. }) => '+',
        Ok(Answer::NoData { .. }) => '0',
        Ok(Answer::NxDomain { .. }) => '-',
        Err(_) => '!',
    }
}

#[test]
fn a_name_does_not_exist_when_both_families_say_so() {
    for (one, other, expected) in [
        ('+', '+', '+'),
        ('+', '0', '+'),
        ('+', '-', '+'),
        ('+', '!', '+'),
        ('0', '0', '0'),
        ('0', '-', '0'),
        ('0', '!', '!'),
        ('-', '-', '-'),
        ('-', '!', '!'),
        ('!', '!', '!'),
    ] {
        for (one, other) in [(one, other), (other, one)] {
            assert_eq!(merged([(Rtype::A, one), (Rtype::Aaaa, other)]), expected, "A {one}, AAAA {other}");
            assert_eq!(merged([(Rtype::Aaaa, one), (Rtype::A, other)]), expected, "AAAA {one}, A {other}");
        }
    }
}

/// `docs/failure-modes.md`, F10.
#[test]
fn a_family_that_loses_its_addresses_is_queried_again_before_it_is_skipped() {
    let now = clock::now();
    let mut memory = AddressMemory::default();
    memory.v4.on_found(vec![[10, 0, 0, 1].into()], now);
    memory.v6.on_found(vec![std::net::Ipv6Addr::LOCALHOST.into()], now);
    memory.v6.on_empty();
    assert_eq!(memory.wanted(Families::Both).1, None);
    memory.v6.on_empty();
    assert_eq!(memory.wanted(Families::Both).1, Some(Rtype::Aaaa));
}

/// A server may send one record twice, and some map IPv4 into AAAA.
#[test]
fn one_address_of_each_family_is_one_endpoint_however_often_it_is_listed() {
    let endpoints = |ips: &[&str]| {
        let ips: Vec<IpAddr> = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        let shown = |e: &Endpoint| e.addrs().map(|addr| addr.to_string()).collect::<Vec<_>>().join(" ");
        endpoints(&ips, 80).iter().map(shown).collect::<Vec<_>>()
    };
    assert_eq!(endpoints(&["10.0.0.1", "10.0.0.1", "fd00::1"]), ["10.0.0.1:80 [fd00::1]:80"]);
    assert_eq!(endpoints(&["fd00::1", "10.0.0.1", "fd00::1"]), ["10.0.0.1:80 [fd00::1]:80"]);
    assert_eq!(endpoints(&["10.0.0.1", "::ffff:10.0.0.1"]), ["10.0.0.1:80"]);
    assert_eq!(endpoints(&["10.0.0.1", "::ffff:10.0.0.1", "fd00::1"]), ["10.0.0.1:80 [fd00::1]:80"]);
    assert_eq!(endpoints(&["10.0.0.2", "10.0.0.1", "10.0.0.2"]), ["10.0.0.1:80", "10.0.0.2:80"]);
}

#[test]
fn an_empty_family_is_queried_in_every_tenth_round() {
    let now = clock::now();
    let mut memory = AddressMemory::default();
    let mut queries = 0;
    for _ in 0..31 {
        let (wanted, skipped) = memory.wanted(Families::Both);
        memory.v4.on_found(vec![[10, 0, 0, 1].into()], now);
        if wanted.contains(&Rtype::Aaaa) {
            queries += 1;
            memory.v6.on_empty();
        }
        if let Some(rtype) = skipped {
            memory.of_mut(rtype).on_skipped();
        }
    }
    assert_eq!(queries, 4, "rounds 1, 11, 21, 31");
}
