//! Tests with real Eureka servers and a Java client; see `README.md` beside this file.

// Only Linux routes all of 127.0.0.0/8 to loopback.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ecosystem;
mod harness;
mod life;
mod outages;
mod program;
mod spring;
