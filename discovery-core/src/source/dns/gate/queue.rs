//! Which query may be sent next: places of each nameserver, places of the process, and the order of those that wait.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::source::Urgency;

/// After so many places that went to a query although another one had waited longer, the next place goes to the query
/// that has waited longest: nine tenths of the places go by urgency, and a refresh never waits forever.
const BY_URGENCY: u32 = 9;

/// A query that waits for a place or holds one. A later query has a greater ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// One nameserver of one resolver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneId(pub(super) u64);

/// What the queries to one nameserver may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneLimits {
    /// The number of places.
    pub(super) places: usize,
    /// A query loses its place after this time. The tasks of a runtime that is not driven never release theirs.
    pub(super) hold: Duration,
}

/// The queries of all lanes, waiting and in flight.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Only lanes with a query.
    lanes: BTreeMap<LaneId, Lane>,
    next: u64,
    /// The number of places since the last one that went to the query that had waited longest.
    by_urgency: u32,
}

/// How many queries a lane has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Occupancy {
    pub(super) in_flight: usize,
    pub(super) waiting: usize,
}

#[derive(Debug)]
struct Lane {
    limits: LaneLimits,
    /// The places in use, and when each returns at the latest; `None` if that is later than the clock can express.
    places: BTreeMap<Ticket, Option<Instant>>,
    /// Without empty sets.
    waiting: BTreeMap<Urgency, BTreeSet<Ticket>>,
}

/// The query of a lane that may be next.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    lane: LaneId,
    in_flight: usize,
    urgency: Urgency,
    ticket: Ticket,
}

impl Queue {
    /// Adds a query that waits.
    pub(super) fn join(&mut self, lane: LaneId, limits: LaneLimits, urgency: Urgency) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        let empty = || Lane { limits, places: BTreeMap::new(), waiting: BTreeMap::new() };
        let lane = self.lanes.entry(lane).or_insert_with(empty);
        lane.waiting.entry(urgency).or_default().insert(ticket);
        ticket
    }

    /// Moves a query that waits from one urgency to another; it keeps its ticket, and so its age.
    pub(super) fn raise(&mut self, lane: LaneId, ticket: Ticket, from: Urgency, to: Urgency) {
        if let Some(lane) = self.lanes.get_mut(&lane)
            && lane.remove_waiting(from, ticket)
        {
            lane.waiting.entry(to).or_default().insert(ticket);
        }
    }

    /// Removes a query, whether it waits or holds a place. A query that is gone already changes nothing.
    pub(super) fn leave(&mut self, lane: LaneId, ticket: Ticket) {
        if let Some(of) = self.lanes.get_mut(&lane) {
            of.places.remove(&ticket);
            for urgency in [Urgency::Refresh, Urgency::Requested, Urgency::FirstAnswer] {
                of.remove_waiting(urgency, ticket);
            }
            if of.is_empty() {
                self.lanes.remove(&lane);
            }
        }
    }

    /// Gives a place to the next query, if there is one: `capacity` is the number of places of the process.
    ///
    /// The most urgent query is next. Of equally urgent ones it is that of the lane with the fewest queries in flight, so
    /// that a silent nameserver does not take the places of another one, and then the oldest.
    pub(super) fn admit(&mut self, capacity: usize, now: Instant) -> Option<Ticket> {
        self.expire(now);
        let in_flight: usize = self.lanes.values().map(|lane| lane.places.len()).sum();
        if in_flight >= capacity {
            return None;
        }
        let oldest = self.candidates(Lane::oldest).min_by_key(|next| next.ticket)?;
        let by_urgency = |next: &Candidate| (Reverse(next.urgency), next.in_flight, next.ticket);
        let next = match self.by_urgency {
            BY_URGENCY.. => oldest,
            _ => self.candidates(Lane::most_urgent).min_by_key(by_urgency)?,
        };
        self.by_urgency = if next.ticket == oldest.ticket { 0 } else { self.by_urgency + 1 };
        let lane = self.lanes.get_mut(&next.lane)?;
        lane.remove_waiting(next.urgency, next.ticket);
        lane.places.insert(next.ticket, now.checked_add(lane.limits.hold));
        Some(next.ticket)
    }

    pub(super) fn occupancy(&self, lane: LaneId) -> Occupancy {
        let waiting = |lane: &Lane| lane.waiting.values().map(BTreeSet::len).sum();
        let of = |lane: &Lane| Occupancy { in_flight: lane.places.len(), waiting: waiting(lane) };
        self.lanes.get(&lane).map(of).unwrap_or_default()
    }

    /// The query that `choose` names, of each lane with a free place.
    fn candidates(&self, choose: fn(&Lane) -> Option<(Urgency, Ticket)>) -> impl Iterator<Item = Candidate> {
        let open = self.lanes.iter().filter(|(_, lane)| lane.places.len() < lane.limits.places);
        open.filter_map(move |(id, lane)| {
            let (urgency, ticket) = choose(lane)?;
            Some(Candidate { lane: *id, in_flight: lane.places.len(), urgency, ticket })
        })
    }

    /// Takes back the places that are held for too long.
    fn expire(&mut self, now: Instant) {
        for lane in self.lanes.values_mut() {
            lane.places.retain(|_, until| until.is_none_or(|until| now < until));
        }
        self.lanes.retain(|_, lane| !lane.is_empty());
    }
}

