//! Eureka, against scripted servers on loopback: what is sent, and what each answer brings about.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod identity;
mod registration;
mod script;
mod source;
mod urls;

use std::time::Duration;

use discovery_core::{Environment, Resolver};
use discovery_reqwest::Client;

/// A client that finds addresses only.
fn client() -> Client {
    Client::new(Resolver::builder().environment(Environment::empty()).build().unwrap())
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Waits, no longer than a test may take.
async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(tests::PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not within {:?}", tests::PATIENCE),
    }
}

/// Asks again until the answer is yes.
async fn until<F: Future<Output = bool>>(what: &str, is: impl Fn() -> F) {
    let reached = async {
        while !is().await {
            tokio::time::sleep(ms(5)).await;
        }
    };
    within(what, reached).await;
}
