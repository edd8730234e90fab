//! The state of one target and the events that change it.

use std::{
    collections::BTreeSet,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Freshness, RefreshSettings, View, membership::Membership, retention::Retention, schedule::Schedule};
#[cfg(feature = "resolver")]
use crate::source::Urgency;
use crate::{
    Error,
    endpoint::{Endpoint, EndpointSet, Identity},
    source::{AddressKind, State, Update},
};

/// Decides what to publish for one target and when to query it again.
///
/// Report when a query begins ([`on_query`](Self::on_query)) and when its answer arrives
/// ([`on_update`](Self::on_update)); between the two, ignore [`next_query_at`](Self::next_query_at). Every method that
/// can change the view returns the new view if it did.
#[derive(Debug)]
pub struct Refresh {
    settings: RefreshSettings,
    view: View,
    schedule: Schedule,
    membership: Membership,
    retention: Retention,
    /// What the addresses of the last positive answer stand for.
    address_kind: AddressKind,
    /// The answer that the set comes from; `None` while the set is empty.
    last_good: Option<GoodAnswer>,
    /// The arrival of the first unconfirmed negative answer.
    first_negative: Option<Instant>,
    /// Whether a caller is waiting for endpoints.
    waiting: bool,
}

#[derive(Clone, Copy, Debug)]
struct GoodAnswer {
    /// When the answer was last known to be correct.
    at: Instant,
    /// The answer has no TTL: it is correct until the first failure.
    until_failure: bool,
}

impl Refresh {
    /// Returns the state of a target that has never been queried; the first query is due at `now`.
    #[must_use]
    pub fn new(settings: RefreshSettings, now: Instant) -> Self {
        Self {
            schedule: Schedule::new(&settings, now),
            settings,
            view: View { set: Arc::default(), freshness: Freshness::Unknown },
            membership: Membership::default(),
            retention: Retention::default(),
            address_kind: AddressKind::default(),
            last_good: None,
            first_negative: None,
            waiting: false,
        }
    }

    /// The current view.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// When to query next; `None` if the answer cannot change until the source reports a [change](Self::on_change).
    #[must_use]
    pub fn next_query_at(&self) -> Option<Instant> {
        self.schedule.next()
    }

    /// Whether a negative answer to the query that has begun would be accepted: the set is empty already, the last answer
    /// was a confirmed negative one, or the answer would confirm an earlier negative one.
    #[must_use]
    pub fn accepts_negative(&self) -> bool {
        let confirms = |first| self.schedule.queried_after(first, self.settings.confirm_after());
        let is_known = self.view.set.is_empty() || self.view.freshness.is_retained();
        is_known || self.first_negative.is_some_and(confirms)
    }

    /// How urgently the next query is needed, or the one in flight if events since it began call for another.
    #[cfg(feature = "resolver")]
    pub(crate) fn urgency(&self) -> Urgency {
        let no_answer = matches!(self.view.freshness, Freshness::Unknown);
        if no_answer || (self.waiting && self.view.set.is_empty()) {
            Urgency::FirstAnswer
        } else if self.schedule.is_urgent() || matches!(self.view.freshness, Freshness::Failed(_)) {
            Urgency::Requested
        } else {
            Urgency::Refresh
        }
    }

    /// Reports that a query begins.
    pub fn on_query(&mut self, now: Instant) {
        self.schedule.on_query(now);
    }

    /// Reports the complete answer of the sources. `jitter` is uniform in `[0, 1)`.
    ///
    /// `NotApplicable` means that no source applies to the target; it is treated as `NotFound` without a TTL. `Ready`
    /// without endpoints is treated as `Empty`.
    pub fn on_update(&mut self, update: &Update, now: Instant, jitter: &mut dyn FnMut() -> f64) -> Option<View> {
        self.schedule.on_answer(now);
        match &update.state {
            State::Ready(endpoints) if !endpoints.is_empty() => self.on_endpoints(endpoints, update, now, jitter),
            State::Ready(_) | State::Empty => self.on_negative(Freshness::Empty, update, now, jitter),
            State::NotFound => self.on_negative(Freshness::NotFound, update, now, jitter),
            State::NotApplicable => self.on_negative(Freshness::NotFound, &Update::new(State::NotFound), now, jitter),
            State::Failed(error) => self.on_failure(error, now, jitter),
        }
    }

    /// Reports a part of the answer that requests can already use. It only adds endpoints: the complete answer decides
    /// about missing and changed ones. While retained endpoints are all that there is, the complete answer decides
    /// about everything: they work.
    pub fn on_early(&mut self, update: &Update, now: Instant) -> Option<View> {
        let State::Ready(endpoints) = &update.state else { return None };
        if self.view.freshness.is_retained() {
            return None;
        }
        let set = self.membership.extend(&self.view.set, endpoints)?;
        let freshness = if self.view.set.is_empty() {
            self.last_good = Some(GoodAnswer { at: now, until_failure: false });
            Freshness::Fresh
        } else {
            self.view.freshness.clone()
        };
        self.publish(set, freshness)
    }

