//! Bounds a list that an API server sends page by page. Pure.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::failure::Failure;

/// The most bytes of one page: 250 slices of 1000 endpoints each take about 100 MB.
pub(super) const MAX_PAGE_BYTES: usize = 128 << 20;

/// The most bytes of a continue token. The API server's own takes a few hundred.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// The most pages of one list: 250 000 objects of one namespace.
const MAX_PAGES: usize = 1000;

/// The most bytes of all pages of one list.
const MAX_LIST_BYTES: usize = 512 << 20;

/// How long one list may take. etcd compacts after 5 min, and a token of an older list gets 410.
const MAX_LIST_TIME: Duration = Duration::from_secs(5 * 60);

/// How far a list has come.
#[derive(Debug)]
pub(super) struct Paging {
    started: Instant,
    bytes: usize,
    pages: usize,
    tokens: HashSet<String>,
}

impl Paging {
    pub(super) fn new(now: Instant) -> Self {
        Self { started: now, bytes: 0, pages: 0, tokens: HashSet::new() }
    }

    /// Notes a page of `bytes` bytes that ends with `token`, which is empty on the last page.
    ///
    /// # Errors
    /// [`Failure::Other`] with the name of the bound that the list exceeds, or if the API server sent the token before.
    pub(super) fn accept(&mut self, bytes: usize, token: &str, now: Instant) -> Result<(), Failure> {
        self.pages += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > MAX_LIST_BYTES {
            return Err(Failure::from_bound(&format!("the list is larger than {} MiB", MAX_LIST_BYTES >> 20)));
        }
        if token.is_empty() {
            return Ok(());
        }
        if token.len() > MAX_TOKEN_BYTES {
            let kilo = MAX_TOKEN_BYTES >> 10;
            return Err(Failure::from_bound(&format!("the continue token is larger than {kilo} KiB")));
        }
        if self.pages >= MAX_PAGES {
            return Err(Failure::from_bound(&format!("the list has more than {MAX_PAGES} pages")));
        }
        if now.saturating_duration_since(self.started) > MAX_LIST_TIME {
            return Err(Failure::from_bound(&format!("the list takes longer than {MAX_LIST_TIME:?}")));
        }
        if !self.tokens.insert(token.to_owned()) {
            return Err(Failure::from_bound("the API server sent the same continue token twice"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn outcome(pages: impl IntoIterator<Item = (usize, String)>, step: Duration) -> (usize, String) {
        let start = clock::now();
        let mut paging = Paging::new(start);
        for (index, (bytes, token)) in pages.into_iter().enumerate() {
            let now = start + step * u32::try_from(index).unwrap();
            if let Err(failure) = paging.accept(bytes, &token, now) {
                return (index + 1, failure.to_string());
            }
        }
        (0, "accepted".to_owned())
    }

    #[test]
    fn alternating_tokens_end_the_list() {
        let tokens = ["a", "b"].into_iter().cycle().map(|token| (100, token.to_owned()));
        let (pages, why) = outcome(tokens, Duration::ZERO);
        assert_eq!(pages, 3);
        assert!(why.contains("the same continue token twice"), "{why}");
    }

    #[test]
    fn ever_new_tokens_end_the_list() {
        let tokens = || (0..).map(|number: u32| number.to_string());
        for (bytes, step, wanted) in [
            (100, Duration::ZERO, (1000, "more than 1000 pages")),
            (100 << 20, Duration::ZERO, (6, "larger than 512 MiB")),
            (100, Duration::from_secs(29), (12, "longer than 300s")),
        ] {
            let (pages, why) = outcome(tokens().map(|token| (bytes, token)), step);
            assert_eq!(pages, wanted.0, "{why}");
            assert!(why.contains(wanted.1), "{why}");
        }
        assert_eq!(outcome([(100, "t".repeat(300 << 20))], Duration::ZERO).0, 1);
    }

    #[test]
    fn accepts_a_large_list() {
        let tokens = (1..1000).map(|number| (400_000, format!("{number:0>400}")));
        let last = std::iter::once((400_000, String::new()));
        assert_eq!(outcome(tokens.chain(last), Duration::from_millis(200)).0, 0);
    }
}
