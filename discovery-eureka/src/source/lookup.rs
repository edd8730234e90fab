//! The lookup of one target: from instances to endpoints.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use discovery_core::{
    Error, Resolver,
    endpoint::Endpoint,
    name::{Host, Port, Protocol, Target},
    source::{AddressScope, BoxFuture, Evidence, Lookup, State, Update},
    text::printable,
};

use super::{
    feed::{Feed, FeedReader},
    host_names::{HostNames, HostPort, Resolved, ResolvedNames},
    names::AcceptedNames,
};
use crate::{
    Instance, InstancePort, Status,
    model::{Applications, InstanceFilter, Named, can_lead_to_instance},
};

/// How long the first query waits for the first fetch. After that, the resolver asks the sources that follow.
const FIRST_FETCH_TIMEOUT: Duration = Duration::from_secs(2);

/// The TTL of instances from before the latest fetch failed.
const STALE_TTL: Duration = Duration::from_secs(1);

/// How soon the source is asked again while a host name is not resolved.
const UNRESOLVED_TTL: Duration = Duration::from_secs(5);

/// How many applications a conflict names, and how many characters of each name.
const MAX_NAMED: usize = 5;
const MAX_NAME: usize = 80;

/// The settings of each lookup. The builder fills them.
#[derive(Clone, Debug)]
pub(super) struct LookupSettings {
    /// The names that the registry may answer.
    pub(super) names: AcceptedNames,
    pub(super) zone: Option<String>,
    pub(super) prefer_ip_address: bool,
    /// The instances that become endpoints.
    pub(super) filter: InstanceFilter,
    /// Resolves host names.
    pub(super) resolver: Resolver,
}

/// Opens the lookup of a target.
pub(super) fn open(feed: &Arc<Feed>, target: &Target, settings: &LookupSettings) -> Box<dyn Lookup> {
    match Query::from_target(target, settings).filter(|query| settings.names.accept(&query.name)) {
        Some(query) => {
            let names = HostNames::new(settings.resolver.clone());
            Box::new(EurekaLookup { reader: feed.reader(), names, query, has_answered: false })
        }
        None => Box::new(NotApplicable),
    }
}

#[derive(Debug)]
struct EurekaLookup {
    reader: FeedReader,
    /// The instances that are dialed by their host name.
    names: HostNames,
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
                let wanted = self.reader.cache().applications().map(|all| self.query.host_names(all));
                let resolved = self.names.resolve(wanted.unwrap_or_default(), deadline).await;
                return self.read(&resolved);
            }
            if tokio::time::timeout_at(deadline, self.reader.changed()).await.is_err() {
                let evidence = Evidence::new(&*self.query.name, "no response yet");
                let error = Error::transient(format!("the registry did not respond within {FIRST_FETCH_TIMEOUT:?}"));
                return Update::new(State::Failed(error)).with_evidence([evidence]);
            }
        }
    }

    fn read(&mut self, resolved: &ResolvedNames) -> Update {
        let cache = self.reader.cache();
        let error = cache.error().cloned();
        let (state, summary) = match cache.applications() {
            Some(all) => self.query.answer(all, resolved),
            None => (State::NotFound, "not fetched yet".to_owned()),
        };
        let conflict = cache.applications().and_then(|all| self.query.conflict(all));
        let stale = match cache.stale_instances() {
            0 => String::new(),
            stale => format!("; {stale} instances are kept although the registry lost them"),
        };
        drop(cache);
        if let Some(conflict) = conflict {
            self.reader.warn_of_conflict(&self.query.name, conflict);
        }
        let was_failing = error.is_some();
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
        let update = update.with_evidence([evidence]).with_address_scope(AddressScope::REMOTE);
        let is_unresolved = resolved.values().any(|resolved| !matches!(resolved, Resolved::At(_)));
        if is_unresolved && !was_failing { update.with_ttl(UNRESOLVED_TTL) } else { update }
    }
}

impl Lookup for EurekaLookup {
    fn ask<'a>(&'a mut self, _early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(self.answer())
    }

    fn changed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            tokio::select! {
                () = self.reader.changed() => {}
                () = self.names.changed() => {}
            }
        })
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
#[derive(Clone, Debug)]
struct Query {
    name: String,
    port: PortChoice,
    /// The port in the target, for instances without a port.
    target_port: Option<u16>,
    /// The preferred zone.
    zone: Option<String>,
    prefer_ip_address: bool,
    /// A VIP may belong to several applications.
    shared: bool,
    filter: InstanceFilter,
}

