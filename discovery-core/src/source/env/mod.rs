//! The environment variables that the kubelet sets for every Service in the namespace of the pod.

mod address;
mod host;
mod reports;
mod service;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc};

use address::AddressLookup;
use host::HostLookup;
use service::{Place, VarReader};

use super::{AddressKind, BoxFuture, Evidence, Lookup, Source, State, Update};
use crate::{
    name::{ServiceName, Target},
    plan::{NameKind, Plan, Scope},
};

/// The source `env`: the variables of the Services in the pod's own namespace.
///
/// The variables are read once and come first; they need no query, unless they name a host. On a laptop, `ORDERS_SERVICE_HOST=127.0.0.1` is enough
/// to send the requests for `orders` to the laptop itself. For a Service `orders` the variables are (in upper case,
/// with `_` for `-`; see kubelet `pkg/kubelet/envvars`):
///
/// | variable | value |
/// |---|---|
/// | `ORDERS_SERVICE_HOST` | the address, `localhost`, or the name of a host, which is looked up in DNS as a target is |
/// | `ORDERS_SERVICE_PORT` | the number of the first port |
/// | `ORDERS_SERVICE_PORT_<NAME>` | the number of the port with that name |
/// | `ORDERS_PORT` | `<protocol>://<host>:<port>`, the first port as a Docker link |
/// | `ORDERS_PORT_<n>_<PROTOCOL>` | the same for each port |
/// | `ORDERS_PORT_<n>_<PROTOCOL>_{PROTO,PORT,ADDR}` | its parts |
///
/// An empty variable counts as not set. Malformed or contradictory variables are an error, and so is a host that has no
/// addresses; the resolver does not fall back to a later source.
///
/// Variables that only look like those of a Service belong to the application. They are skipped, and the evidence says
/// why: ports without an address, `ORDERS_PORT` without `://`, and other suffixes, such as `ORDERS_SERVICE_PORT_FILE`.
///
/// # An address that is unreachable
///
/// The kubelet writes the variables when it starts the pod, and they outlive the Service. If requests cannot connect to
/// the address, the variables give way to the next source at once, and are asked again after 30 s; after twice as long
/// if the address is still unreachable, up to an hour. While no later source has endpoints, the address stays in use.
///
/// The kubelet's variables are recognized by their whole family, with the Docker links. An operator's override stays in
/// use, and a warning and the evidence name the variable.
///
/// # Which port
///
/// The source answers for a plan that names a Service in the pod's own namespace ([`Plan::env`]) whose variables are
/// set, and only for a port that they name:
///
/// * A port number must be named by a variable, for the target's protocol if the variables state one.
/// * A port name needs `<SERVICE>_SERVICE_PORT_<NAME>`.
/// * A URL without a port means the port named like its scheme; else the scheme's default port, if a variable names it;
///   else the only port.
/// * A target without scheme and port means the first port, else the only one.
///
/// If the variables set a host and no port at all, the port of the target or of its scheme is used as it is. A target
/// without a port is then an error: the source never answers with port 0. In all other cases the source does not apply,
/// and the resolver asks the next one.
#[derive(Clone, Debug)]
pub(crate) struct EnvSource {
    vars: BTreeMap<String, String>,
    scope: Scope,
    /// Where a host in `<SERVICE>_SERVICE_HOST` is looked up.
    hosts: Arc<dyn Source>,
}

impl EnvSource {
    /// Returns a source of these variables, which looks up the hosts that they name in `hosts`. It does not read the
    /// environment of the process: the caller passes it in.
    #[must_use]
    pub(crate) fn new(vars: impl IntoIterator<Item = (String, String)>, scope: Scope, hosts: Arc<dyn Source>) -> Self {
        Self { vars: vars.into_iter().collect(), scope, hosts }
    }

    fn lookup(&self, service: &ServiceName, target: &Target) -> Box<dyn Lookup> {
        let mut reader = VarReader::new(&self.vars, service);
        let state = match reader.place(target) {
            Ok(Some(Place::Host { target, variable })) => {
                let lookup = self.hosts.open(&Plan::new(&target, &self.scope));
                return Box::new(HostLookup::new(lookup, variable, reader.into_evidence()));
            }
            Ok(Some(Place::Endpoint { endpoint, author, variable })) => {
                let ready = of_service(State::Ready(vec![endpoint]), reader).with_address_kind(AddressKind::Virtual);
                return Box::new(AddressLookup::new(ready, author, variable));
            }
            Ok(None) => State::NotApplicable,
            Err(error) => State::Failed(error),
        };
        Box::new(EnvLookup { update: of_service(state, reader) })
    }
}

fn of_service(state: State, reader: VarReader<'_>) -> Update {
    Update::new(state).with_name_kind(NameKind::Service).with_evidence(reader.into_evidence())
}

impl Source for EnvSource {
    fn name(&self) -> &'static str {
        "env"
    }

    /// The kubelet never writes a malformed variable. An operator did, and needs to see the error.
    fn failure_is_final(&self) -> bool {
        true
    }

    /// True: only a host that an operator named has no endpoints. The requests must not go to the real Service.
    fn empty_is_final(&self) -> bool {
        true
    }

    fn open(&self, plan: &Plan) -> Box<dyn Lookup> {
        let Some(service) = &plan.env else {
            let evidence = Evidence::new("variables", "not read: only for a Service in the pod's own namespace");
            return Box::new(EnvLookup { update: Update::new(State::NotApplicable).with_evidence([evidence]) });
        };
        self.lookup(service, &plan.target)
    }
}

/// The answer of variables without an address. The environment of a process does not change, so it never changes.
#[derive(Debug)]
struct EnvLookup {
    update: Update,
}

impl Lookup for EnvLookup {
    fn ask<'a>(&'a mut self, _early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(std::future::ready(self.update.clone()))
    }
}