    /// Reports that a request could not connect to an endpoint: brings the next query forward, and stops offering the
    /// endpoint unless the last answer confirms it.
    ///
    /// A retained endpoint leaves. An endpoint that the last positive answer lacks is removed, unless it is the only
    /// one left and there is nothing better to try. If the last answer was negative or failed, it confirms no
    /// endpoint: at most half of the set is ejected, and an endpoint returns after ten seconds or when an answer
    /// contains it again. An endpoint that is not in the set changes nothing.
    pub fn on_unreachable(&mut self, identity: &Identity, now: Instant) -> Option<View> {
        let is_retained = self.view.set.get_by_identity(identity)?.is_retained();
        self.on_request(now);
        self.retention.on_outcome(identity, false, now);
        if is_retained {
            return self.release(identity);
        }
        let rest = if self.first_negative.is_some() || self.view.freshness.is_stale() {
            self.membership.eject(identity, &self.view.set, now)?
        } else {
            self.membership.remove_missing(identity, &self.view.set)?
        };
        self.publish(rest, self.view.freshness.clone())
    }

    /// Whether the outcomes of requests matter: endpoints of the target may be retained.
    #[must_use]
    pub fn wants_outcomes(&self) -> bool {
        self.address_kind != AddressKind::Backends && self.settings.retain_max() > 0
    }

    /// Reports the outcome of the last request to an endpoint, if it is news. Report it before the answer that it precedes:
    /// an endpoint whose last request succeeded may be retained.
    pub fn on_outcome(&mut self, identity: &Identity, succeeded: bool, now: Instant) {
        self.retention.on_outcome(identity, succeeded, now);
    }

    /// Requests a refresh: brings the next query forward, at the pace of connect errors.
    pub fn on_request(&mut self, now: Instant) {
        self.schedule.on_request(&self.settings, now);
    }

    /// Reports whether callers are waiting for endpoints. While they are, a negative answer is refreshed sooner.
    pub fn on_waiting(&mut self, waiting: bool, now: Instant) {
        self.waiting = waiting;
        if waiting && matches!(self.view.freshness, Freshness::Empty | Freshness::NotFound) {
            self.schedule.hasten(self.settings.negative_max_waiting(), now);
        }
    }

    /// Reports that a source has a change: the next query is due at once. Only a burst of changes is slowed down, to one
    /// query per 20 ms. The source that could be queried too often is the one that reported the change.
    pub fn on_change(&mut self, now: Instant) {
        self.schedule.on_change(now);
    }

    /// Reports that another task queries from now on. A change that a source reported to the task before may be lost, so
    /// the next query is due as soon as the spacing allows.
    ///
    /// `now` may be earlier than times reported before: the tasks' runtimes may have different clocks, such as the paused
    /// one of a test.
    pub fn on_takeover(&mut self, now: Instant) {
        self.schedule.on_takeover(now);
        self.membership.rewind(now);
        self.retention.rewind(now);
        self.first_negative = self.first_negative.map(|at| at.min(now));
        if let Some(good) = &mut self.last_good {
            good.at = good.at.min(now);
        }
    }

    fn on_endpoints(
        &mut self,
        endpoints: &[Endpoint],
        update: &Update,
        now: Instant,
        jitter: &mut dyn FnMut() -> f64,
    ) -> Option<View> {
        let hold = if update.authoritative { Default::default() } else { self.settings.removal_hold() };
        let set = self.replace(EndpointSet::new(endpoints.to_vec()), update, hold, now);
        self.last_good = Some(GoodAnswer { at: now, until_failure: update.ttl.is_none() });
        self.first_negative = None;
        let removal = self.membership.next_removal(hold);
        self.schedule.after_endpoints(update.ttl, removal, &self.settings, now, jitter);
        self.publish(set, Freshness::Fresh)
    }

    fn on_negative(
        &mut self,
        freshness: Freshness,
        update: &Update,
        now: Instant,
        jitter: &mut dyn FnMut() -> f64,
    ) -> Option<View> {
        if !update.authoritative && !self.accepts_negative() {
            let first = *self.first_negative.get_or_insert(now);
            self.schedule.after_unconfirmed(first, &self.settings, now);
            return None;
        }
        self.schedule.after_negative(update.ttl, self.waiting, &self.settings, now, jitter);
        if update.authoritative || !self.wants_outcomes() {
            return self.clear(freshness);
        }
        let since = match self.view.freshness {
            Freshness::Retained { since, .. } => since,
            _ => now,
        };
        let is_not_found = matches!(freshness, Freshness::NotFound);
        self.retain_alone(Freshness::Retained { since, is_not_found }, freshness, now)
    }

