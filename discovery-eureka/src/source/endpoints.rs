//! Instances and a target to endpoints. Pure.

use std::net::SocketAddr;

use discovery_core::{
    endpoint::Endpoint,
    name::{Host, Port, Protocol, Target},
    source::State,
};

use crate::{Instance, InstancePort, model::Applications};

/// What is asked of the registry for a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) name: String,
    secure: bool,
    port: Which,
}

/// Which port of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    /// The one without TLS.
    Plain,
    /// The one with TLS.
    Secure,
    /// The first of both that is in use.
    Either,
    /// The one in the metadata under this key.
    Metadata(String),
}

impl Question {
    /// `None` where a target is none of an application: an address, a name with its final dot, another protocol.
    pub(super) fn of(target: &Target) -> Option<Self> {
        let Host::Name { name, absolute: false, .. } = target.host() else { return None };
        if target.protocol() != Protocol::Tcp {
            return None;
        }
        let port = match (target.port(), target.scheme().map(|scheme| scheme.as_str())) {
            (Port::Name(name), _) if name.as_str() == "http" => Which::Plain,
            (Port::Name(name), _) if name.as_str() == "https" => Which::Secure,
            (Port::Name(name), _) => Which::Metadata(format!("{}.port", name.as_str())),
            (_, Some("http" | "ws")) => Which::Plain,
            (_, Some("https" | "wss")) => Which::Secure,
            _ => Which::Either,
        };
        Some(Self { name: name.as_str().to_owned(), secure: port == Which::Secure, port })
    }

    /// The state of the target, and the same in words. `written` is the port in the target, for instances that have none.
    pub(super) fn answer(&self, all: &Applications, written: Option<u16>, zone: Option<&str>) -> (State, String) {
        let named = all.named(&self.name, self.secure);
        if named.is_empty() {
            return (State::NotFound, "neither a VIP nor an application".to_owned());
        }
        let up = Applications::up(&named);
        let endpoints: Vec<_> = up.iter().filter_map(|instance| self.endpoint(instance, written, zone)).collect();
        let told =
            format!("{} instances, {} up, {} with an address and the port", named.len(), up.len(), endpoints.len());
        match endpoints.is_empty() {
            true => (State::Empty, told),
            false => (State::Ready(endpoints), told),
        }
    }

    fn endpoint(&self, instance: &Instance, written: Option<u16>, zone: Option<&str>) -> Option<Endpoint> {
        let addr = SocketAddr::new(instance.ip()?, self.port(instance, written)?);
        let endpoint = Endpoint::new(addr).with_uid(instance.id.as_str());
        let endpoint = match instance.metadata.get("kubernetes.node") {
            Some(node) => endpoint.with_node(node.as_str()),
            None => endpoint,
        };
        let elsewhere = zone.is_some_and(|own| instance.zone() != Some(own));
        let endpoint = endpoint.with_priority(u16::from(elsewhere));
        Some(match instance.zone() {
            Some(zone) => endpoint.with_zone(zone),
            None => endpoint,
        })
    }

    fn port(&self, instance: &Instance, written: Option<u16>) -> Option<u16> {
        let (plain, secure) = (instance.port, instance.secure_port);
        // A record without the port says nothing against the one that was written.
        let or_written = |port: Option<InstancePort>| port.map_or(written, InstancePort::in_use);
        match &self.port {
            Which::Plain => or_written(plain),
            Which::Secure => or_written(secure),
            Which::Either => {
                let registered = plain.and_then(InstancePort::in_use).or(secure.and_then(InstancePort::in_use));
                registered.or(written.filter(|_| plain.is_none() && secure.is_none()))
            }
            Which::Metadata(key) => instance.metadata.get(key)?.trim().parse().ok().filter(|port| *port != 0),
        }
    }
}

#[cfg(test)]
mod tests;
