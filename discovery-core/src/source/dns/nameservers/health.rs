//! Whether one nameserver answers, and which questions may send packets to it. Pure.
//!
//! A packet may be lost, so every question sends a second one. If the nameserver answered no question in the meantime,
//! one question alone goes on: the *prober*. While the nameserver is *silent*, the prober is the only question that
//! sends packets at all, a few seconds apart, and all other questions fail at once or go to the next nameserver.

use std::time::{Duration, Instant};

use super::round_trip::Transmissions;

/// How long nothing is heard until a nameserver counts as silent: the longest retransmission timeout.
const SILENT_AFTER: Duration = Duration::from_millis(2500);

/// How many packets must be unanswered by then.
const SILENT_PACKETS: u32 = 4;

/// Packets further apart than this do not show together that the nameserver is silent.
const UNRELATED_AFTER: Duration = Duration::from_secs(10);

/// How many packets a question sends although nothing was heard since the first of them.
const FREE_PACKETS: u32 = 2;

/// How long a nameserver that left a question without an answer moves to the end of the order.
const AVOID_FOR: Duration = Duration::from_secs(10);

/// The pause between packets to a silent nameserver: first this one, and then [`PROBE_MAX`]. libc sends a packet each
/// five seconds.
const PROBE_MIN: Duration = Duration::from_millis(2500);

/// See [`PROBE_MIN`].
const PROBE_MAX: Duration = Duration::from_secs(5);

/// When a question that may not send a packet asks again whether it may.
const LOOK_AGAIN: Duration = Duration::from_millis(150);

/// What a question may do, according to [`Health`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Permission {
    Now,
    /// Not before this time.
    At(Instant),
    /// Not at all: the nameserver is silent, and another question probes it or the next probe is due after the
    /// deadline.
    Never,
}

/// What is known about one nameserver.
#[derive(Debug, Default)]
pub(super) struct Health {
    heard: Option<Instant>,
    /// The first packet since the last response, and the number of packets since then.
    unanswered: Option<(Instant, u32)>,
    last_sent: Option<Instant>,
    avoid_until: Option<Instant>,
    /// The number of packets sent while the nameserver was avoided.
    probes: u32,
    /// The question that probes.
    prober: Option<u64>,
}

