//! The clients that a mode remembers.
//!
//! Entries that have expired are removed two at a time, as new clients come, so that neither a connection nor a sync
//! waits for all of them.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::table::BuildMixer;

/// What is remembered of each client.
#[derive(Debug)]
pub(super) struct Clients<E> {
    entries: HashMap<IpAddr, E, BuildMixer>,
    /// Every client once, and when its entry was added or last inspected.
    queue: VecDeque<(Instant, IpAddr)>,
}

impl<E> Default for Clients<E> {
    fn default() -> Self {
        Self { entries: HashMap::default(), queue: VecDeque::new() }
    }
}

impl<E> Clients<E> {
    pub(super) fn get(&self, client: IpAddr) -> Option<&E> {
        self.entries.get(&client)
    }

    pub(super) fn get_mut(&mut self, client: IpAddr) -> Option<&mut E> {
        self.entries.get_mut(&client)
    }

    /// Sets the entry of a client. For a new client, inspects two entries that were added, or last inspected, longer
    /// ago than `timeout`, and removes them unless they are alive.
    pub(super) fn insert(
        &mut self,
        client: IpAddr,
        entry: E,
        now: Instant,
        timeout: Duration,
        mut is_alive: impl FnMut(IpAddr, &mut E) -> bool,
    ) {
        if self.entries.insert(client, entry).is_some() {
            return;
        }
        self.queue.push_back((now, client));
        for _ in 0..2 {
            let is_due = |(seen, _): &(Instant, IpAddr)| now.saturating_duration_since(*seen) > timeout;
            let Some((_, other)) = self.queue.front().copied().filter(is_due) else { return };
            self.queue.pop_front();
            if self.entries.get_mut(&other).is_some_and(|entry| is_alive(other, entry)) {
                self.queue.push_back((now, other));
            } else {
                self.entries.remove(&other);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::world::epoch;

    #[test]
    fn expired_entries_leave_as_new_clients_come() {
        let (start, timeout) = (epoch(), Duration::from_secs(10));
        let mut clients = Clients::default();
        let client = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..100 {
            clients.insert(client(n), n, start, timeout, |_, _| true);
        }
        let later = start + Duration::from_secs(11);
        for n in 100..150 {
            clients.insert(client(n), n, later, timeout, |_, n| *n == 7);
        }
        assert_eq!((clients.len(), clients.get(client(7)), clients.get(client(8))), (51, Some(&7), None));
    }
}
