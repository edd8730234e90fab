//! How long one nameserver takes to answer, and when a packet to it is sent again. Pure.

use std::time::{Duration, Instant};

/// The shortest time until a packet is sent again, and the time before the first answer is measured: a lost packet
/// costs 150 ms. RFC 6298 section 2.4 has 1 s because TCP delays its acknowledgments; nothing delays a DNS answer on
/// purpose.
const MIN: Duration = Duration::from_millis(150);

/// The longest time until a packet is sent again, before backoff. A question of 5 s has room for one retransmission.
const MAX: Duration = Duration::from_millis(2500);

/// How many answers in a row end the effect of a slow one.
const RECENT: usize = 4;

/// The round-trip time of one nameserver, smoothed as in RFC 6298 section 2.
///
/// TCP measures every few milliseconds, a resolver every few seconds: there the smoothing would remember a slow answer
/// for minutes. The timeout is therefore at most three times the slowest of the last four answers, which is what RFC
/// 6298 derives from a single one.
///
/// Every packet has an id of its own, so an answer is never attributed to the wrong packet, and the measurement needs
/// no exception for packets that were sent again (section 3). Only answers are measured: what they say, and how many
/// packets are lost, does not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RoundTrip {
    smoothed: Option<Smoothed>,
    recent: [Duration; RECENT],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Smoothed {
    time: Duration,
    variation: Duration,
}

impl RoundTrip {
    /// Takes the time between a packet and its answer into account.
    pub(super) fn measured(&mut self, took: Duration) {
        self.recent.rotate_right(1);
        self.recent[0] = took;
        self.smoothed = Some(match self.smoothed {
            None => Smoothed { time: took, variation: took / 2 },
            Some(known) => Smoothed {
                time: known.time * 7 / 8 + took / 8,
                variation: known.variation * 3 / 4 + known.time.abs_diff(took) / 4,
            },
        });
    }

    /// How long the first packet of a question waits before it is sent again.
    pub(super) fn timeout(&self) -> Duration {
        let slowest = self.recent.iter().max().copied().unwrap_or_default();
        let smoothed = self.smoothed.map_or(MIN, |known| known.time + known.variation * 4);
        smoothed.min(slowest * 3).clamp(MIN, MAX)
    }
}

/// The packets of one question to one nameserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transmissions {
    pub(super) first: Instant,
    pub(super) last: Instant,
    pub(super) count: u32,
}

impl Transmissions {
    pub(super) fn new(now: Instant) -> Self {
        Self { first: now, last: now, count: 1 }
    }

    pub(super) fn sent(&mut self, now: Instant) {
        self.last = now;
        self.count = self.count.saturating_add(1);
    }

    /// When the next packet is due: each waits twice as long as the one before. A packet that would come too late for
    /// the deadline is sent halfway to it, if its answer has time then.
    pub(super) fn next(&self, timeout: Duration, deadline: Instant) -> Instant {
        let backoff = timeout.saturating_mul(1_u32.checked_shl(self.count - 1).unwrap_or(u32::MAX));
        let due = self.last.checked_add(backoff).unwrap_or(deadline);
        let halfway = deadline.saturating_duration_since(self.last) / 2;
        if due >= deadline && halfway >= MIN { self.last + halfway } else { due }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// When the packets of a question leave, in milliseconds after the first one.
    fn schedule(round_trip: RoundTrip, deadline: u64, count: usize) -> Vec<u128> {
        let began = clock::now();
        let mut sent = Transmissions::new(began);
        let mut times = vec![0];
        while times.len() < count {
            let next = sent.next(round_trip.timeout(), began + ms(deadline));
            if next >= began + ms(deadline) {
                break;
            }
            sent.sent(next);
            times.push((next - began).as_millis());
        }
        times
    }

    fn after(answers: &[u64]) -> RoundTrip {
        let mut round_trip = RoundTrip::default();
        answers.iter().for_each(|millis| round_trip.measured(ms(*millis)));
        round_trip
    }

    #[test]
    fn backs_off_exponentially() {
        assert_eq!(schedule(RoundTrip::default(), 5000, 4), [0, 150, 450, 1050]);
        assert_eq!(schedule(RoundTrip::default(), 5000, 9), [0, 150, 450, 1050, 2250, 4650, 4825]);
    }

    #[test]
    fn a_short_deadline_has_room_for_the_last_answer() {
        assert_eq!(schedule(RoundTrip::default(), 1000, 4), [0, 150, 450, 725]);
        assert_eq!(schedule(RoundTrip::default(), 200, 4), [0, 150]);
        assert_eq!(schedule(RoundTrip::default(), 100, 4), [0]);
    }

    /// RFC 6298 sections 2.2 and 2.3.
    #[test]
    fn the_timeout_follows_the_measured_round_trip_time() {
        for (answers, timeout) in [
            (&[][..], 150),
            (&[1], 150),
            (&[40], 150),
            (&[100], 300),
            (&[400], 1200),
            (&[400, 400], 1000),
            (&[1200], 2500),
            (&[1, 1, 1, 100], 150),
        ] {
            assert_eq!(after(answers).timeout(), ms(timeout), "{answers:?}");
        }
        let settled = after(&[400; 40]).timeout();
        assert!(settled >= ms(400) && settled < ms(410), "{settled:?}");
    }

    #[test]
    fn one_slow_answer_is_forgotten_after_four_fast_ones() {
        assert!(after(&[1, 1, 2000]).timeout() > ms(1000));
        assert!(after(&[2000, 1, 1, 1]).timeout() > ms(1000));
        assert_eq!(after(&[2000, 1, 1, 1, 1]).timeout(), ms(150));
    }

    #[test]
    fn a_packet_count_beyond_all_bounds_does_not_overflow() {
        let now = clock::now();
        let sent = Transmissions { first: now, last: now, count: u32::MAX };
        assert!(sent.next(MAX, now + ms(5000)) <= now + ms(5000));
    }
}
