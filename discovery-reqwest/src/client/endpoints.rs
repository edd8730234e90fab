//! One `reqwest::Client` for each endpoint.

use std::net::SocketAddr;

use discovery_core::{
    EndpointMap, Resolver,
    endpoint::Endpoint,
    name::{Host, Target},
    policy::{RetryBudget, Tried},
};

use super::{builder::Settings, now};
use crate::Error;

/// The clients of one target's endpoints, and how many of its requests may be sent again.
pub(super) struct Pool {
    pub(super) clients: EndpointMap<Result<reqwest::Client, Built>>,
    pub(super) budget: RetryBudget,
}

impl Pool {
    /// Whether there may be an endpoint for another attempt: without one nothing is taken from the budget.
    pub(super) fn has_untried(&self, tried: &Tried) -> bool {
        self.clients.upstream().endpoints().iter().any(|endpoint| !tried.contains(endpoint.identity()))
    }
}

/// Why an endpoint's client could not be made. The same settings were tried when the client was built, so
/// that this takes a resource running out.
pub(super) type Built = std::sync::Arc<reqwest::Error>;

/// The pool of a target, whose clients use the system's proxies where `proxies` says so.
pub(super) fn pool(resolver: &Resolver, target: &Target, settings: &Settings, proxies: bool) -> Result<Pool, Error> {
    let host = match target.host() {
        Host::Name { name, .. } => Some(name.as_str().to_owned()),
        // Addresses and `localhost` are dialled as they stand in the URL.
        _ => None,
    };
    let meant = target.port().number().map(u16::from);
    let settings = settings.clone();
    let upstream = resolver.upstream(target)?;
    let clients = EndpointMap::new(upstream, move |endpoint: &Endpoint| {
        let builder = match &host {
            Some(host) => {
                // Port 0 is the scheme's own: a redirect from http to https on the same host has another one.
                let port = |addr: SocketAddr| if Some(addr.port()) == meant { 0 } else { addr.port() };
                let addrs: Vec<SocketAddr> = endpoint.addrs().map(|addr| (addr.ip(), port(addr)).into()).collect();
                // The host may stand in the URL with its final dot.
                settings.endpoint(proxies).resolve_to_addrs(host, &addrs).resolve_to_addrs(&format!("{host}."), &addrs)
            }
            None => settings.endpoint(proxies),
        };
        builder.build().map_err(Built::new)
    });
    Ok(Pool { clients, budget: RetryBudget::new(now()) })
}
