//! Many targets of one process: their refreshes must not come all at once.

use super::*;

const TARGETS: u64 = 5000;

/// The time of the first and the second refresh of targets that `before` has happened to, and that were all answered
/// within `burst`.
fn refreshes(ttl: Duration, burst: Duration, before: fn(&mut Sim)) -> Vec<Duration> {
    let refreshes = |n: u64| {
        let mut sim = Sim::new();
        sim.seed = n;
        before(&mut sim);
        let start = sim.now + burst.mul_f64(n as f64 / TARGETS as f64);
        sim.now = start;
        let answer = ready(&[1]).with_ttl(ttl);
        sim.refresh.on_query(start);
        sim.answer(&answer);
        [0, 1].map(|_| {
            sim.ask(&answer);
            sim.now - start + burst.mul_f64(n as f64 / TARGETS as f64)
        })
    };
    (1..=TARGETS).flat_map(refreshes).collect()
}

/// The largest number of refreshes within a tenth of a second, and the mean of a steady state.
fn peak_and_mean(refreshes: &[Duration], ttl: Duration) -> (f64, f64) {
    let mut bins = std::collections::BTreeMap::new();
    for at in refreshes {
        *bins.entry(at.as_millis() / 100).or_insert(0_u32) += 1;
    }
    let peak = bins.values().max().copied().unwrap_or_default();
    let per_second = TARGETS as f64 / (0.85 * ttl.as_secs_f64());
    (f64::from(peak), per_second / 10.0)
}

fn assert_spread(what: &str, before: fn(&mut Sim)) {
    for ttl in [2, 5, 10, 30] {
        let ttl = secs(ttl);
        let (peak, mean) = peak_and_mean(&refreshes(ttl, ms(900), before), ttl);
        println!("{what}, TTL {ttl:?}: at most {peak} refreshes in 100 ms; mean {mean:.1}");
        assert!(peak <= 3.0 * mean, "{what}, TTL {ttl:?}: {peak} refreshes in 100 ms; mean {mean}");
    }
}

/// F14.
#[test]
fn targets_resolved_at_the_same_time_are_refreshed_at_a_steady_rate() {
    assert_spread("after the start", |_| ());
}

/// F14: the server comes back, and every target is answered.
#[test]
fn targets_that_recover_at_the_same_time_are_refreshed_at_a_steady_rate() {
    assert_spread("after an outage", |sim| {
        for _ in 0..3 {
            sim.ask(&ready(&[1]));
        }
        for _ in 0..4 {
            sim.ask(&failed());
        }
    });
    assert_spread("after negative answers", |sim| {
        for _ in 0..4 {
            sim.ask(&not_found());
        }
    });
}

/// F3, F4: the spread refreshes earlier, never later, and never more often than once a second.
#[test]
fn no_refresh_of_a_fleet_is_later_than_its_ttl_allows_or_earlier_than_the_floor() {
    for ttl in [0, 1, 2, 5, 30, 3600] {
        let clamped = ttl.clamp(1, 30) as f64;
        let latest = Duration::from_secs_f64((0.9 * clamped).max(1.15));
        let all = refreshes(secs(ttl), Duration::ZERO, |_| ());
        for pair in all.chunks(2) {
            let (first, second) = (pair[0], pair[1] - pair[0]);
            assert!(first >= secs(1) && first <= latest, "{ttl}: first after {first:?}");
            assert!(second >= secs(1) && second <= latest, "{ttl}: second after {second:?}");
            assert!(second.as_secs_f64() >= 0.8 * clamped, "{ttl}: second after {second:?}");
        }
    }
}
