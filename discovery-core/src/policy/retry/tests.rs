//! The rules of retries, as tables.

use super::{
    super::tests::epoch,
    AttemptFailure::{Final, Interrupted, Refused, RemovedSilent, TimedOut, Unsent},
    GiveUp::{Budget, MaxAttempts, NoOtherEndpoint, NotReplayable, NotRetryable},
    RetryDecision::{Another, GiveUp, Same},
    *,
};

fn endpoint(last: u8) -> Identity {
    crate::endpoint::Endpoint::new(([10, 0, 0, last], 80).into()).identity().clone()
}

/// One failed attempt, at endpoint 1, of a set of so many endpoints.
#[derive(Clone, Copy)]
struct Case {
    attempt: FailedAttempt,
    idempotent: bool,
    endpoints: u8,
    budget: bool,
}

const fn case(failure: AttemptFailure) -> Case {
    Case { attempt: FailedAttempt::new(failure), idempotent: false, endpoints: 3, budget: true }
}

impl Case {
    const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    const fn redirected(mut self) -> Self {
        self.attempt = self.attempt.redirected(true);
        self
    }

    const fn stream(mut self) -> Self {
        self.attempt = self.attempt.replayable(false);
        self
    }

    const fn of(mut self, endpoints: u8) -> Self {
        self.endpoints = endpoints;
        self
    }

    const fn broke(mut self) -> Self {
        self.budget = false;
        self
    }

    fn decide(self) -> RetryDecision {
        let mut attempts = Attempts::new(self.idempotent);
        attempts.begin();
        World::new(self.endpoints, self.budget).next(&mut attempts, 1, self.attempt)
    }
}

struct World {
    endpoints: u8,
    budget: RetryBudget,
}

impl World {
    fn new(endpoints: u8, has_budget: bool) -> Self {
        let budget = RetryBudget::new(epoch());
        if !has_budget {
            while budget.retry(epoch()) {}
        }
        Self { endpoints, budget }
    }

    fn next(&self, attempts: &mut Attempts, at: u8, attempt: FailedAttempt) -> RetryDecision {
        let has_untried = |tried: &Tried| (1..=self.endpoints).any(|last| !tried.contains(&endpoint(last)));
        let now = epoch();
        attempts.next(&endpoint(at), attempt, &RetryContext::new(&self.budget, &now, &has_untried))
    }
}

/// The rules, one line each. RFC 9110, 9.2.2 (idempotent methods); RFC 9113, 6.8 (GOAWAY) and 8.7 (REFUSED_STREAM).
#[test]
fn decides_by_what_the_endpoint_may_have_seen() {
    for (line, case, expected) in [
        ("no connection: any method", case(Unsent), Another),
        ("no connection, idempotent", case(Unsent).idempotent(), Another),
        ("no connection after a redirect", case(Unsent).idempotent().redirected(), GiveUp(NotRetryable)),
        ("refused: any method", case(Refused), Another),
        ("refused after a redirect", case(Refused).redirected(), GiveUp(NotRetryable)),
        ("refused after a redirect, idempotent", case(Refused).redirected().idempotent(), Another),
        ("broken connection: the endpoint may have seen it", case(Interrupted), GiveUp(NotRetryable)),
        ("broken connection, idempotent", case(Interrupted).idempotent(), Another),
        ("broken after a redirect", case(Interrupted).idempotent().redirected(), GiveUp(NotRetryable)),
        ("attempt timeout", case(TimedOut), GiveUp(NotRetryable)),
        ("attempt timeout, idempotent", case(TimedOut).idempotent(), Another),
        ("attempt timeout after a redirect", case(TimedOut).idempotent().redirected(), GiveUp(NotRetryable)),
        ("removed and silent: the endpoint may have seen it", case(RemovedSilent), GiveUp(NotRetryable)),
        ("removed and silent, idempotent", case(RemovedSilent).idempotent(), Another),
        ("removed and silent after a redirect", case(RemovedSilent).idempotent().redirected(), GiveUp(NotRetryable)),
        ("removed and silent, a stream", case(RemovedSilent).idempotent().stream(), GiveUp(NotReplayable)),
        ("removed and silent, no other endpoint", case(RemovedSilent).idempotent().of(1), GiveUp(NoOtherEndpoint)),
        ("removed and silent, budget exhausted", case(RemovedSilent).idempotent().broke(), GiveUp(Budget)),
        ("any other error", case(Final).idempotent(), GiveUp(NotRetryable)),
        ("a stream", case(Unsent).stream(), GiveUp(NotReplayable)),
        ("a stream that must not be repeated anyway", case(Interrupted).stream(), GiveUp(NotRetryable)),
        ("one endpoint", case(Unsent).of(1), GiveUp(NoOtherEndpoint)),
        ("one endpoint, refused", case(Refused).of(1), Same),
        ("one endpoint, attempt timeout", case(TimedOut).idempotent().of(1), GiveUp(NoOtherEndpoint)),
        ("budget exhausted", case(Unsent).broke(), GiveUp(Budget)),
        ("budget exhausted, attempt timeout", case(TimedOut).idempotent().broke(), GiveUp(Budget)),
        ("budget exhausted, the first refusal is free", case(Refused).broke(), Another),
        ("budget exhausted, the same endpoint is free as well", case(Refused).broke().of(1), Same),
        ("no other endpoint: the budget is not asked", case(Unsent).broke().of(1), GiveUp(NoOtherEndpoint)),
    ] {
        assert_eq!(case.decide(), expected, "{line}");
    }
}

