//! Reading what a test compares: addresses, queries, errors.

use std::{error::Error as StdError, fmt::Debug, fmt::Write as _, net::SocketAddr};

use discovery_core::{
    Error, Resolver,
    endpoint::{Endpoint, EndpointSet},
};
use discovery_testing::{QType, ReceivedQuery};

use crate::within;

/// The addresses of the set with their ports, sorted, as texts.
#[must_use]
pub fn addrs(set: &EndpointSet) -> Vec<String> {
    let mut addrs: Vec<SocketAddr> = set.iter().flat_map(Endpoint::addrs).collect();
    addrs.sort();
    addrs.iter().map(ToString::to_string).collect()
}

/// The addresses of the set without their ports, sorted, as texts.
#[must_use]
pub fn ips(set: &EndpointSet) -> Vec<String> {
    let mut ips: Vec<_> = set.iter().flat_map(Endpoint::addrs).map(|addr| addr.ip()).collect();
    ips.sort();
    ips.iter().map(ToString::to_string).collect()
}

/// Matches the queries for one name, given without its final dot, and one type.
pub fn question(name: &str, qtype: QType) -> impl Fn(&ReceivedQuery) -> bool + use<> {
    let name = format!("{}.", name.to_ascii_lowercase());
    move |asked| asked.name == name && asked.qtype == qtype
}

/// Resolves a target that must fail, and returns the error.
///
/// # Panics
/// When the target has endpoints, or when there is no answer within [`PATIENCE`](crate::PATIENCE).
pub async fn refusal(resolver: &Resolver, target: &str) -> Error {
    match within(target, resolver.resolve(target)).await {
        Ok(upstream) => panic!("{target} has endpoints: {}", upstream.explain()),
        Err(error) => error,
    }
}

/// The `Display` and `Debug` texts of an error and of all its sources: everything that a log could show of it.
#[must_use]
pub fn error_texts(error: &(dyn StdError + 'static)) -> String {
    let mut texts = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        // A string takes everything that is written to it.
        let _ = writeln!(texts, "{error}\n{error:?}");
        next = error.source();
    }
    texts
}

/// Prints a measured value for readers of `--nocapture`.
pub fn figure(what: &str, value: impl Debug) {
    println!("figure: {what}: {value:?}");
}
