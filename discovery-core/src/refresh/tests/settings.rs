//! Invalid and extreme settings.

use super::*;

#[test]
fn an_error_names_the_setting() {
    let settings = RefreshSettings::default;
    for (result, name) in [
        (settings().with_refresh(secs(2), secs(1)), "min_refresh"),
        (settings().with_refresh(Duration::ZERO, secs(1)), "min_refresh"),
        (settings().with_backoff(secs(6), secs(5)), "backoff_initial"),
        (settings().with_negative(secs(6), secs(5)), "negative_max_waiting"),
    ] {
        let error = result.expect_err(name);
        assert_eq!(error.setting(), name);
        let error = Error::from(error);
        assert!(error.is_config() && error.to_string().contains(name), "{error}");
    }
    let error = settings().with_refresh(secs(2), secs(1)).expect_err("inconsistent");
    assert_eq!(error.to_string(), "`min_refresh` (2s) must not exceed `max_refresh` (1s)");
}

#[test]
fn a_shorter_min_refresh_lowers_the_minimum_spacing() {
    let settings = RefreshSettings::default().with_refresh(ms(10), secs(30)).expect("consistent");
    let mut sim = Sim::with(settings);
    sim.ask(&ready(&[1]).with_ttl(Duration::ZERO));
    assert!(sim.pause() >= ms(10) && sim.pause() < ms(12), "{:?}", sim.pause());
}

#[test]
fn a_wait_beyond_the_clock_is_never() {
    let max = Duration::MAX;
    let settings = RefreshSettings::default()
        .with_refresh(max, max)
        .and_then(|s| s.with_backoff(max, max))
        .and_then(|s| s.with_negative(max, max))
        .expect("consistent")
        .with_max_stale(max)
        .with_removal_hold(max)
        .with_confirm_after(max)
        .with_failure_refresh_min(max);
    for (update, never) in [(ready(&[1]).with_ttl(max), true), (failed(), true), (not_found().with_ttl(max), false)] {
        let mut sim = Sim::with(settings.clone());
        sim.ask(&update);
        assert_eq!(sim.refresh.next_query_at().is_none(), never, "{update:?}");
        sim.now += secs(60);
        for update in [ready(&[2]), failed(), empty(), not_found()] {
            sim.answer(&update);
        }
        sim.refresh.on_waiting(true, sim.now);
    }
}

#[test]
fn only_min_refresh_lifts_the_limit_of_one_query_per_second() {
    let settings = RefreshSettings::default().with_negative(ms(10), secs(5)).expect("consistent");
    let mut sim = Sim::with(settings.with_failure_refresh_min(Duration::ZERO));
    for _ in 0..4 {
        sim.ask(&not_found());
    }
    sim.refresh.on_waiting(true, sim.now);
    assert_eq!(sim.pause(), secs(1));
    sim.ask(&ready(&[1]));
    sim.refresh.on_unreachable(endpoint(1).identity(), sim.now);
    assert_eq!(sim.pause(), secs(1));
}
