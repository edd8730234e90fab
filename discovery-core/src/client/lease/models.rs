//! Every interleaving of the threads that hand a target over, explored by loom:
//! `RUSTFLAGS="--cfg discovery_loom" cargo test -p discovery-core --lib models`.
//!
//! [`Handover`] stands for the state of a target: the lease, the lock around what the background task publishes, and the
//! channel of changes. Its functions take the same steps in the same order as `TargetState`, `TaskClaim` and
//! `stand_by`.

use loom::{
    sync::{Arc, Condvar, Mutex},
    thread,
};

use super::{Lease, Question, Term};

#[derive(Default)]
struct Handover {
    lease: Lease,
    /// The terms that published, the latest last; the lock of `TargetState::refresh`.
    published: Mutex<Vec<Term>>,
    /// Counts changes, as the `watch` channel of `TargetState` does.
    changes: Mutex<u64>,
    changed: Condvar,
}

impl Handover {
    /// `TaskClaim::hold`, then `Held::publish`. Returns whether `term` could publish.
    fn publish(&self, term: Term) -> bool {
        self.lease.answer(term);
        let mut published = self.published.lock().unwrap();
        if !self.lease.is_held_by(term) {
            return false;
        }
        if published.last() != Some(&term) {
            assert!(!published.contains(&term), "{term:?} published after its successor: {published:?}");
            published.push(term);
        }
        true
    }

    /// Drops a `TaskClaim`.
    fn release(&self, term: Term) {
        self.lease.release(term);
        *self.changes.lock().unwrap() += 1;
        self.changed.notify_all();
    }

    fn count_changes(&self) -> u64 {
        *self.changes.lock().unwrap()
    }

    fn wait_for_change(&self, seen: u64) {
        let mut changes = self.changes.lock().unwrap();
        while *changes == seen {
            changes = self.changed.wait(changes).unwrap();
        }
    }

    /// `stand_by`, with a silence that lasts longer than the model: only a release ends the wait.
    fn stand_by(&self) -> Term {
        loop {
            let seen = self.count_changes();
            if let Some(term) = self.lease.claim() {
                return term;
            }
            if self.lease.ask().is_some() && self.lease.is_held() {
                self.wait_for_change(seen);
            }
        }
    }

    /// `TargetState::seize`.
    fn seize(&self, question: &Question) -> Option<Term> {
        let _published = self.published.lock().unwrap();
        self.lease.seize(question)
    }
}

/// A runtime shuts down while another one stands by: the standby takes over. A lost wake-up would be a deadlock, which
/// loom reports.
#[test]
fn a_standby_takes_over_when_the_background_task_is_dropped() {
    loom::model(|| {
        let handover = Arc::new(Handover::default());
        let first = handover.lease.claim().unwrap();
        let standby = thread::spawn({
            let handover = handover.clone();
            move || {
                let term = handover.stand_by();
                assert!(handover.publish(term));
            }
        });
        handover.publish(first);
        handover.release(first);
        standby.join().unwrap();
        assert!(handover.lease.is_held());
    });
}

/// Two standbys wait for one background task: one takes over, and the other one follows it.
#[test]
fn standbys_take_over_one_after_the_other() {
    loom::model(|| {
        let handover = Arc::new(Handover::default());
        let first = handover.lease.claim().unwrap();
        let standby = || {
            let handover = handover.clone();
            thread::spawn(move || {
                let term = handover.stand_by();
                assert!(handover.publish(term), "no task seizes the lease in this model");
                handover.release(term);
            })
        };
        let standbys = [standby(), standby()];
        handover.release(first);
        for standby in standbys {
            standby.join().unwrap();
        }
        assert!(!handover.lease.is_held());
    });
}

/// A background task that was not driven for a while is driven again at the moment when a standby replaces it: exactly
/// one of them goes on, and no task publishes after its successor.
#[test]
fn a_late_answer_and_a_takeover_leave_one_task() {
    loom::model(|| {
        let handover = Arc::new(Handover::default());
        let first = handover.lease.claim().unwrap();
        let question = handover.lease.ask().unwrap();
        let frozen = thread::spawn({
            let handover = handover.clone();
            move || handover.publish(first) && handover.publish(first)
        });
        let second = handover.seize(&question);
        let takes_over = second.is_some_and(|term| handover.publish(term));
        frozen.join().unwrap();
        assert_eq!(takes_over, second.is_some(), "a task that has taken over can publish");
        assert_eq!(handover.lease.is_held_by(first), second.is_none(), "exactly one task holds the target");
        assert_eq!(handover.publish(first), second.is_none());
    });
}

/// Two standbys find the same background task silent: one of them replaces it, not both.
#[test]
fn one_of_two_standbys_replaces_a_silent_task() {
    loom::model(|| {
        let handover = Arc::new(Handover::default());
        let first = handover.lease.claim().unwrap();
        let questions = [handover.lease.ask().unwrap(), handover.lease.ask().unwrap()];
        let [one, other] = questions.map(|question| {
            let handover = handover.clone();
            thread::spawn(move || handover.seize(&question))
        });
        let (one, other) = (one.join().unwrap(), other.join().unwrap());
        assert!(one.is_some() != other.is_some());
        assert!(!handover.lease.is_held_by(first));
        handover.release(first);
        assert!(handover.lease.is_held(), "the replaced task must not end its successor's term");
    });
}

/// The background task is dropped at the moment when a standby replaces it and a new use claims the target: one of the
/// two has it.
#[test]
fn a_use_a_takeover_and_a_release_leave_one_task() {
    loom::model(|| {
        let handover = Arc::new(Handover::default());
        let first = handover.lease.claim().unwrap();
        let question = handover.lease.ask().unwrap();
        let standby = thread::spawn({
            let handover = handover.clone();
            move || handover.seize(&question)
        });
        let dropped = thread::spawn({
            let handover = handover.clone();
            move || handover.release(first)
        });
        let used = handover.lease.claim();
        let seized = standby.join().unwrap();
        dropped.join().unwrap();
        assert!(used.is_none() || seized.is_none(), "two tasks drive one target");
        assert_eq!(handover.lease.is_held(), used.is_some() || seized.is_some());
    });
}