#[test]
fn makes_three_attempts_at_most() {
    for failure in [Unsent, Refused, Interrupted, TimedOut, RemovedSilent] {
        let (world, mut attempts) = (World::new(9, true), Attempts::new(true));
        let mut decisions = Vec::new();
        for at in 1..=3 {
            attempts.begin();
            assert_eq!(attempts.is_last(), at == 3);
            decisions.push(world.next(&mut attempts, at, FailedAttempt::new(failure)));
        }
        assert_eq!(decisions, [Another, Another, GiveUp(MaxAttempts)], "{failure:?}");
        assert_eq!(attempts.tried().len(), 3);
    }
}

#[test]
fn returns_to_the_endpoint_that_refused_when_the_others_cannot_be_reached() {
    let (world, mut attempts) = (World::new(2, true), Attempts::new(false));
    attempts.begin();
    assert_eq!(world.next(&mut attempts, 1, FailedAttempt::new(Refused)), Another);
    attempts.begin();
    assert_eq!(world.next(&mut attempts, 2, FailedAttempt::new(Unsent)), Same);
    assert!(!attempts.tried().contains(&endpoint(1)) && attempts.tried().contains(&endpoint(2)));
}

#[test]
fn a_second_refusal_is_paid_from_the_budget() {
    let (world, mut attempts) = (World::new(3, false), Attempts::new(false));
    attempts.begin();
    assert_eq!(world.next(&mut attempts, 1, FailedAttempt::new(Refused)), Another);
    attempts.begin();
    assert_eq!(world.next(&mut attempts, 2, FailedAttempt::new(Refused)), GiveUp(Budget));
}

#[test]
fn falls_back_to_the_refusing_endpoint_once_when_no_other_can_be_picked() {
    let (world, mut attempts) = (World::new(2, true), Attempts::new(false));
    assert!(!attempts.fall_back_to_refused(), "no endpoint has refused it");
    attempts.begin();
    assert_eq!(world.next(&mut attempts, 1, FailedAttempt::new(Refused)), Another);
    // Endpoint 2 has left the set meanwhile.
    assert!(attempts.fall_back_to_refused());
    assert!(attempts.tried().is_empty());
    assert!(!attempts.fall_back_to_refused());
}

#[test]
fn only_idempotent_requests_with_attempts_left_may_time_out() {
    for (idempotent, expected) in [(true, [true, true, false]), (false, [false; 3])] {
        let mut attempts = Attempts::new(idempotent);
        let seen = [(); 3].map(|()| {
            attempts.begin();
            attempts.may_time_out()
        });
        assert_eq!(seen, expected);
    }
}

#[test]
fn counts_each_endpoint_once() {
    let (world, mut attempts) = (World::new(2, true), Attempts::new(false));
    attempts.begin();
    world.next(&mut attempts, 1, FailedAttempt::new(Refused));
    assert_eq!(attempts.endpoints_tried(), 1);
    attempts.begin();
    world.next(&mut attempts, 2, FailedAttempt::new(Unsent));
    assert_eq!(attempts.endpoints_tried(), 2);
    attempts.begin();
    attempts.record(&endpoint(1));
    assert_eq!(attempts.endpoints_tried(), 2, "the endpoint that refused it answered in the end");
}

/// RFC 9110, table 4.
#[test]
fn idempotent_methods_are_those_of_the_rfc() {
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
        assert!(is_idempotent_method(method), "{method}");
    }
    for method in ["POST", "PATCH", "CONNECT", "get", "PROPFIND", ""] {
        assert!(!is_idempotent_method(method), "{method}");
    }
}