impl Health {
    /// Whether the nameserver did not answer for so long that only a probe is sent to it.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.silent_at().is_some_and(|at| now >= at)
    }

    /// When the nameserver counts as silent, unless it is heard before.
    pub(super) fn silent_at(&self) -> Option<Instant> {
        let (since, packets) = self.unanswered?;
        if packets < SILENT_PACKETS { None } else { since.checked_add(SILENT_AFTER) }
    }

    /// How long nothing was heard, for a nameserver that is silent.
    pub(super) fn silent_for(&self, now: Instant) -> Option<Duration> {
        let (since, _) = self.unanswered.filter(|_| self.is_silent(now))?;
        Some(now.saturating_duration_since(since))
    }

    /// Whether the other nameservers are asked before this one.
    pub(super) fn is_avoided(&self, now: Instant) -> bool {
        self.is_silent(now) || self.avoid_until.is_some_and(|until| now < until)
    }

    /// Whether a question may send its first packet. A question that may probe stays the prober until
    /// [`end`](Self::end).
    pub(super) fn begin(&mut self, question: u64, now: Instant, deadline: Instant) -> Permission {
        if !self.is_silent(now) {
            return Permission::Now;
        }
        let due = self.probe_due().unwrap_or(now);
        if due >= deadline || !self.take_probe(question) {
            return Permission::Never;
        }
        if due <= now { Permission::Now } else { Permission::At(due) }
    }

    /// Whether [`begin`](Self::begin) denies every further question.
    pub(super) fn is_closed(&self, now: Instant, deadline: Instant) -> bool {
        self.is_silent(now) && (self.prober.is_some() || self.probe_due().is_some_and(|due| due >= deadline))
    }

    /// Whether a question may probe this nameserver while another one answers it.
    pub(super) fn begin_probe(&mut self, question: u64, now: Instant) -> bool {
        self.is_avoided(now) && self.probe_due().is_none_or(|due| now >= due) && self.take_probe(question)
    }

    /// Whether a question may send another packet.
    pub(super) fn again(&mut self, question: u64, sent: &Transmissions, now: Instant) -> Permission {
        let silent = self.is_silent(now);
        let heard = self.heard.is_some_and(|at| at >= sent.first);
        if !silent && (heard || sent.count < FREE_PACKETS) {
            return Permission::Now;
        }
        if !self.take_probe(question) {
            return Permission::At(now + LOOK_AGAIN);
        }
        match self.probe_due() {
            Some(due) if silent && due > now => Permission::At(due),
            _ => Permission::Now,
        }
    }

    /// The question sends no more packets.
    pub(super) fn end(&mut self, question: u64) {
        self.prober.take_if(|prober| *prober == question);
    }

    pub(super) fn on_sent(&mut self, now: Instant) {
        if self.is_avoided(now) {
            self.probes = self.probes.saturating_add(1);
        }
        let unrelated = |last: Instant| now.saturating_duration_since(last) > UNRELATED_AFTER;
        if !self.is_silent(now) && self.last_sent.is_some_and(unrelated) {
            self.unanswered = None;
        }
        let (_, packets) = self.unanswered.get_or_insert((now, 0));
        *packets = packets.saturating_add(1);
        self.last_sent = Some(now);
    }

    /// A response arrived, whatever it says.
    pub(super) fn on_heard(&mut self, now: Instant) {
        *self = Self { heard: Some(now), last_sent: self.last_sent, prober: self.prober, ..Self::default() };
    }

    /// A question that began at `since` waits no longer, or goes on to the next nameserver.
    pub(super) fn on_unanswered(&mut self, since: Instant, now: Instant) {
        if self.heard.is_none_or(|at| at < since) {
            self.avoid_until = now.checked_add(AVOID_FOR);
        }
    }

    /// The nameserver's port is closed. That shows at once, so its questions need not be rationed.
    pub(super) fn on_refused(&mut self, now: Instant) {
        self.unanswered = None;
        self.avoid_until = now.checked_add(AVOID_FOR);
    }

    fn probe_due(&self) -> Option<Instant> {
        let pause = if self.probes == 0 { PROBE_MIN } else { PROBE_MAX };
        self.last_sent.and_then(|last| last.checked_add(pause))
    }

    fn take_probe(&mut self, question: u64) -> bool {
        *self.prober.get_or_insert(question) == question
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    const DEADLINE: Duration = Duration::from_secs(5);

    /// Simulates questions to a nameserver that never answers; returns when packets leave, in milliseconds. Each of
    /// `names` sends a question of 5 s, and the next one 100 ms after it failed.
    fn packets_to_a_dead_server(names: u64, millis: u64) -> Vec<u64> {
        struct Asking {
            question: u64,
            began: Instant,
            sent: Option<Transmissions>,
            look_at: Instant,
        }
        let (began, mut health, mut packets) = (clock::now(), Health::default(), Vec::new());
        let mut questions = names;
        let ask = |question, now| Asking { question, began: now, sent: None, look_at: now };
        let mut asking: Vec<Asking> = (0..names).map(|question| ask(question, began)).collect();
        for at in 0..millis {
            let now = began + ms(at);
            for one in &mut asking {
                if now >= one.began + DEADLINE {
                    health.on_unanswered(one.began, now);
                    health.end(one.question);
                    questions += 1;
                    *one = ask(questions, now + ms(100));
                }
                if now < one.look_at || one.sent.is_some_and(|sent| sent.count >= 4) {
                    continue;
                }
                let permission = match &one.sent {
                    None => health.begin(one.question, now, now + DEADLINE),
                    Some(sent) => health.again(one.question, sent, now),
                };
                match permission {
                    Permission::At(later) => one.look_at = later,
                    Permission::Never => {
                        questions += 1;
                        *one = ask(questions, now + ms(100));
                    }
                    Permission::Now => {
                        health.on_sent(now);
                        packets.push(at);
                        let sent = one.sent.get_or_insert(Transmissions::new(now));
                        if sent.last != now {
                            sent.sent(now);
                        }
                        one.look_at = sent.next(ms(150), one.began + DEADLINE);
                        if sent.count == 4 {
                            health.end(one.question);
                        }
                    }
                }
            }
        }
        packets
    }

    #[test]
    fn a_dead_server_gets_at_most_twice_the_packets_of_libc_for_one_name() {
        let packets = packets_to_a_dead_server(1, 20_000);
        assert_eq!(packets.iter().take(4).collect::<Vec<_>>(), [&0, &150, &450, &1050]);
        assert!(packets.len() <= 8, "{packets:?}");
    }

    #[test]
    fn a_dead_server_is_probed_by_one_question_for_all_names() {
        let packets = packets_to_a_dead_server(100, 20_000);
        assert_eq!(packets.iter().filter(|at| **at <= 150).count(), 200);
        assert!(packets.len() <= 212, "{:?}", &packets[200..]);
        assert!(packets.is_sorted_by(|a, b| *a <= 2500 || b - a >= 2500), "{:?}", &packets[200..]);
    }

    fn sent(health: &mut Health, times: &[u64], began: Instant) {
        times.iter().for_each(|at| health.on_sent(began + ms(*at)));
    }

    #[test]
    fn few_packets_or_a_short_time_do_not_make_a_server_silent() {
        let began = clock::now();
        let mut health = Health::default();
        sent(&mut health, &[0, 150, 450], began);
        assert!(!health.is_silent(began + ms(9000)));
        sent(&mut health, &[1050], began);
        assert!(!health.is_silent(began + ms(2499)) && health.is_silent(began + ms(2500)));
        assert_eq!(health.silent_for(began + ms(3000)), Some(ms(3000)));
        health.on_heard(began + ms(3000));
        assert!(!health.is_silent(began + ms(9000)) && !health.is_avoided(began + ms(3000)));
    }

    #[test]
    fn packets_that_are_far_apart_do_not_add_up() {
        let began = clock::now();
        let mut health = Health::default();
        sent(&mut health, &[0, 20_000, 40_000, 60_000, 80_000], began);
        assert!(!health.is_silent(began + ms(80_000)));
    }

    #[test]
    fn a_lost_packet_of_a_server_that_answers_others_is_sent_again_by_every_question() {
        let began = clock::now();
        let mut health = Health::default();
        sent(&mut health, &[0, 0, 150, 150], began);
        let packets = Transmissions { first: began, last: began + ms(150), count: 2 };
        assert_eq!(health.again(1, &packets, began + ms(450)), Permission::Now, "the prober");
        assert!(matches!(health.again(2, &packets, began + ms(450)), Permission::At(_)));
        health.on_heard(began + ms(500));
        assert_eq!(health.again(2, &packets, began + ms(600)), Permission::Now);
    }

    #[test]
    fn the_next_question_may_probe_when_the_prober_ends() {
        let began = clock::now();
        let mut health = Health::default();
        sent(&mut health, &[0, 150, 450, 1050], began);
        let now = began + ms(4000);
        assert_eq!(health.begin(1, now, now + DEADLINE), Permission::Now);
        assert_eq!(health.begin(2, now, now + DEADLINE), Permission::Never);
        assert!(health.is_closed(now, now + DEADLINE));
        assert!(!health.begin_probe(3, now));
        health.end(2);
        assert_eq!(health.begin(2, now, now + DEADLINE), Permission::Never);
        health.end(1);
        assert!(!health.is_closed(now, now + DEADLINE));
        assert_eq!(health.begin(2, now, now + DEADLINE), Permission::Now);
    }

    #[test]
    fn a_probe_waits_for_its_turn_unless_that_is_after_the_deadline() {
        let began = clock::now();
        let mut health = Health::default();
        sent(&mut health, &[0, 150, 450, 1050], began);
        let now = began + ms(2600);
        assert!(health.is_closed(now, now + ms(50)) && !health.is_closed(now, now + DEADLINE));
        assert_eq!(health.begin(1, now, now + ms(50)), Permission::Never);
        assert_eq!(health.begin(1, now, now + DEADLINE), Permission::At(began + ms(1050) + PROBE_MIN));
    }

    #[test]
    fn a_closed_port_is_avoided_and_not_rationed() {
        let began = clock::now();
        let mut health = Health::default();
        sent(&mut health, &[0, 150, 450, 1050], began);
        health.on_refused(began + ms(3000));
        assert!(health.is_avoided(began + ms(3000)) && !health.is_avoided(began + ms(13_000)));
        assert_eq!(health.begin(1, began + ms(3000), began + ms(8000)), Permission::Now);
        assert_eq!(health.begin(2, began + ms(3000), began + ms(8000)), Permission::Now);
    }
}
