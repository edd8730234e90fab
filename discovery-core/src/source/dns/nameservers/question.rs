//! One question to the nameservers: asked one after another, as libc does, while responses of the earlier ones still
//! count.

use std::{
    collections::VecDeque,
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{Nameservers, Reply, Server, Transport, Via};
use crate::{
    Error, clock,
    error::Kind,
    source::{
        BoxFuture,
        dns::{
            gate::{Place, exhausted},
            message::{Query, Standing, Use},
        },
    },
};

/// How long a question waits, for its nameservers and in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// How long one nameserver may take.
    pub(super) per_server: Duration,
    /// How long a nameserver may take until the next one is asked, too.
    pub(super) next_after: Duration,
    /// How long all nameservers may take.
    pub(super) whole: Duration,
    /// How many packets one nameserver gets.
    pub(super) packets: u32,
}

/// A question that is in flight.
pub(super) struct Question<'a> {
    nameservers: &'a Nameservers,
    query: &'a Query,
    via: Via,
    /// When the question began; later by the time that it only waited for a place.
    began: Instant,
    waited: &'a mut Duration,
    /// The nameservers that are not asked yet.
    waiting: VecDeque<usize>,
    /// What is under way, with the index of the nameserver.
    asked: FuturesUnordered<BoxFuture<'a, (usize, Event)>>,
    /// What each nameserver has said so far.
    states: Vec<State>,
    failures: Vec<Error>,
    /// The negative answer of a nameserver that is not the first one. It counts if the earlier ones are dead.
    denied: Option<(usize, Reply)>,
}

/// What has happened at a nameserver.
enum Event {
    /// There is a place for the question, after this time.
    Entered(Result<Place, Error>, Duration),
    Answered(Result<Reply, Error>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// The question waits for a place.
    Queued,
    Asked(Instant),
    /// It gave no response: a timeout, a closed port.
    Dead,
    /// It responded, with nothing that counts.
    Failed,
}

impl<'a> Question<'a> {
    /// Raises `waited` to the longest time that the question waits for a place.
    pub(super) fn new(nameservers: &'a Nameservers, query: &'a Query, via: Via, waited: &'a mut Duration) -> Self {
        let began = clock::now();
        Self {
            nameservers,
            query,
            via,
            began,
            waited,
            waiting: nameservers.order(began),
            asked: FuturesUnordered::new(),
            states: vec![State::Waiting; nameservers.servers.len()],
            failures: Vec::new(),
            denied: None,
        }
    }

    /// Waits for an answer that counts.
    ///
    /// # Errors
    ///
    /// The failures of all nameservers.
    pub(super) async fn answer(mut self) -> Result<Reply, Vec<Error>> {
        self.probe();
        let mut next_at = self.began;
        loop {
            let now = clock::now();
            if let Some(reply) = self.take_denied(now) {
                return Ok(reply);
            }
            if self.asked.is_empty() || now >= next_at {
                self.leave_late(now);
                self.enter_next(now);
                next_at = now + self.nameservers.limits.next_after;
            }
            if self.asked.is_empty() && self.waiting.is_empty() {
                return self.take_denied(now).ok_or(self.failures);
            }
            let wake = self.wake_at(next_at);
            tokio::select! {
                Some((at, event)) = self.asked.next() => {
                    let now = clock::now();
                    next_at = match event {
                        Event::Entered(place, waited) => self.on_entered(at, place, waited, now),
                        Event::Answered(result) => match self.on_result(at, result) {
                            Some(reply) => return Ok(reply),
                            None => now,
                        },
                    };
                }
                () = sleep_until(wake) => {}
            }
        }
    }

    /// Sends one packet to each nameserver that does not answer, if a probe is due and another nameserver answers.
    fn probe(&self) {
        if self.waiting.front().is_none_or(|first| self.is_avoided(*first, self.began)) {
            return;
        }
        for at in self.waiting.iter().filter(|at| self.is_avoided(**at, self.began)) {
            self.nameservers.probe(*at, self.query, self.via, self.began);
        }
    }

    /// Waits for a place of the next nameserver that may be asked.
    fn enter_next(&mut self, now: Instant) {
        let nameservers = self.nameservers;
        while let Some(at) = self.waiting.pop_front() {
            let Some(server) = nameservers.servers.get(at) else { continue };
            if server.is_closed(now, self.deadline(now)) {
                self.on_silent(at, server, now);
                continue;
            }
            self.states[at] = State::Queued;
            let query = self.query;
            self.asked.push(Box::pin(async move {
                let mut waited = Duration::ZERO;
                let place = server.gate().enter(query, &mut waited).await;
                (at, Event::Entered(place, waited))
            }));
            return;
        }
    }

