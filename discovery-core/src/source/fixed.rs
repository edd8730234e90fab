//! The source `fixed`: targets that are addresses themselves.

use std::net::SocketAddr;

use crate::{
    endpoint::Endpoint,
    plan::Plan,
    source::{BoxFuture, Evidence, Lookup, Source, State, Update},
};

/// Answers for address literals and `localhost`; does not apply to other targets.
#[derive(Debug)]
pub(crate) struct FixedSource;

#[derive(Debug)]
struct FixedLookup(Update);

impl Source for FixedSource {
    fn name(&self) -> &'static str {
        "fixed"
    }

    fn open(&self, plan: &Plan) -> Box<dyn Lookup> {
        let port = plan.target.port().number().map_or(0, u16::from);
        let mut addrs = plan.fixed.iter().flatten().map(|ip| SocketAddr::new(*ip, port));
        let state = match addrs.next() {
            // `localhost` is one machine and so one endpoint, whichever of its addresses the server listens on.
            Some(first) => State::Ready(vec![addrs.fold(Endpoint::new(first), Endpoint::with_addr)]),
            None => State::NotApplicable,
        };
        let evidence = match &state {
            State::Ready(_) => vec![Evidence::new(plan.target.host().to_string(), "an address, no query needed")],
            _ => Vec::new(),
        };
        Box::new(FixedLookup(Update::new(state).with_evidence(evidence)))
    }
}

impl Lookup for FixedLookup {
    fn ask<'a>(&'a mut self, _: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        Box::pin(std::future::ready(self.0.clone()))
    }
}
