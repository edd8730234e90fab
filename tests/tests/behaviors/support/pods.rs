//! Pods that die during requests.

use discovery_testing::{Behavior, FakePod};
use futures_util::future::select_all;
use tests::within_load as within;

/// Kills a pod during requests. The pod hangs first, so that at least two are known to be under way.
pub(crate) async fn kill_during_requests(pod: &FakePod) {
    pod.set_behavior(Behavior::Hanging);
    within("requests under way", pod.when(|seen| seen.in_flight >= 2)).await;
    pod.kill().await;
}

/// Waits for a request at any of the pods, and kills that pod.
pub(crate) async fn kill_the_called_pod(pods: &[FakePod]) {
    let called = pods.iter().map(|pod| Box::pin(pod.when(|seen| seen.in_flight == 1)));
    let (_, called, _) = within("the request", select_all(called)).await;
    pods[called].kill().await;
}