impl Lane {
    fn is_empty(&self) -> bool {
        self.places.is_empty() && self.waiting.is_empty()
    }

    fn most_urgent(&self) -> Option<(Urgency, Ticket)> {
        let (urgency, tickets) = self.waiting.last_key_value()?;
        Some((*urgency, *tickets.first()?))
    }

    fn oldest(&self) -> Option<(Urgency, Ticket)> {
        let first = |(urgency, tickets): (&Urgency, &BTreeSet<Ticket>)| Some((*urgency, *tickets.first()?));
        self.waiting.iter().filter_map(first).min_by_key(|(_, ticket)| *ticket)
    }

    /// Removes a query from those that wait; `false` if it is not among them.
    fn remove_waiting(&mut self, urgency: Urgency, ticket: Ticket) -> bool {
        let Some(tickets) = self.waiting.get_mut(&urgency) else { return false };
        let removed = tickets.remove(&ticket);
        if tickets.is_empty() {
            self.waiting.remove(&urgency);
        }
        removed
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    const ONE: LaneId = LaneId(1);
    const TWO: LaneId = LaneId(2);
    const URGENCIES: [Urgency; 3] = [Urgency::Refresh, Urgency::Requested, Urgency::FirstAnswer];

    fn limits(places: usize) -> LaneLimits {
        LaneLimits { places, hold: Duration::from_secs(10) }
    }

    fn admit_all(queue: &mut Queue, capacity: usize, now: Instant) -> Vec<Ticket> {
        std::iter::from_fn(|| queue.admit(capacity, now)).collect()
    }

    #[test]
    fn first_answers_overtake_requested_rounds_and_those_overtake_refreshes() {
        let (mut queue, now) = (Queue::default(), clock::now());
        let mut join = |urgency| queue.join(ONE, limits(6), urgency);
        let (slow, fast) = (join(Urgency::Refresh), join(Urgency::FirstAnswer));
        let (requested, slow_too) = (join(Urgency::Requested), join(Urgency::Refresh));
        let (fast_too, requested_too) = (join(Urgency::FirstAnswer), join(Urgency::Requested));
        assert_eq!(
            admit_all(&mut queue, 100, now),
            [fast, fast_too, requested, requested_too, slow, slow_too],
            "by urgency, and within one urgency by age"
        );
    }

    #[test]
    fn a_query_that_became_more_urgent_keeps_its_age() {
        let (mut queue, now) = (Queue::default(), clock::now());
        let old = queue.join(ONE, limits(1), Urgency::Refresh);
        let young = queue.join(ONE, limits(1), Urgency::FirstAnswer);
        queue.raise(ONE, old, Urgency::Refresh, Urgency::FirstAnswer);
        assert_eq!(queue.admit(9, now), Some(old));
        // Too late for a query that is in flight.
        queue.raise(ONE, old, Urgency::FirstAnswer, Urgency::Refresh);
        assert_eq!(queue.admit(9, now), None, "the only place is taken");
        queue.leave(ONE, old);
        assert_eq!(queue.admit(9, now), Some(young));
    }

    #[test]
    fn a_refresh_gets_a_place_under_a_constant_load_of_first_answers() {
        let (mut queue, now) = (Queue::default(), clock::now());
        let refresh = queue.join(ONE, limits(1), Urgency::Refresh);
        for _ in 0..50 {
            queue.join(ONE, limits(1), Urgency::FirstAnswer);
        }
        let mut places = 0;
        loop {
            let next = queue.admit(1, now).expect("a query waits");
            places += 1;
            queue.leave(ONE, next);
            if next == refresh {
                break;
            }
            queue.join(ONE, limits(1), Urgency::FirstAnswer);
        }
        assert_eq!(places, 10);
    }

    #[test]
    fn a_silent_nameserver_does_not_take_the_places_of_another_one() {
        let (mut queue, now) = (Queue::default(), clock::now());
        for _ in 0..100 {
            queue.join(ONE, limits(64), Urgency::Refresh);
        }
        let silent = admit_all(&mut queue, 10, now);
        assert_eq!(silent.len(), 10, "the process has no more places");
        let healthy = queue.join(TWO, limits(64), Urgency::Refresh);
        queue.leave(ONE, silent[0]);
        assert_eq!(queue.admit(10, now), Some(healthy), "the lane with fewer queries in flight");
        assert_eq!((queue.occupancy(ONE).in_flight, queue.occupancy(TWO).in_flight), (9, 1));
    }

    #[test]
    fn the_places_of_a_runtime_that_stopped_come_back() {
        let (mut queue, now) = (Queue::default(), clock::now());
        let stuck = queue.join(ONE, limits(1), Urgency::Refresh);
        let next = queue.join(ONE, limits(1), Urgency::Refresh);
        assert_eq!(queue.admit(1, now), Some(stuck));
        assert_eq!(queue.admit(1, now + Duration::from_millis(9_999)), None);
        assert_eq!(queue.admit(1, now + Duration::from_secs(10)), Some(next));
        queue.leave(ONE, stuck);
        assert_eq!(queue.occupancy(ONE), Occupancy { in_flight: 1, waiting: 0 }, "the place is that of the next query");
    }

    #[derive(Clone, Debug)]
    enum Event {
        Join(u64, usize),
        Admit,
        Leave(usize),
        Raise(usize, usize),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => (0..3_u64, 0..3_usize).prop_map(|(lane, urgency)| Event::Join(lane, urgency)),
            3 => Just(Event::Admit),
            2 => any::<usize>().prop_map(Event::Leave),
            1 => (any::<usize>(), 0..3_usize).prop_map(|(at, urgency)| Event::Raise(at, urgency)),
        ]
    }

