//! What must hold with real Eureka servers and a Java client; see `README.md` beside this file.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ecosystem;
mod harness;
mod life;
mod outages;
