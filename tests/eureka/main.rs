//! What must hold with real Eureka servers and a Java client; see `README.md` beside this file.

// All of 127.0.0.0/8 is loopback on Linux only.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ecosystem;
mod harness;
mod life;
mod outages;
mod program;