    proptest! {
        /// No place is lost or given twice, and no limit is exceeded.
        #[test]
        fn any_order_of_events_keeps_the_limits(events in prop::collection::vec(event(), 0..200), capacity in 1..6_usize) {
            let (mut queue, now) = (Queue::default(), clock::now());
            let mut all: Vec<(LaneId, Ticket, Urgency)> = Vec::new();
            let mut admitted = BTreeSet::new();
            for event in events {
                match event {
                    Event::Join(lane, urgency) => {
                        let (lane, urgency) = (LaneId(lane), URGENCIES[urgency]);
                        all.push((lane, queue.join(lane, limits(2), urgency), urgency));
                    }
                    Event::Admit => admitted.extend(queue.admit(capacity, now)),
                    Event::Leave(at) if !all.is_empty() => {
                        let (lane, ticket, _) = all.swap_remove(at % all.len());
                        admitted.remove(&ticket);
                        queue.leave(lane, ticket);
                    }
                    Event::Raise(at, urgency) if !all.is_empty() => {
                        let at = at % all.len();
                        let (lane, ticket, from) = all[at];
                        queue.raise(lane, ticket, from, URGENCIES[urgency]);
                        if !admitted.contains(&ticket) {
                            all[at].2 = URGENCIES[urgency];
                        }
                    }
                    Event::Leave(_) | Event::Raise(..) => {}
                }
                let of = |lane| queue.occupancy(LaneId(lane));
                let (in_flight, waiting) = (0..3).map(of).fold((0, 0), |(f, w), of| (f + of.in_flight, w + of.waiting));
                prop_assert!(in_flight <= capacity && (0..3).all(|lane| of(lane).in_flight <= 2));
                prop_assert_eq!(in_flight, admitted.len());
                prop_assert_eq!(in_flight + waiting, all.len());
            }
            for (lane, ticket, _) in all {
                queue.leave(lane, ticket);
            }
            prop_assert!(queue.lanes.is_empty());
        }
    }
}
