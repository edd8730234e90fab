//! The lookup of one target: from instances to endpoints.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use discovery_core::{
    Error,
    endpoint::Endpoint,
    name::{Host, Port, Protocol, Target},
    source::{BoxFuture, Evidence, Lookup, State, Update},
};

use super::feed::{Feed, FeedReader};
use crate::{Instance, InstancePort, Status, model::Applications};

/// How long the first query waits for the first fetch. After that, the resolver asks the sources that follow.
const FIRST_FETCH_TIMEOUT: Duration = Duration::from_secs(2);

/// The TTL of instances from before the latest fetch failed.
const STALE_TTL: Duration = Duration::from_secs(1);

/// Opens the lookup of a target. `vip` is the only VIP that is fetched.
pub(super) fn open(feed: &Arc<Feed>, target: &Target, vip: Option<&str>, zone: Option<String>) -> Box<dyn Lookup> {
    match Query::from_target(target, zone).filter(|query| vip.is_none_or(|vip| vip.eq_ignore_ascii_case(&query.name))) {
        Some(query) => Box::new(EurekaLookup { reader: feed.reader(), query, has_answered: false }),
        None => Box::new(NotApplicable),
    }
}

#[derive(Debug)]
struct EurekaLookup {
    reader: FeedReader,
    query: Query,
    /// Endpoints were returned, and no negative answer since.
    has_answered: bool,
}

impl EurekaLookup {
    async fn answer(&mut self) -> Update {
        let deadline = tokio::time::Instant::now() + FIRST_FETCH_TIMEOUT;
        loop {
            self.reader.refresh();
            if !self.reader.cache().is_awaited() {
                return self.read();
            }
            if tokio::time::timeout_at(deadline, self.reader.changed()).await.is_err() {
                let evidence = Evidence::new(&*self.query.name, "no response yet");
                let error = Error::transient(format!("the registry did not respond within {FIRST_FETCH_TIMEOUT:?}"));
                return Update::new(State::Failed(error)).with_evidence([evidence]);
            }
        }
    }

    fn read(&mut self) -> Update {
        let cache = self.reader.cache();
        let error = cache.error().cloned();
        let (state, summary) = match cache.applications() {
            Some(all) => self.query.answer(all),
            None => (State::NotFound, "not fetched yet".to_owned()),
        };
        let stale = match cache.stale_instances() {
            0 => String::new(),
            stale => format!("; {stale} instances are kept although the registry lost them"),
        };
        drop(cache);
        let failing = if error.is_some() { "; the latest fetch failed" } else { "" };
        let evidence = Evidence::new(&*self.query.name, format!("{summary}{stale}{failing}"));
        let update = match (state, error) {
            (state @ State::Ready(_), None) => {
                self.has_answered = true;
                Update::new(state)
            }
            // The first query gets the known instances. Later ones get the failure, so that the resolver keeps its
            // endpoints and marks them as stale.
            (state @ State::Ready(_), Some(_)) if !self.has_answered => {
                self.has_answered = true;
                Update::new(state).with_ttl(STALE_TTL)
            }
            (_, Some(error)) => Update::new(State::Failed(error.into())),
            (state, None) => {
                self.has_answered = false;
                Update::new(state)
            }
        };
        update.with_evidence([evidence])
    }
}

impl Lookup for EurekaLookup {
    fn ask<'a>(&'a mut self, _early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(self.answer())
    }

    fn changed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.reader.changed())
    }
}

/// The lookup of a target that is not looked up in a registry.
#[derive(Debug)]
struct NotApplicable;

impl Lookup for NotApplicable {
    fn ask<'a>(&'a mut self, _early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(std::future::ready(Update::new(State::NotApplicable)))
    }
}

/// What to look up for a target. Pure.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Query {
    name: String,
    port: PortChoice,
    /// The port in the target, for instances without a port.
    target_port: Option<u16>,
    /// The preferred zone.
    zone: Option<String>,
}

/// Which port of an instance is used.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PortChoice {
    /// The port without TLS.
    Plain,
    /// The port with TLS.
    Secure,
    /// The port without TLS if it is enabled, else the port with TLS.
    Either,
    /// The port in the metadata entry with this key.
    Metadata(String),
}

impl Query {
    /// Returns `None` for an address, a name with a trailing dot, and a protocol other than TCP.
    fn from_target(target: &Target, zone: Option<String>) -> Option<Self> {
        let Host::Name { name, absolute: false, .. } = target.host() else { return None };
        if target.protocol() != Protocol::Tcp {
            return None;
        }
        let port = match (target.port(), target.scheme().map(|scheme| scheme.as_str())) {
            (Port::Name(name), _) if name.as_str() == "http" => PortChoice::Plain,
            (Port::Name(name), _) if name.as_str() == "https" => PortChoice::Secure,
            (Port::Name(name), _) => PortChoice::Metadata(format!("{}.port", name.as_str())),
            (_, Some("http" | "ws")) => PortChoice::Plain,
            (_, Some("https" | "wss")) => PortChoice::Secure,
            _ => PortChoice::Either,
        };
        let target_port = target.port().number().map(u16::from);
        Some(Self { name: name.as_str().to_owned(), port, target_port, zone })
    }

    /// Returns the state of the target, and a summary for the explanation.
    fn answer(&self, all: &Applications) -> (State, String) {
        let named = all.named(&self.name, self.port == PortChoice::Secure);
        if named.is_empty() {
            return (State::NotFound, "neither a VIP nor an application".to_owned());
        }
        let up: Vec<_> = named.iter().filter(|instance| instance.status == Status::Up).collect();
        let endpoints: Vec<_> = up.iter().filter_map(|instance| self.endpoint(instance)).collect();
        let summary =
            format!("{} instances, {} up, {} with an address and the port", named.len(), up.len(), endpoints.len());
        match endpoints.is_empty() {
            true => (State::Empty, summary),
            false => (State::Ready(endpoints), summary),
        }
    }

    fn endpoint(&self, instance: &Instance) -> Option<Endpoint> {
        let addr = SocketAddr::new(instance.ip()?, self.port(instance)?);
        let in_other_zone = self.zone.as_deref().is_some_and(|own| instance.zone() != Some(own));
        let mut endpoint = Endpoint::new(addr).with_uid(instance.id.as_str()).with_priority(u16::from(in_other_zone));
        if let Some(node) = instance.metadata.get("kubernetes.node") {
            endpoint = endpoint.with_node(node.as_str());
        }
        if let Some(zone) = instance.zone() {
            endpoint = endpoint.with_zone(zone);
        }
        Some(endpoint)
    }

    fn port(&self, instance: &Instance) -> Option<u16> {
        let (plain, secure) = (instance.port, instance.secure_port);
        // The port in the target applies only to a record without a port.
        let or_target = |port: Option<InstancePort>| port.map_or(self.target_port, InstancePort::in_use);
        match &self.port {
            PortChoice::Plain => or_target(plain),
            PortChoice::Secure => or_target(secure),
            PortChoice::Either => {
                let registered = plain.and_then(InstancePort::in_use).or(secure.and_then(InstancePort::in_use));
                registered.or(self.target_port.filter(|_| plain.is_none() && secure.is_none()))
            }
            PortChoice::Metadata(key) => instance.metadata.get(key)?.trim().parse().ok().filter(|port| *port != 0),
        }
    }
}

#[cfg(test)]
mod tests;
