//! The addresses of instances that are dialed by their host name.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::{Future as _, poll_fn},
    net::SocketAddr,
    pin::pin,
    task::Poll,
    time::Duration,
};

use discovery_core::{Resolver, Watch};
use tokio::time::{Instant, timeout, timeout_at};

/// A host name and the port of an instance there.
pub(super) type HostPort = (String, u16);

/// What is known about a host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resolved {
    /// It was not resolved yet, or the query failed.
    Unknown,
    /// It does not exist, has no address, or is not a valid name.
    Missing,
    At(Vec<SocketAddr>),
}

/// What is known about the host names of one target.
pub(super) type ResolvedNames = BTreeMap<HostPort, Resolved>;

/// Resolves the host names of one target, and keeps their addresses up to date.
#[derive(Debug)]
pub(super) struct HostNames {
    resolver: Resolver,
    names: BTreeMap<HostPort, Name>,
}

#[derive(Debug)]
struct Name {
    /// `None` for an invalid name.
    watch: Option<Watch>,
    /// Has been waited for: later rounds take what is known.
    awaited: bool,
}

impl HostNames {
    pub(super) fn new(resolver: Resolver) -> Self {
        Self { resolver, names: BTreeMap::new() }
    }

    /// Resolves these names and forgets all others. A new name is waited for until `deadline`.
    pub(super) async fn resolve(&mut self, wanted: BTreeSet<HostPort>, deadline: Instant) -> ResolvedNames {
        self.names.retain(|name, _| wanted.contains(name));
        for (host, port) in wanted {
            let resolver = &self.resolver;
            self.names.entry((host, port)).or_insert_with_key(|(host, port)| {
                // The port keeps a target from being looked up by SRV.
                let upstream = resolver.upstream(format!("{host}:{port}").as_str());
                Name { watch: upstream.ok().map(|upstream| upstream.watch()), awaited: false }
            });
        }
        let mut resolved = ResolvedNames::new();
        for (name, state) in &mut self.names {
            resolved.insert(name.clone(), state.resolve(name.1, deadline).await);
        }
        resolved
    }

    /// Waits for other addresses of any name.
    pub(super) async fn changed(&mut self) {
        poll_fn(|cx| {
            let watches = self.names.values_mut().filter_map(|name| name.watch.as_mut());
            // Every watch is polled, so that each one wakes this task.
            let changed = watches.filter_map(|watch| pin!(watch.next()).poll(cx).is_ready().then_some(())).count();
            if changed > 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Name {
    async fn resolve(&mut self, port: u16, deadline: Instant) -> Resolved {
        let Some(watch) = &mut self.watch else { return Resolved::Missing };
        let upstream = watch.upstream().clone();
        let deadline = if self.awaited { Instant::now() } else { deadline };
        self.awaited = true;
        let answer = timeout_at(deadline, upstream.first_answer()).await;
        // Marks the addresses as seen before they are read, so that no change is lost.
        let _ = timeout(Duration::ZERO, watch.next()).await;
        let endpoints = upstream.endpoints();
        let addrs = endpoints.iter().flat_map(|endpoint| endpoint.addrs());
        let known: Vec<_> = addrs.map(|addr| with_port(addr, port)).collect();
        match answer {
            _ if !known.is_empty() => Resolved::At(known),
            Ok(Err(error)) if error.is_not_found() || error.is_no_endpoints() || error.is_invalid_name() => {
                Resolved::Missing
            }
            _ => Resolved::Unknown,
        }
    }
}

fn with_port(mut addr: SocketAddr, port: u16) -> SocketAddr {
    if addr.port() == 0 {
        addr.set_port(port);
    }
    addr
}
