//! How `discovery_tower::Balance` spreads its calls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use discovery_core::policy::RoundRobin;
use discovery_testing::Behavior;
use discovery_tower::Balance;
use http::{Method, StatusCode};
use tokio::task::JoinSet;
use tower::Service;

use crate::support::balance::{BalanceWorld, ToPod, received, request, send, within};

#[tokio::test]
async fn clones_share_one_service_per_endpoint() {
    let world = BalanceWorld::new(4).await;
    let made = Arc::new(AtomicUsize::new(0));
    let (counted, log) = (made.clone(), world.log.clone());
    let balance = Balance::new(world.upstream.clone(), move |endpoint| {
        counted.fetch_add(1, Ordering::Relaxed);
        ToPod::new(endpoint, &log)
    });
    let mut tasks = JoinSet::new();
    for task in 0..32 {
        let mut balance = balance.clone();
        tasks.spawn(async move {
            for number in 0..10 {
                // Always ready, without a queue; only the trait asks for `&mut`.
                assert!(matches!(balance.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(()))));
                balance.call(request(Method::GET, 10 * task + number)).await.unwrap();
            }
        });
    }
    within("the tasks", tasks.join_all()).await;
    assert_eq!(made.load(Ordering::Relaxed), 4);
    let received = received(&world.service.pods());
    assert_eq!(received.iter().sum::<usize>(), 320);
    assert!(received.iter().all(|requests| *requests > 0), "{received:?}");
}

#[tokio::test]
async fn picks_for_each_call() {
    let world = BalanceWorld::with_policy(4, RoundRobin::new()).await;
    let mut balance = world.balance();
    for number in 0..12 {
        balance.call(request(Method::GET, number)).await.unwrap();
    }
    assert_eq!(received(&world.service.pods()), [3; 4], "over kept connections");
}

/// tower's P2C sends it 19.8 % (`docs/failure-modes.md`, peers' figures).
#[tokio::test]
async fn an_endpoint_that_fails_fast_gets_less_than_one_percent() {
    let world = BalanceWorld::new(10).await;
    for pod in &world.service.pods()[1..] {
        pod.set_behavior(Behavior::Slow(Duration::from_millis(5)));
    }
    let failing = world.pod(0);
    failing.set_behavior(Behavior::Failing(StatusCode::INTERNAL_SERVER_ERROR));
    let balance = world.balance();
    send(&balance, 0..500, 32).await;
    let before = failing.requests();
    let results = send(&balance, 500..4_500, 32).await;
    let got = failing.requests() - before;
    println!("1 of 10 answers 500 at once: {before} of the first 500 requests, then {got} of 4000");
    assert!(got < 40, "{got} of 4000");
    let errors = results.iter().flatten().filter(|response| response.status().is_server_error()).count();
    assert_eq!(errors, got, "a 500 is a response and is not retried");
}
