//! Variables in, addresses or errors out.

mod any;
mod kubelet;
mod malformed;
mod rules;

use std::task::{Context, Poll, Waker};

use super::*;
use crate::{
    name::{ClusterDomain, Namespace},
    plan::Scope,
};

/// Fails with what it is asked for.
#[derive(Debug)]
struct Hosts;

impl Source for Hosts {
    fn name(&self) -> &'static str {
        "hosts"
    }

    fn open(&self, plan: &Plan) -> Box<dyn Lookup> {
        let error = crate::Error::config(format!("asked for {}", plan.target));
        Box::new(EnvLookup { update: Update::new(State::Failed(error)) })
    }
}

fn lookup(vars: &[(&str, &str)], target: &str) -> Update {
    let scope = Scope::new(Namespace::new("shop").ok(), ClusterDomain::new("cluster.local").ok());
    let plan = Plan::new(&Target::new(target).expect(target), &scope);
    let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let source = EnvSource::new(vars, scope, Arc::new(Hosts));
    let mut opened = source.open(&plan);
    let mut early = |_| panic!("this source has no early answers");
    let mut answer = opened.ask(&mut early);
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(update) => update,
        Poll::Pending => panic!("the answer needs no I/O"),
    }
}

/// Returns the addresses, `not applicable`, or the error.
fn outcome(vars: &[(&str, &str)], target: &str) -> String {
    let update = lookup(vars, target);
    assert_eq!(update.ttl, None);
    match update.state {
        State::Ready(endpoints) => {
            assert_eq!(endpoints.len(), 1);
            endpoints[0].addrs().map(|addr| addr.to_string()).collect::<Vec<_>>().join(" ")
        }
        State::NotApplicable => "not applicable".to_owned(),
        State::Failed(error) => {
            assert!(error.is_config(), "{error:?}");
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}
