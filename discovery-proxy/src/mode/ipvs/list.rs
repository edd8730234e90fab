//! The destinations of a virtual server, as the kernel links them.
//!
//! Source: linux net/netfilter/ipvs/ip_vs_ctl.c (`list_add_rcu`, `list_del_rcu`). A destination is added at the head.
//! Adding, finding and removing one takes the same time however many there are.

use std::net::SocketAddr;

use crate::mode::slots::{Id, Slots};

/// A destination as schedulers see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) weight: u32,
    /// The number of open connections.
    pub(super) active: u32,
    /// The number of closing connections.
    pub(super) inactive: u32,
}

impl Destination {
    pub(super) const fn has_connections(&self) -> bool {
        self.active > 0 || self.inactive > 0
    }
}

/// A doubly linked list.
#[derive(Debug, Default)]
pub(super) struct List {
    nodes: Slots<Node>,
    head: Option<Id>,
}

#[derive(Debug)]
struct Node {
    dest: Destination,
    before: Option<Id>,
    after: Option<Id>,
}

impl List {
    pub(super) fn find(&self, addr: SocketAddr) -> Option<Id> {
        self.nodes.find(addr)
    }

    pub(super) fn get(&self, id: Id) -> Option<(SocketAddr, &Destination)> {
        self.nodes.get(id).map(|(addr, node)| (*addr, &node.dest))
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut Destination> {
        self.nodes.get_mut(id).map(|node| &mut node.dest)
    }

    pub(super) fn before(&self, id: Id) -> Option<Id> {
        self.nodes.get(id)?.1.before
    }

    pub(super) fn after(&self, id: Id) -> Option<Id> {
        self.nodes.get(id)?.1.after
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// All destinations from the head on.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, &Destination)> {
        self.iter_from(self.head)
    }

    /// The destinations from this one on.
    pub(super) fn iter_from(&self, first: Option<Id>) -> impl Iterator<Item = (Id, &Destination)> {
        let ids = std::iter::successors(first, |id| self.after(*id));
        ids.filter_map(|id| self.get(id).map(|(_, dest)| (id, dest)))
    }

    pub(super) fn push_front(&mut self, addr: SocketAddr, dest: Destination) {
        let node = Node { dest, before: None, after: self.head };
        let Some(id) = self.nodes.insert(addr, node) else { return };
        if let Some(second) = self.head.and_then(|head| self.nodes.get_mut(head)) {
            second.before = Some(id);
        }
        self.head = Some(id);
    }

    pub(super) fn remove(&mut self, id: Id) -> Option<Destination> {
        let node = self.nodes.remove(id)?;
        match node.before.and_then(|before| self.nodes.get_mut(before)) {
            Some(before) => before.after = node.after,
            None => self.head = node.after,
        }
        if let Some(after) = node.after.and_then(|after| self.nodes.get_mut(after)) {
            after.before = node.before;
        }
        Some(node.dest)
    }
}
