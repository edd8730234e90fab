//! What happened to a registration, from one state to the next.

use std::collections::VecDeque;

use tokio::sync::watch;

use super::state::RegistrationState;
use crate::{Error, Status};

/// Something that happened to a registration.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RegistrationEvent {
    /// The registry accepted the record: for the first time, or again after [`Lost`](Self::Lost) or
    /// [`Conflict`](Self::Conflict).
    Registered,
    /// The registry no longer knew this pod (404), or held no lease for it. The pod registers again at once.
    Lost,
    /// The registry held another pod's record under this id. The record is overwritten.
    Conflict,
    /// The status of this pod changed, by the application or its health check.
    StatusChanged(Status),
    /// The registry lists this status instead of the pod's own, such as an operator's OUT_OF_SERVICE; `None` when that
    /// ended. Noticed when the record is read back, about every two minutes.
    Overridden(Option<Status>),
    /// A request failed after requests that succeeded. It is retried.
    Failed(Error),
    /// A request succeeded after requests that failed.
    Recovered,
    /// The registration has ended, and the registry no longer lists the pod. The last event.
    Deregistered,
    /// The registration has ended, and the registry may list the pod until its lease expires: the deregistration failed,
    /// or `unregister_on_shutdown` is off. The last event.
    Ended(Option<Error>),
}

/// The events of a registration, in order.
///
/// Slow readers cost nothing, and lose no event but repetitions: what happened several times between two calls of
/// [`next`](Self::next) is reported once, and a status that was left again is not reported.
///
/// ```no_run
/// # async fn run(registration: discovery_eureka::Registration) {
/// use discovery_eureka::RegistrationEvent;
///
/// let mut events = registration.events();
/// tokio::spawn(async move {
///     while let Some(event) = events.next().await {
///         match event {
///             RegistrationEvent::Failed(error) => println!("the registry does not respond: {error}"),
///             event => println!("{event:?}"),
///         }
///     }
/// });
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RegistrationEvents {
    states: watch::Receiver<RegistrationState>,
    reported: Reported,
    queue: VecDeque<RegistrationEvent>,
    started: bool,
}

impl RegistrationEvents {
    pub(super) fn new(states: watch::Receiver<RegistrationState>) -> Self {
        Self { states, reported: Reported::default(), queue: VecDeque::new(), started: false }
    }

    /// Waits for the next event; `None` after the last one, or if the registration's runtime has shut down.
    ///
    /// # Cancel safety
    /// Cancel-safe: no event is lost.
    pub async fn next(&mut self) -> Option<RegistrationEvent> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(event);
            }
            if self.started && self.states.changed().await.is_err() {
                return None;
            }
            self.started = true;
            let state = self.states.borrow_and_update().clone();
            self.queue.extend(self.reported.update(&state));
        }
    }
}

/// What the reader knows already. Pure.
#[derive(Clone, Debug, Default)]
struct Reported {
    /// `None` before the first state.
    status: Option<Status>,
    registered: bool,
    failed: bool,
    ended: bool,
    overridden: Option<Status>,
    registrations: u64,
    lost: u64,
    conflicts: u64,
}

impl Reported {
    /// Takes in the next state, and returns what happened.
    fn update(&mut self, state: &RegistrationState) -> Vec<RegistrationEvent> {
        let mut events = Vec::new();
        if self.ended {
            return events;
        }
        self.ended = state.ended;
        // The end sets the status to DOWN, and the error to its own: neither happened before it.
        if !state.ended && self.status.replace(state.status).is_some_and(|before| before != state.status) {
            events.push(RegistrationEvent::StatusChanged(state.status));
        }
        if std::mem::replace(&mut self.lost, state.lost) < state.lost {
            self.registered = false;
            events.push(RegistrationEvent::Lost);
        }
        if std::mem::replace(&mut self.conflicts, state.conflicts) < state.conflicts {
            self.registered = false;
            events.push(RegistrationEvent::Conflict);
        }
        if !state.ended {
            self.update_error(state, &mut events);
        }
        let accepted = std::mem::replace(&mut self.registrations, state.registrations) < state.registrations;
        if (state.registered || state.ended && accepted) && !std::mem::replace(&mut self.registered, true) {
            events.push(RegistrationEvent::Registered);
        }
        self.update_override(state, &mut events);
        if state.ended {
            events.push(match state.deregistered {
                true => RegistrationEvent::Deregistered,
                false => RegistrationEvent::Ended(state.error.clone()),
            });
        }
        events
    }

