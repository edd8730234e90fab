//! Random events, checked against the naive model.

use proptest::prelude::*;

use super::{
    model::{Answer, Event, Log},
    *,
};

fn answers() -> impl Strategy<Value = Answer> {
    let some = prop::collection::btree_set(1_u8..6, 1..5).prop_map(|set| set.into_iter().collect::<Vec<_>>());
    let ttl = prop_oneof![4 => (0_u64..40).prop_map(Some), 1 => Just(Some(u64::MAX)), 1 => Just(None)];
    prop_oneof![
        4 => (some, ttl).prop_map(|(of, ttl)| Answer::Ready(of, ttl)),
        2 => Just(Answer::Negative),
        2 => Just(Answer::Failed),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    let pass = prop_oneof![8 => 0_u64..3000, 2 => 0_u64..400_000, 1 => Just(3 * 3_600_000)];
    let some = prop::collection::vec(1_u8..6, 0..4);
    prop_oneof![
        2 => pass.prop_map(Event::Pass),
        8 => (0_u64..1500, answers()).prop_map(|(latency, answer)| Event::Ask(latency, answer)),
        1 => answers().prop_map(Event::Push),
        1 => some.prop_map(Event::Early),
        2 => (1_u8..7).prop_map(Event::Unreachable),
        1 => any::<bool>().prop_map(Event::Waiting),
        1 => Just(Event::Change),
    ]
}

/// The state machine, its model, and the checks after every event.
struct Run {
    sim: Sim,
    settings: RefreshSettings,
    log: Log,
    /// Whether an event allows the next query to begin less than a second after the last one.
    hurry: bool,
    asked: Option<Instant>,
    /// Whether the set began with an early answer, which the model ignores, and no complete answer has arrived yet.
    early: bool,
}

impl Run {
    fn new(settings: RefreshSettings) -> Self {
        let sim = Sim::with(settings.clone());
        Self { sim, settings, log: Log::default(), hurry: false, asked: None, early: false }
    }

    fn step(&mut self, event: &Event) -> Result<(), TestCaseError> {
        let before = self.sim.refresh.view().clone();
        let due = self.sim.refresh.next_query_at();
        let published = match event {
            Event::Pass(time) => {
                self.sim.now += ms(*time);
                None
            }
            Event::Ask(latency, answer) => match due {
                Some(due) => self.ask(due, ms(*latency), answer)?,
                None => None,
            },
            Event::Push(answer) => self.answer(self.sim.now, answer),
            Event::Early(of) => self.sim.refresh.on_early(&ready(of), self.sim.now),
            Event::Unreachable(last) => self.unreachable(*last, &before)?,
            Event::Waiting(waiting) => {
                self.sim.refresh.on_waiting(*waiting, self.sim.now);
                None
            }
            Event::Change => {
                self.hurry = true;
                self.sim.refresh.on_change(self.sim.now);
                None
            }
        };
        let next = self.sim.refresh.next_query_at();
        prop_assert!(next == due || next.is_none_or(|at| at >= self.sim.now), "a query is due in the past");
        self.versions(&before, published.as_ref())?;
        self.changes(&before, event)
    }

    fn ask(&mut self, due: Instant, latency: Duration, answer: &Answer) -> Result<Option<View>, TestCaseError> {
        self.sim.now = self.sim.now.max(due);
        if let Some(asked) = self.asked.filter(|_| !self.hurry) {
            prop_assert!(self.sim.now - asked >= secs(1), "queried again after {:?}", self.sim.now - asked);
        }
        let asked = self.sim.now;
        self.sim.refresh.on_query(asked);
        self.hurry = false;
        self.sim.now += latency;
        Ok(self.answer(asked, answer))
    }

    fn answer(&mut self, asked: Instant, answer: &Answer) -> Option<View> {
        self.asked = Some(asked);
        self.log.push(asked, self.sim.now, answer.clone());
        self.hurry = self.log.last_failed();
        self.sim.answer(&answer.update())
    }

    fn unreachable(&mut self, last: u8, before: &View) -> Result<Option<View>, TestCaseError> {
        let published = self.sim.refresh.on_unreachable(endpoint(last).identity(), self.sim.now);
        if let Some(view) = &published {
            prop_assert!(before.set.len() > 1 && view.set.len() == before.set.len() - 1);
            prop_assert!(!self.log.named().contains(&last), "the last answer contained it");
        }
        Ok(published)
    }

    /// The version counts the distinct sets, and a view is returned exactly when it differs.
    fn versions(&self, before: &View, published: Option<&View>) -> Result<(), TestCaseError> {
        let after = self.sim.refresh.view();
        let first = before.set.version() == 0 && after.set.version() == 1;
        let changed = before.set != after.set || first;
        prop_assert_eq!(after.set.version(), before.set.version() + u64::from(changed));
        prop_assert_eq!(!changed, std::sync::Arc::ptr_eq(&before.set, &after.set));
        if let Some(view) = published {
            prop_assert!(std::sync::Arc::ptr_eq(&view.set, &after.set));
        }
        prop_assert!(published.is_some() || !changed, "a change was not published");
        let usable = matches!(after.freshness, Freshness::Fresh | Freshness::Stale { .. });
        prop_assert_eq!(usable, !after.set.is_empty());
        Ok(())
    }

    /// Every removal is one that the model allows, and the set contains every endpoint of the last answer.
    fn changes(&mut self, before: &View, event: &Event) -> Result<(), TestCaseError> {
        let (old, new) = (shown(before), self.sim.shown());
        let answered = matches!(event, Event::Ask(..) | Event::Push(_));
        if new.is_empty() && !old.is_empty() {
            prop_assert!(answered && (self.log.may_empty(&self.settings) || self.early), "emptied");
        } else {
            for gone in old.iter().filter(|last| !new.contains(last)) {
                let ejected = matches!(event, Event::Unreachable(last) if last == gone);
                prop_assert!(ejected || answered && self.log.may_remove(*gone, &self.settings), "{gone} removed");
            }
        }
        if answered {
            prop_assert!(self.log.named().iter().all(|last| new.contains(last)), "the answer is published");
            self.early = false;
        }
        self.early |= matches!(event, Event::Early(_)) && old.is_empty() && !new.is_empty();
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// The rules hold for any events in any order.
    #[test]
    fn the_rules_hold_for_any_sequence(
        hold in 0_u64..5000,
        confirm in 0_u64..5000,
        stale in 0_u64..600,
        events in prop::collection::vec(events(), 1..80),
    ) {
        let settings = RefreshSettings::default()
            .with_removal_hold(ms(hold))
            .with_confirm_after(ms(confirm))
            .with_max_stale(secs(stale));
        let mut run = Run::new(settings);
        for event in &events {
            run.step(event)?;
        }
    }

    /// The same events and random numbers give the same decisions.
    #[test]
    fn the_same_events_give_the_same_decisions(events in prop::collection::vec(events(), 1..40)) {
        let mut one = Run::new(RefreshSettings::default());
        let mut other = Run::new(RefreshSettings::default());
        for event in &events {
            one.step(event)?;
            other.step(event)?;
            prop_assert_eq!(one.sim.shown(), other.sim.shown());
            let since = |run: &Run| run.sim.refresh.next_query_at().map(|at| at.saturating_duration_since(run.sim.start));
            prop_assert_eq!(since(&one), since(&other));
        }
    }
}
