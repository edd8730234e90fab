//! The refresh of a positive answer.

use super::*;

/// How long a thousand targets wait after their second answer, which is not spread like the first.
fn pauses(ttl: Duration) -> Vec<f64> {
    let start = epoch();
    let mut seed = 7;
    let pause = |_| {
        let mut refresh = Refresh::new(RefreshSettings::default(), start);
        for _ in 0..2 {
            refresh.on_query(start);
            refresh.on_update(&ready(&[1]).with_ttl(ttl), start, &mut || roll(&mut seed));
        }
        refresh.next_query_at().expect("a TTL").duration_since(start).as_secs_f64()
    };
    (0..1000).map(pause).collect()
}

fn range(of: &[f64]) -> (f64, f64) {
    of.iter().fold((f64::MAX, 0.0), |(low, high), pause| (pause.min(low), pause.max(high)))
}

/// F14.
#[test]
fn an_answer_is_refreshed_at_80_to_90_percent_of_its_ttl() {
    for ttl in [2.0, 5.0, 30.0] {
        let (low, high) = range(&pauses(Duration::from_secs_f64(ttl)));
        assert!(low >= 0.8 * ttl && high <= 0.9 * ttl, "{ttl}: {low}..{high}");
    }
}

/// F4.
#[test]
fn a_thousand_watchers_spread_over_a_tenth_of_their_interval() {
    for ttl in [0, 1, 2, 5, 30, 3600] {
        let pauses = pauses(secs(ttl));
        let (low, high) = range(&pauses);
        let mean = pauses.iter().sum::<f64>() / 1000.0;
        assert!(high - low >= 0.1 * mean, "{ttl}: {low}..{high}");
    }
}

/// F4.
#[test]
fn a_ttl_of_0_causes_at_most_one_query_per_second() {
    let mut sim = Sim::new();
    while sim.elapsed() < secs(100) {
        sim.ask_within(&ready(&[1]).with_ttl(Duration::ZERO), ms(30));
    }
    assert!(sim.asked.windows(2).all(|pair| pair[1] - pair[0] >= secs(1)));
    assert!(sim.asked.len() > 80, "and not far fewer: {}", sim.asked.len());
}

/// F4.
#[test]
fn huge_ttls_are_clamped() {
    for ttl in [1 << 31, u64::from(u32::MAX), u64::MAX] {
        let (low, high) = range(&pauses(secs(ttl)));
        assert!(low >= 24.0 && high <= 27.0, "{ttl}: {low}..{high}");
    }
}

/// F3.
#[test]
fn an_added_pod_is_seen_within_its_ttl_plus_1_s() {
    for ttl in [1, 2, 5, 30, 300] {
        let mut sim = Sim::new();
        sim.ask(&ready(&[1]).with_ttl(secs(ttl)));
        let added = sim.now;
        let view = sim.ask_within(&ready(&[1, 2]).with_ttl(secs(ttl)), ms(50)).expect("a new set");
        assert_eq!(shown(&view), [1, 2]);
        assert!(sim.now - added <= secs(ttl.min(30) + 1));
    }
}

#[test]
fn an_answer_without_a_ttl_is_not_refreshed_until_the_source_reports_a_change() {
    let mut sim = Sim::new();
    let fixed = Update::new(State::Ready(vec![endpoint(1)]));
    sim.ask(&fixed);
    assert_eq!(sim.refresh.next_query_at(), None);
    sim.now += secs(3600);
    sim.refresh.on_change(sim.now);
    assert_eq!(sim.pause(), Duration::ZERO);
    sim.ask(&fixed);
    assert_eq!(sim.refresh.next_query_at(), None);
}

#[test]
fn the_first_query_is_due_at_once() {
    let sim = Sim::new();
    assert_eq!(sim.refresh.next_query_at(), Some(sim.start));
    assert!(matches!(sim.freshness(), Freshness::Unknown));
    assert_eq!(sim.version(), 0);
}

#[test]
fn a_query_whose_answer_is_never_reported_is_repeated() {
    let mut sim = Sim::new();
    sim.begin();
    assert_eq!(sim.pause(), secs(1));
}
