//! Eureka, against scripted servers on loopback: the requests, and the effect of each answer.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod browse;
mod choice;
mod events;
mod identity;
mod registration;
mod script;
mod source;
mod spring;
mod urls;

use std::time::Duration;

use discovery_core::{Environment, Resolver};
use discovery_reqwest::Client;
use tests::within;

/// A client that resolves addresses only.
fn client() -> Client {
    Client::new(Resolver::builder().environment(Environment::empty()).build().unwrap())
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Polls until the answer is yes.
async fn until<F: Future<Output = bool>>(what: &str, is: impl Fn() -> F) {
    let reached = async {
        while !is().await {
            tokio::time::sleep(ms(5)).await;
        }
    };
    within(what, reached).await;
}