/// How to connect to an instance.
#[derive(Debug, PartialEq, Eq)]
enum Dial {
    Addr(SocketAddr),
    /// By a host name; `fallback` is used if the name does not exist.
    Name {
        name: HostPort,
        fallback: Option<SocketAddr>,
    },
}

/// Which port of an instance is used.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PortChoice {
    /// The port without TLS.
    Plain,
    /// The port without TLS if it is enabled, else the port with TLS, which Spring finds for `http://` too.
    Http,
    /// The port with TLS.
    Secure,
    /// The port without TLS if it is enabled, else the port with TLS.
    Either,
    /// The port in the metadata entry with this key.
    Metadata(String),
}

impl Query {
    /// Returns `None` for an address, a name with a trailing dot, and a protocol other than TCP.
    fn from_target(target: &Target, settings: &LookupSettings) -> Option<Self> {
        let Host::Name { name, absolute: false, .. } = target.host() else { return None };
        if target.protocol() != Protocol::Tcp {
            return None;
        }
        let port = match (target.port(), target.scheme().map(|scheme| scheme.as_str())) {
            (Port::Name(name), _) if name.as_str() == "http" => PortChoice::Plain,
            (Port::Name(name), _) if name.as_str() == "https" => PortChoice::Secure,
            (Port::Name(name), _) => PortChoice::Metadata(format!("{}.port", name.as_str())),
            (_, Some("http" | "ws")) => PortChoice::Http,
            (_, Some("https" | "wss")) => PortChoice::Secure,
            _ => PortChoice::Either,
        };
        let target_port = target.port().number().map(u16::from);
        Some(Self {
            name: name.as_str().to_owned(),
            port,
            target_port,
            zone: settings.zone.clone(),
            prefer_ip_address: settings.prefer_ip_address,
            shared: settings.names.are_chosen(),
            filter: settings.filter.clone(),
        })
    }

