//! A naive second implementation of the rules: a log of all answers, searched from the beginning.

use super::*;

/// An event, with its duration where it has one.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// Nothing happens for this many milliseconds.
    Pass(u64),
    /// The due query is sent, and answered after this many milliseconds.
    Ask(u64, Answer),
    /// An answer arrives although no query was due.
    Push(Answer),
    Early(Vec<u8>),
    Unreachable(u8),
    Waiting(bool),
    Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Ready(Vec<u8>, Option<u64>),
    Negative,
    Failed,
}

impl Answer {
    pub(super) fn update(&self) -> Update {
        match self {
            Self::Ready(of, Some(ttl)) => ready(of).with_ttl(secs(*ttl)),
            Self::Ready(of, None) => Update::new(State::Ready(of.iter().map(|last| endpoint(*last)).collect())),
            Self::Negative => not_found(),
            Self::Failed => failed(),
        }
    }
}

/// All complete answers so far.
#[derive(Default)]
pub(super) struct Log(Vec<Entry>);

struct Entry {
    asked: Instant,
    arrived: Instant,
    answer: Answer,
}

impl Log {
    pub(super) fn push(&mut self, asked: Instant, arrived: Instant, answer: Answer) {
        self.0.push(Entry { asked, arrived, answer });
    }

    pub(super) fn last_failed(&self) -> bool {
        self.0.last().is_some_and(|entry| entry.answer == Answer::Failed)
    }

    /// Whether the last answer may empty the set. It is a failure long after every positive (or early) answer, or a
    /// negative answer to a query a second after another negative answer, with only failures in between.
    pub(super) fn may_empty(&self, settings: &RefreshSettings) -> bool {
        let Some((last, before)) = self.0.split_last() else { return false };
        match last.answer {
            Answer::Ready(..) => false,
            Answer::Failed => {
                let good = before.iter().rev().find(|entry| matches!(entry.answer, Answer::Ready(..)));
                good.is_none_or(|good| last.arrived - good.arrived > settings.max_stale())
            }
            Answer::Negative => before
                .iter()
                .rev()
                .take_while(|entry| !matches!(entry.answer, Answer::Ready(..)))
                .filter(|entry| entry.answer == Answer::Negative)
                .any(|first| last.asked.saturating_duration_since(first.arrived) >= settings.confirm_after()),
        }
    }

    /// Whether the last answer may remove one endpoint and keep others. It is positive and lacks the endpoint, and so
    /// do all positive answers since one that arrived at least the hold ago.
    pub(super) fn may_remove(&self, last: u8, settings: &RefreshSettings) -> bool {
        let Some(now) = self.0.last().filter(|entry| matches!(entry.answer, Answer::Ready(..))) else { return false };
        self.0
            .iter()
            .rev()
            .filter_map(|entry| match &entry.answer {
                Answer::Ready(of, _) => Some((entry, of)),
                Answer::Negative | Answer::Failed => None,
            })
            .take_while(|(_, of)| !of.contains(&last))
            .any(|(entry, _)| now.arrived - entry.arrived >= settings.removal_hold())
    }

    /// The endpoints of the last answer.
    pub(super) fn named(&self) -> &[u8] {
        match self.0.last().map(|entry| &entry.answer) {
            Some(Answer::Ready(of, _)) => of,
            _ => &[],
        }
    }
}
