//! The feeds that there are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak},
};

use super::{
    Connection, Lease, Timing,
    feed::{Feed, lock},
};
use crate::name::Namespace;

/// One feed for each namespace that somebody asks about.
#[derive(Debug)]
pub(in super::super) struct Registry {
    connection: Connection,
    timing: Timing,
    feeds: Mutex<BTreeMap<Namespace, Weak<Feed>>>,
}

impl Registry {
    pub(in super::super) fn new(connection: Connection, timing: Timing) -> Self {
        Self { connection, timing, feeds: Mutex::default() }
    }

    pub(in super::super) fn lease(&self, namespace: &Namespace) -> Lease {
        let mut feeds = lock(&self.feeds);
        if let Some(feed) = feeds.get(namespace).and_then(Weak::upgrade) {
            return Lease::new(feed);
        }
        feeds.retain(|_, feed| feed.strong_count() > 0);
        let feed = Arc::new(Feed::new(namespace.clone(), self.connection.clone(), self.timing));
        feeds.insert(namespace.clone(), Arc::downgrade(&feed));
        Lease::new(feed)
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed").field("namespace", self.namespace()).finish_non_exhaustive()
    }
}