    /// While a change is pending, the status that was listed before it says nothing.
    fn update_override(&mut self, state: &RegistrationState, events: &mut Vec<RegistrationEvent>) {
        if state.listed.is_none() || state.pending || state.ended {
            return;
        }
        let overridden = state.overridden();
        if std::mem::replace(&mut self.overridden, overridden) != overridden {
            events.push(RegistrationEvent::Overridden(overridden));
        }
    }

    fn update_error(&mut self, state: &RegistrationState, events: &mut Vec<RegistrationEvent>) {
        let failed_before = std::mem::replace(&mut self.failed, state.error.is_some());
        match &state.error {
            Some(error) if !failed_before => events.push(RegistrationEvent::Failed(error.clone())),
            None if failed_before => events.push(RegistrationEvent::Recovered),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(events: &[RegistrationEvent]) -> Vec<String> {
        events.iter().map(|event| format!("{event:?}").split('(').next().unwrap_or_default().to_owned()).collect()
    }

    fn registered() -> RegistrationState {
        RegistrationState {
            status: Status::Up,
            registered: true,
            requests: 1,
            registrations: 1,
            ..RegistrationState::default()
        }
    }

    #[test]
    fn reports_every_change_once() {
        let mut reported = Reported::default();
        let mut update = |state: &RegistrationState| names(&reported.update(state));
        let begin = RegistrationState { status: Status::Up, pending: true, ..RegistrationState::default() };
        assert!(update(&begin).is_empty());
        assert_eq!(update(&registered()), ["Registered"]);
        assert!(update(&registered()).is_empty());
        let failed = RegistrationState { error: Some(Error::unreachable("down")), ..registered() };
        assert_eq!(update(&failed), ["Failed"]);
        assert!(update(&failed).is_empty());
        // A metadata change is registered again, which is not an event.
        assert_eq!(update(&RegistrationState { registered: false, pending: true, ..registered() }), ["Recovered"]);
        assert!(update(&registered()).is_empty());
        let down = RegistrationState { status: Status::Down, ..registered() };
        assert_eq!(update(&down), ["StatusChanged"]);
    }

    #[test]
    fn a_slow_reader_gets_the_loss_and_the_registration_that_followed() {
        let mut reported = Reported::default();
        reported.update(&registered());
        let again = RegistrationState { lost: 2, conflicts: 1, ..registered() };
        assert_eq!(names(&reported.update(&again)), ["Lost", "Conflict", "Registered"]);
    }

    #[test]
    fn reports_an_override_until_it_ends() {
        let mut reported = Reported::default();
        reported.update(&registered());
        let listed = |listed: Option<Status>, pending: bool| RegistrationState { listed, pending, ..registered() };
        assert!(reported.update(&listed(Some(Status::Up), false)).is_empty());
        let out = reported.update(&listed(Some(Status::OutOfService), false));
        assert!(matches!(out[..], [RegistrationEvent::Overridden(Some(Status::OutOfService))]), "{out:?}");
        assert!(reported.update(&listed(None, true)).is_empty(), "a pending change says nothing");
        assert!(reported.update(&listed(Some(Status::OutOfService), false)).is_empty());
        let ended = reported.update(&listed(Some(Status::Up), false));
        assert!(matches!(ended[..], [RegistrationEvent::Overridden(None)]), "{ended:?}");
    }

    #[test]
    fn the_end_says_whether_the_registry_still_lists_the_pod() {
        let end = |deregistered, error: Option<Error>| {
            let state = RegistrationState { ended: true, deregistered, error, ..RegistrationState::default() };
            let mut reported = Reported::default();
            let events = reported.update(&state);
            assert!(reported.update(&state).is_empty());
            events
        };
        let whole = RegistrationState { registered: false, lost: 1, ended: true, deregistered: true, ..registered() };
        assert_eq!(names(&Reported::default().update(&whole)), ["Lost", "Registered", "Deregistered"]);
        assert!(matches!(end(true, None)[..], [RegistrationEvent::Deregistered]));
        assert!(matches!(end(false, None)[..], [RegistrationEvent::Ended(None)]));
        let failed = end(false, Some(Error::unreachable("down")));
        assert!(matches!(failed[..], [RegistrationEvent::Ended(Some(_))]), "{failed:?}");
    }
}
