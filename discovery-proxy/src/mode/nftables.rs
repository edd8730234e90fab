//! nftables mode: one lookup, one draw.
//!
//! Source: k/k pkg/proxy/nftables/proxier.go. `numgen random mod n vmap { 0 : …, 1 : … }` over the endpoints in order
//! is one uniform draw, as in [iptables mode](super::iptables). What else sets it apart lies elsewhere: affinity ends
//! just before its time (`affinity.rs`), node ports are on the primary address only (`node_address.rs`), and cluster
//! IPs answer for ports and addresses that nobody serves (`snapshot.rs`).

use crate::affinity::Rule;

/// A set element is gone when its timeout is over; a set has no size that kube-proxy limits.
pub(super) const RULE: Rule = Rule { inclusive: false, limit: None };