    /// Asks a nameserver that has a place for the question. Returns when to ask the next one.
    fn on_entered(&mut self, at: usize, place: Result<Place, Error>, waited: Duration, now: Instant) -> Instant {
        let nameservers = self.nameservers;
        *self.waited = waited.max(*self.waited);
        if !self.states.iter().any(|state| matches!(state, State::Asked(_))) {
            self.began += waited;
        }
        let (Ok(place), Some(server)) = (place.map_err(|full| self.failures.push(full)), nameservers.servers.get(at))
        else {
            self.states[at] = State::Failed;
            return now;
        };
        let Some(permit) = server.begin(now, self.deadline(now), nameservers.limits.packets) else {
            self.on_silent(at, server, now);
            return now;
        };
        self.states[at] = State::Asked(now);
        let (transport, query, via): (&'a dyn Transport, _, _) = (&*nameservers.transport, self.query, self.via);
        self.asked.push(Box::pin(async move {
            let result = transport.exchange(&permit, query, via).await;
            if let Ok(reply) = &result
                && at > 0
            {
                nameservers.look_for_proof(&permit, query, &reply.response).await;
            }
            drop(place);
            (at, Event::Answered(result))
        }));
        now + nameservers.limits.next_after
    }

    fn on_silent(&mut self, at: usize, server: &Arc<Server>, now: Instant) {
        self.states[at] = State::Dead;
        self.failures.push(silent(server, self.query, now));
    }

    fn deadline(&self, now: Instant) -> Instant {
        let limits = self.nameservers.limits;
        (now + limits.per_server).min(self.began + limits.whole)
    }

    /// The nameservers that were asked and are late move to the end of the order for later questions.
    fn leave_late(&self, now: Instant) {
        if self.waiting.is_empty() {
            return;
        }
        for (server, state) in self.nameservers.servers.iter().zip(&self.states) {
            if let State::Asked(since) = state
                && now.saturating_duration_since(*since) >= self.nameservers.limits.next_after
            {
                server.on_late(*since, now);
            }
        }
    }

    /// Takes note of what a nameserver said; returns an answer that counts.
    fn on_result(&mut self, at: usize, result: Result<Reply, Error>) -> Option<Reply> {
        let (state, failure) = match result {
            Err(error) => match exhausted(&error) {
                // The nameserver is not to blame.
                Some(error) => (State::Failed, error),
                None => (State::Dead, error),
            },
            Ok(reply) => {
                let server = self.nameservers.servers.get(at)?;
                let standing = match at {
                    0 => Standing::First,
                    _ if !self.nameservers.zone.contains(self.query) => Standing::Later,
                    _ if server.is_zone_proved(clock::now()) == Some(true) => Standing::Proved,
                    _ => Standing::Unproved,
                };
                match reply.response.check(self.query, server.addr(), standing) {
                    Ok(Use::Answer) => return Some(reply),
                    Ok(Use::IfEarlierAreDead(otherwise)) => {
                        self.denied.get_or_insert((at, reply));
                        (State::Failed, otherwise)
                    }
                    Err(error) => (State::Failed, error),
                }
            }
        };
        self.states[at] = state;
        self.failures.push(failure);
        None
    }

    /// Takes the negative answer of a later nameserver, once all earlier ones are dead.
    fn take_denied(&mut self, now: Instant) -> Option<Reply> {
        let (at, _) = self.denied.as_ref()?;
        let dead = (0..*at).all(|earlier| match self.states[earlier] {
            State::Waiting => self.is_avoided(earlier, now),
            State::Asked(_) => self.nameservers.servers.get(earlier).is_some_and(|server| server.is_silent(now)),
            State::Dead => true,
            State::Queued | State::Failed => false,
        });
        if dead { self.denied.take().map(|(_, reply)| reply) } else { None }
    }

    /// When to look again although no nameserver responds.
    fn wake_at(&self, next_at: Instant) -> Option<Instant> {
        let next = (!self.waiting.is_empty()).then_some(next_at);
        let asked = self.nameservers.servers.iter().zip(&self.states).filter(|(_, s)| matches!(s, State::Asked(_)));
        let silent = asked.filter_map(|(server, _)| server.silent_at().filter(|at| *at > clock::now()));
        let silent = silent.min().filter(|_| self.denied.is_some());
        next.into_iter().chain(silent).min()
    }

    fn is_avoided(&self, at: usize, now: Instant) -> bool {
        self.nameservers.servers.get(at).is_some_and(|server| server.is_avoided(now))
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}

fn silent(server: &Arc<Server>, query: &Query, now: Instant) -> Error {
    let silence = server.silent_for(now).unwrap_or_default().as_secs();
    Error::new(
        Kind::Timeout,
        format!(
            "nameserver {} was not asked for {query}: it has answered nothing for {silence} s, and only one query at a \
             time probes whether it is back",
            server.addr()
        ),
    )
}
