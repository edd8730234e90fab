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

fn asked(vars: &[(&str, &str)], target: &str) -> Update {
    let scope = Scope::new(Namespace::new("shop").ok(), ClusterDomain::new("cluster.local").ok());
    let plan = Plan::new(&Target::new(target).expect(target), &scope);
    let source = EnvSource::new(vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let mut lookup = source.open(&plan);
    let mut early = |_| panic!("there is nothing early");
    let mut answer = lookup.ask(&mut early);
    match answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(update) => update,
        Poll::Pending => panic!("variables are there at once"),
    }
}

/// The addresses, `silent`, or the error.
fn told(vars: &[(&str, &str)], target: &str) -> String {
    let update = asked(vars, target);
    assert_eq!(update.ttl, None);
    match update.state {
        State::Ready(endpoints) => {
            assert_eq!(endpoints.len(), 1);
            endpoints[0].addrs().map(|addr| addr.to_string()).collect::<Vec<_>>().join(" ")
        }
        State::NotApplicable => "silent".to_owned(),
        State::Failed(error) => {
            assert!(error.is_config(), "{error:?}");
            error.to_string()
        }
        other => panic!("{other:?}"),
    }
}
