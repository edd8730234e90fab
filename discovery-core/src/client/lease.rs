//! Which of several tasks drives a target.

#[cfg(not(all(test, discovery_loom)))]
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(all(test, discovery_loom))]
use loom::sync::atomic::{AtomicU64, Ordering};

/// The right to drive one target: at most one task has it. A holder that does not answer loses it, because Tokio drives
/// a task only while its runtime runs: a current-thread runtime that nothing blocks on keeps its tasks and polls none.
///
/// ```text
///            claim                    ask, no answer, seize
///   free ──────────▶ held by term n ───────────────────────▶ held by term n + 1
///    ▲                     │
///    └─────────────────────┘ release by term n; a release by an earlier term changes nothing
/// ```
#[derive(Debug, Default)]
pub(super) struct Lease {
    /// The term that holds the lease; 0 while it is free.
    holder: AtomicU64,
    /// The last term that was handed out. Terms are never reused.
    terms: AtomicU64,
    /// How many questions were asked, and the last one that the holder has answered.
    asked: AtomicU64,
    answered: AtomicU64,
}

/// One period of holding a [`Lease`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Term(u64);

/// A question to the holder of a [`Lease`]: is its task driven?
#[derive(Debug)]
pub(super) struct Question {
    holder: u64,
    number: u64,
}

impl Lease {
    /// Takes the lease if it is free.
    pub(super) fn claim(&self) -> Option<Term> {
        self.pass_on(0)
    }

    /// Returns whether `term` still holds the lease.
    pub(super) fn is_held_by(&self, term: Term) -> bool {
        self.holder.load(Ordering::Acquire) == term.0
    }

    /// Frees the lease, if `term` still holds it.
    pub(super) fn release(&self, term: Term) {
        let _ = self.holder.compare_exchange(term.0, 0, Ordering::AcqRel, Ordering::Acquire);
    }

    #[inline]
    pub(super) fn is_held(&self) -> bool {
        self.holder.load(Ordering::Relaxed) != 0
    }

    /// Asks the holder whether it is driven; `None` while the lease is free. The caller wakes the holder.
    pub(super) fn ask(&self) -> Option<Question> {
        match self.holder.load(Ordering::Acquire) {
            0 => None,
            holder => Some(Question { holder, number: self.asked.fetch_add(1, Ordering::AcqRel) + 1 }),
        }
    }

    /// Answers every question so far. The holder calls it whenever it is polled.
    pub(super) fn answer(&self, term: Term) {
        let asked = self.asked.load(Ordering::Acquire);
        if self.is_held_by(term) {
            self.answered.fetch_max(asked, Ordering::AcqRel);
        }
    }

    /// Takes the lease from a holder that has not answered `question`, or that has released it.
    pub(super) fn seize(&self, question: &Question) -> Option<Term> {
        let is_silent = self.answered.load(Ordering::Acquire) < question.number;
        is_silent.then(|| self.pass_on(question.holder)).flatten()
    }

    fn pass_on(&self, from: u64) -> Option<Term> {
        if self.holder.load(Ordering::Acquire) != from {
            return None;
        }
        let term = self.terms.fetch_add(1, Ordering::AcqRel) + 1;
        let passed = self.holder.compare_exchange(from, term, Ordering::AcqRel, Ordering::Acquire);
        passed.is_ok().then_some(Term(term))
    }
}

#[cfg(all(test, discovery_loom))]
mod models;

#[cfg(all(test, not(discovery_loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_term_at_a_time() {
        let lease = Lease::default();
        let first = lease.claim().unwrap();
        assert!(lease.is_held() && lease.claim().is_none());
        lease.release(first);
        let second = lease.claim().unwrap();
        assert_ne!(first, second);
        lease.release(first);
        assert!(lease.is_held_by(second), "an earlier term releases nothing");
    }

    #[test]
    fn only_a_silent_holder_loses_the_lease() {
        let lease = Lease::default();
        assert!(lease.ask().is_none());
        let first = lease.claim().unwrap();
        let (question, other) = (lease.ask().unwrap(), lease.ask().unwrap());
        lease.answer(first);
        assert!(lease.seize(&question).is_none());
        let question = lease.ask().unwrap();
        let second = lease.seize(&question).unwrap();
        assert!(!lease.is_held_by(first) && lease.is_held_by(second));
        lease.answer(first);
        assert!(lease.seize(&question).is_none(), "asked of a term that has ended");
        assert!(lease.seize(&other).is_none());
    }
}