    /// The endpoints of the newest answer, those whose removal is held, and the retained ones.
    fn replace(&mut self, answer: EndpointSet, update: &Update, hold: Duration, now: Instant) -> EndpointSet {
        let (before, kind) = (mem::replace(&mut self.address_kind, update.address_kind), update.address_kind);
        let is_host = !update.authoritative && (before, kind) == (AddressKind::Host, AddressKind::Host);
        let shown = &self.view.set;
        if !is_host && !shown.iter().any(Endpoint::is_retained) {
            return self.membership.replace(shown, answer, hold, now);
        }
        let named: BTreeSet<_> = answer.iter().flat_map(Endpoint::addrs).collect();
        let absent = shown.iter().filter(|endpoint| is_host && !endpoint.addrs().any(|addr| named.contains(&addr)));
        let retained = self.retention.retain(absent, &self.settings, now);
        let kept: BTreeSet<_> = retained.iter().map(Endpoint::identity).collect();
        let held = |endpoint: &&Endpoint| !endpoint.is_retained() && !kept.contains(endpoint.identity());
        let others = shown.iter().filter(held).cloned().collect();
        let set = self.membership.replace(&others, answer, hold, now);
        let set = set.iter().cloned().chain(retained).collect();
        self.retention.keep_only(&set);
        set
    }

    /// Publishes the endpoints that are retained although no answer names any. Without one, the set is empty for the
    /// reason in `otherwise`.
    fn retain_alone(&mut self, freshness: Freshness, otherwise: Freshness, now: Instant) -> Option<View> {
        let set: EndpointSet = self.retention.retain(self.view.set.iter(), &self.settings, now).into_iter().collect();
        if set.is_empty() {
            return self.clear(otherwise);
        }
        self.retention.keep_only(&set);
        (self.last_good, self.first_negative, self.membership) = (None, None, Membership::default());
        self.publish(set, freshness)
    }

    /// Drops a retained endpoint that cannot be connected to.
    fn release(&mut self, identity: &Identity) -> Option<View> {
        let rest: EndpointSet = self.view.set.iter().filter(|one| one.identity() != identity).cloned().collect();
        match self.view.freshness {
            Freshness::Retained { is_not_found: true, .. } if rest.is_empty() => self.clear(Freshness::NotFound),
            Freshness::Retained { .. } if rest.is_empty() => self.clear(Freshness::Empty),
            // An answer or the last known endpoints are beside it.
            _ if rest.is_empty() => None,
            _ => self.publish(rest, self.view.freshness.clone()),
        }
    }

    fn on_failure(&mut self, error: &Error, now: Instant, jitter: &mut dyn FnMut() -> f64) -> Option<View> {
        self.schedule.after_failure(&self.settings, now, jitter);
        if self.view.freshness.is_retained() {
            // The negative answer before it stands, and requests still decide.
            return self.retain_alone(self.view.freshness.clone(), Freshness::Failed(error.clone()), now);
        }
        let Some(good) = self.last_good.as_mut() else {
            return self.clear(Freshness::Failed(error.clone()));
        };
        if mem::take(&mut good.until_failure) {
            good.at = now;
        }
        let since = good.at;
        if now.saturating_duration_since(since) > self.settings.max_stale() {
            return self.clear(Freshness::Failed(error.clone()));
        }
        let set = self.membership.readmit(&self.view.set, now);
        self.publish(set, Freshness::Stale { since, error: error.clone() })
    }

    /// Drops all endpoints and what is remembered about them.
    fn clear(&mut self, freshness: Freshness) -> Option<View> {
        self.last_good = None;
        self.first_negative = None;
        self.membership = Membership::default();
        self.retention = Retention::default();
        self.address_kind = AddressKind::default();
        self.publish(EndpointSet::default(), freshness)
    }

    /// Stores the set and its freshness, and returns the view if either changed.
    fn publish(&mut self, set: EndpointSet, freshness: Freshness) -> Option<View> {
        let version = self.view.set.version();
        let same_set = version > 0 && set == *self.view.set;
        if !same_set {
            self.view.set = Arc::new(set.with_version(version.saturating_add(1)));
        }
        let before = mem::replace(&mut self.view.freshness, freshness);
        // Errors cannot be compared: each failure counts as a change.
        let same_freshness =
            mem::discriminant(&before) == mem::discriminant(&self.view.freshness) && before.error().is_none();
        (!(same_set && same_freshness)).then(|| self.view.clone())
    }
}