    fn named<'a>(&self, all: &'a Applications) -> Named<'a> {
        all.named(&self.name, self.port == PortChoice::Secure, self.shared)
    }

    /// Returns which applications claim the name, if there are several.
    fn conflict(&self, all: &Applications) -> Option<String> {
        let named = self.named(all);
        let [_, _, ..] = &named.applications[..] else { return None };
        let shown = named.applications.iter().take(MAX_NAMED).map(|app| format!("`{}`", printable(app, MAX_NAME)));
        let mut shown = shown.collect::<Vec<_>>().join(", ");
        if named.applications.len() > MAX_NAMED {
            shown.push_str(&format!(" and {} more", named.applications.len() - MAX_NAMED));
        }
        let winner = match named.owner {
            Some(owner) => format!("`{}` wins, which has that name", printable(owner, MAX_NAME)),
            None if self.shared => "all of them are used".to_owned(),
            None => "none of them has that name, so none is used".to_owned(),
        };
        Some(format!("the applications {shown} claim the name; {winner}"))
    }

    /// Returns the instances that are UP and meet the conditions of the source.
    fn chosen<'a>(&self, named: Vec<&'a Instance>) -> Vec<&'a Instance> {
        let is_chosen = |instance: &&Instance| instance.status == Status::Up && self.filter.accepts(instance);
        named.into_iter().filter(is_chosen).collect()
    }

    /// Returns the host names that have to be resolved.
    fn host_names(&self, all: &Applications) -> BTreeSet<HostPort> {
        let up = self.chosen(self.named(all).instances).into_iter();
        let dialed = up.filter_map(|instance| self.dial(instance));
        dialed.filter_map(|dial| if let Dial::Name { name, .. } = dial { Some(name) } else { None }).collect()
    }

    /// Returns the state of the target, and a summary for the explanation.
    fn answer(&self, all: &Applications, resolved: &ResolvedNames) -> (State, String) {
        let conflict = self.conflict(all);
        let named = self.named(all).instances;
        if named.is_empty() {
            // A registrant that claims a name must not end its traffic: the known endpoints stay.
            return match conflict {
                Some(conflict) => (State::Failed(Error::transient(conflict.clone())), conflict),
                None => (State::NotFound, "neither a VIP nor an application".to_owned()),
            };
        }
        let (all, up) = (named.len(), named.iter().filter(|instance| instance.status == Status::Up).count());
        let chosen = self.chosen(named);
        let endpoints: Vec<_> = chosen.iter().filter_map(|instance| self.endpoint(instance, resolved)).collect();
        let mut summary = format!("{all} instances, {up} up, {} with an address and the port", endpoints.len());
        if !self.filter.is_empty() {
            summary.push_str(&format!(", of {} that meet the conditions of the source", chosen.len()));
        }
        if let Some(conflict) = conflict {
            summary.push_str(&format!("; {conflict}"));
        }
        let unresolved = resolved.iter().filter(|(_, resolved)| !matches!(resolved, Resolved::At(_)));
        if let Some(((host, _), _)) = unresolved.clone().next() {
            let host = printable(host, MAX_NAME);
            summary.push_str(&format!("; {} host names have no address, such as `{host}`", unresolved.count()));
        }
        let is_unknown = resolved.values().any(|resolved| *resolved == Resolved::Unknown);
        match endpoints.is_empty() {
            // Instances are up, so the set is not empty: their names may resolve later.
            true if is_unknown => (State::Failed(Error::transient(summary.clone())), summary),
            true => (State::Empty, summary),
            false => (State::Ready(endpoints), summary),
        }
    }

    /// Returns how to connect to an instance; `None` without an address or without the port.
    fn dial(&self, instance: &Instance) -> Option<Dial> {
        let port = self.port(instance)?;
        let addr = |ip| SocketAddr::new(ip, port);
        let by_ip = instance.usable_ip().map(addr);
        if let Some(addr) = by_ip.filter(|_| self.prefer_ip_address) {
            return Some(Dial::Addr(addr));
        }
        match instance.host() {
            Some(host) => match host.parse::<IpAddr>() {
                Ok(ip) => Some(ip.to_canonical()).filter(can_lead_to_instance).map(addr).or(by_ip).map(Dial::Addr),
                Err(_) => Some(Dial::Name { name: (host.to_lowercase(), port), fallback: by_ip }),
            },
            None => by_ip.map(Dial::Addr),
        }
    }

    fn addrs(&self, instance: &Instance, resolved: &ResolvedNames) -> Vec<SocketAddr> {
        match self.dial(instance) {
            Some(Dial::Addr(addr)) => vec![addr],
            Some(Dial::Name { name, fallback }) => match resolved.get(&name) {
                Some(Resolved::At(addrs)) => addrs.clone(),
                Some(Resolved::Missing) => fallback.into_iter().collect(),
                Some(Resolved::Unknown) | None => Vec::new(),
            },
            None => Vec::new(),
        }
    }

    fn endpoint(&self, instance: &Instance, resolved: &ResolvedNames) -> Option<Endpoint> {
        let mut addrs = self.addrs(instance, resolved).into_iter();
        let addr = addrs.next()?;
        let in_other_zone = self.zone.as_deref().is_some_and(|own| instance.zone() != Some(own));
        let mut endpoint = Endpoint::new(addr).with_uid(instance.id.as_str()).with_priority(u16::from(in_other_zone));
        endpoint = addrs.fold(endpoint, Endpoint::with_addr);
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
        // The port in the target applies only to a record without a port. Port 0 says that nothing listens yet.
        let target_port = self.target_port.filter(|_| !instance.has_port_0);
        let or_target = |port: Option<InstancePort>| port.map_or(target_port, InstancePort::in_use);
        match &self.port {
            PortChoice::Plain => or_target(plain),
            PortChoice::Http => match plain.and_then(InstancePort::in_use) {
                Some(port) => Some(port),
                None => secure.and_then(InstancePort::in_use).or_else(|| or_target(plain)),
            },
            PortChoice::Secure => or_target(secure),
            PortChoice::Either => {
                let registered = plain.and_then(InstancePort::in_use).or(secure.and_then(InstancePort::in_use));
                registered.or(target_port.filter(|_| plain.is_none() && secure.is_none()))
            }
            PortChoice::Metadata(key) => instance.metadata.get(key)?.trim().parse().ok().filter(|port| *port != 0),
        }
    }
}

#[cfg(test)]
mod tests;
