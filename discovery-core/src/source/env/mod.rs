//! The environment variables that the kubelet sets for every Service of the own namespace.

mod choose;
mod family;
mod links;
#[cfg(test)]
mod tests;
mod var;

use std::{collections::BTreeMap, net::Ipv6Addr, num::NonZeroU16};

use choose::{Choice, choose};
use family::ServiceVars;
use var::{Address, Family};

use super::{BoxFuture, Evidence, Lookup, Source, State, Update};
use crate::{
    Error,
    endpoint::Endpoint,
    name::{ServiceName, Target},
    plan::{NameKind, Plan},
};

/// The source `env`: the variables of the Services of the own namespace.
///
/// They are read once, cost no question, and come first: setting `ORDERS_SERVICE_HOST=127.0.0.1` on a laptop
/// is all that it takes to send `orders` there. For a Service `orders` the family is (upper case, `-` as `_`;
/// kubelet `pkg/kubelet/envvars`):
///
/// | variable | value |
/// |---|---|
/// | `ORDERS_SERVICE_HOST` | the address; `localhost` is understood too |
/// | `ORDERS_SERVICE_PORT` | the number of the first port |
/// | `ORDERS_SERVICE_PORT_<NAME>` | the number of the port of that name |
/// | `ORDERS_PORT` | `<protocol>://<host>:<port>`, the first port as a Docker link |
/// | `ORDERS_PORT_<n>_<PROTOCOL>` | the same for each port |
/// | `ORDERS_PORT_<n>_<PROTOCOL>_{PROTO,PORT,ADDR}` | its parts |
///
/// A variable that is set to nothing counts as not set. What is malformed, incomplete or contradictory is an
/// error, never an answer from elsewhere; `ORDERS_PORT` without `://` is an application's own variable and is
/// left alone.
///
/// # Which port
/// It answers for a plan that names a Service of the own namespace ([`Plan::env`]) whose variables are set,
/// and only for a port that they name:
///
/// * a number answers where some variable names it, for the target's protocol where the variables tell it;
/// * a name answers where `<SERVICE>_SERVICE_PORT_<NAME>` is set;
/// * a URL without a port is the port named like its scheme, else the scheme's own number where it is named,
///   else the only port there is;
/// * neither scheme nor port is the first port, else the only one.
///
/// Where the variables name a host and no port at all, a number that the target writes or its scheme implies
/// is taken as it is, and a target without one is an error: port 0 is never answered. In all other cases the
/// source has nothing to say and the next one is asked.
#[derive(Clone, Debug)]
pub(crate) struct EnvSource {
    vars: BTreeMap<String, String>,
}

impl EnvSource {
    /// A source of these variables. It does not read the process's environment: the caller hands it in.
    #[must_use]
    pub(crate) fn new(vars: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { vars: vars.into_iter().collect() }
    }

    fn update(&self, service: &ServiceName, target: &Target) -> Update {
        let mut family = Family::new(&self.vars, service);
        let state = match answer(&mut family, target) {
            Ok(Some(endpoint)) => State::Ready(vec![endpoint]),
            Ok(None) => State::NotApplicable,
            Err(error) => State::Failed(error),
        };
        Update::new(state).with_name_kind(NameKind::Service).with_evidence(family.into_evidence())
    }
}

impl Source for EnvSource {
    fn name(&self) -> &'static str {
        "env"
    }

    /// The kubelet writes no malformed variable: somebody else did, and has to hear of it.
    fn failure_is_final(&self) -> bool {
        true
    }

    fn open(&self, plan: &Plan) -> Box<dyn Lookup> {
        let silent = || {
            let evidence = Evidence::new("variables", "asked only for a Service of the own namespace");
            Update::new(State::NotApplicable).with_evidence([evidence])
        };
        let update = plan.env.as_ref().map_or_else(silent, |service| self.update(service, &plan.target));
        Box::new(EnvLookup { update })
    }
}

/// The environment of a process does not change: there is one answer.
#[derive(Debug)]
struct EnvLookup {
    update: Update,
}

impl Lookup for EnvLookup {
    fn ask<'a>(&'a mut self, _early: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(std::future::ready(self.update.clone()))
    }
}

/// `None` where the variables say nothing about such a target.
fn answer(family: &mut Family<'_>, target: &Target) -> Result<Option<Endpoint>, Error> {
    let vars = ServiceVars::read(family)?;
    let Some(host) = vars.host else {
        family.note(family.name("_SERVICE_HOST"), "not set");
        return Ok(None);
    };
    match choose(family, &vars, target)? {
        Choice::Port(port) => Ok(Some(endpoint(host, port))),
        Choice::NotApplicable(why) => {
            family.note(target.to_string(), why);
            Ok(None)
        }
    }
}

fn endpoint(host: Address, port: NonZeroU16) -> Endpoint {
    match host {
        Address::Ip(ip) => Endpoint::new((ip, port.get()).into()),
        Address::Localhost => {
            Endpoint::new(([127, 0, 0, 1], port.get()).into()).with_addr((Ipv6Addr::LOCALHOST, port.get()).into())
        }
    }
}
