//! What was asked.

use super::FakeDns;
use crate::{
    name::normalize,
    question::{Asked, QType},
};

/// What was asked. A question is recorded before it is answered.
impl FakeDns {
    /// Every question since the start or the last [`forget`](Self::forget), in the order of arrival.
    #[must_use]
    pub fn questions(&self) -> Vec<Asked> {
        self.shared.lock().journal.clone()
    }

    /// How often this was asked, over any transport, answered or not.
    #[must_use]
    pub fn count(&self, name: &str, qtype: QType) -> usize {
        let name = normalize(name);
        self.count_of(|asked| asked.name == name && asked.qtype == qtype)
    }

    /// How many questions there were.
    #[must_use]
    pub fn total(&self) -> usize {
        self.shared.lock().journal.len()
    }

    /// Clears the record of questions.
    pub fn forget(&self) {
        self.shared.lock().journal.clear();
    }

    /// Resolves when at least `n` of the recorded questions match. Cancel-safe.
    ///
    /// Never resolves if they do not come: put a time limit around it.
    pub async fn asked(&self, matches: impl Fn(&Asked) -> bool, n: usize) {
        let mut news = self.shared.news();
        while self.count_of(&matches) < n {
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    fn count_of(&self, matches: impl Fn(&Asked) -> bool) -> usize {
        let state = self.shared.lock();
        state.journal.iter().filter(|asked| matches(asked)).count()
    }
}
