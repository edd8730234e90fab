//! What an application's own source may do.

use std::{sync::Arc, time::Duration};

use discovery_core::{
    Environment, Resolver,
    endpoint::Endpoint,
    plan::Plan,
    source::{BoxFuture, Lookup, Source, State, Update},
};
use discovery_testing::ManualSource;
use tests::within;

/// Reports a change until it is queried, and again at once.
#[derive(Debug)]
struct AlwaysChanged;

impl Source for AlwaysChanged {
    fn name(&self) -> &'static str {
        "always changed"
    }

    fn open(&self, _: &Plan) -> Box<dyn Lookup> {
        Box::new(Self)
    }
}

impl Lookup for AlwaysChanged {
    fn ask<'a>(&'a mut self, _: &'a mut (dyn FnMut(Update) + Send)) -> BoxFuture<'a, Update> {
        let endpoint = Endpoint::new(([10, 0, 0, 1], 80).into());
        Box::pin(std::future::ready(Update::new(State::Ready(vec![endpoint]))))
    }

    fn changed(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn a_source_that_always_reports_a_change_does_not_starve_the_runtime() {
    let builder = Resolver::builder().environment(Environment::empty()).source(Arc::new(AlwaysChanged));
    let orders = builder.build().unwrap().resolve("orders:80").await.unwrap();
    // On a runtime with one thread, a loop that never yields would keep this timer from firing.
    within("a timer", tokio::time::sleep(Duration::from_millis(10))).await;
    drop(orders);
}

#[tokio::test]
async fn an_answer_without_endpoints_is_an_empty_set() {
    let (source, handle) = ManualSource::new();
    handle.set_endpoints([]);
    let builder = Resolver::builder().environment(Environment::empty()).source(Arc::new(source));
    let error = within("an answer", builder.build().unwrap().resolve("orders:80")).await.unwrap_err();
    assert!(error.is_no_endpoints(), "{error}");
}
