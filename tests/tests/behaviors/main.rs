//! The behavior that the documentation promises, against a real DNS server and real HTTP servers on loopback.
//!
//! A folder for each kind of promise. `F1` to `F19` and `T1` to `T8` are the failure modes and the traps of
//! `docs/failure-modes.md`; the doc line of a test names the one that it shows.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod balancing;
mod lifecycle;
mod names;
mod retries;
mod sources;
mod staleness;
mod support;
