//! The life of one pod, from the start of its process to the deletion of its object.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, Preconditions},
};
use nix::sys::signal::Signal;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    Kubelet, Latest, Sandbox, full_name, probe,
    sandbox::container,
    status::{self, Status},
};
use crate::harness::program::Program;

/// The task of one pod.
pub(super) async fn live(kubelet: Arc<Kubelet>, client: Client, mut changes: watch::Receiver<Latest>) {
    let Latest::There(pod) = changes.borrow().clone() else { return };
    let api = Api::<Pod>::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
    let (states, receiver) = watch::channel(Status::pending());
    let publisher = tokio::spawn(status::publish(api.clone(), (*pod).clone(), receiver));
    let sandbox = loop {
        match Sandbox::new(&kubelet, &client, &pod).await {
            Ok(sandbox) => break Arc::new(sandbox),
            Err(error) => {
                eprintln!("kubelet: {}: {error}", full_name(&pod));
                sleep(Duration::from_millis(500)).await;
            }
        }
    };
    kubelet.put_sandbox(&sandbox.name, &sandbox);
    states.send_modify(|status| status.ips.clone_from(&sandbox.ips));
    let ended = keep_running(&kubelet, &client, &pod, &sandbox, &states, &mut changes).await;
    if let Some(program) = sandbox.program() {
        program.kill().ok();
        program.end().await;
    }
    set(&states, ended, false);
    kubelet.remove_sandbox(&sandbox.name, &sandbox);
    delete(&api, &pod, &changes).await;
    publisher.abort();
}

/// Runs the process until the pod is deleted, restarting it as the restart policy says; returns the pod's final phase.
async fn keep_running(
    kubelet: &Kubelet,
    client: &Client,
    pod: &Pod,
    sandbox: &Sandbox,
    states: &watch::Sender<Status>,
    changes: &mut watch::Receiver<Latest>,
) -> &'static str {
    let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.clone()).unwrap_or_default();
    let mut pause = Duration::ZERO;
    loop {
        let program = match sandbox.start(kubelet, client, pod).await {
            Ok(program) => program,
            Err(error) => {
                eprintln!("kubelet: {}: {error}", sandbox.name);
                deletion(changes).await;
                return "Failed";
            }
        };
        let started = Instant::now();
        let (ready, mut readiness) = watch::channel(false);
        let probed = container(pod).cloned().unwrap_or_default();
        let prober = tokio::spawn(probe::run(probed, sandbox.ips.first().cloned().unwrap_or_default(), ready));
        set(states, "Running", false);
        let mut stopping = false;
        let success = loop {
            tokio::select! {
                status = program.end() => break status.success(),
                // The prober ends only if the container has no probe; its last value stays valid.
                Ok(()) = readiness.changed() => {
                    let ready = *readiness.borrow_and_update();
                    set(states, "Running", ready);
                }
                grace = deletion(changes), if !stopping => {
                    stopping = true;
                    tokio::spawn(stop(program.clone(), pod.clone(), grace));
                }
            }
        };
        prober.abort();
        let phase = if success { "Succeeded" } else { "Failed" };
        if stopping {
            return phase;
        }
        let again = policy == "Always" || (policy == "OnFailure" && !success);
        set(states, if again { "Running" } else { phase }, false);
        if !again {
            deletion(changes).await;
            return phase;
        }
        // The first restart is immediate, as with a real kubelet. Its later backoff of 10 s to 5 min would only slow
        // tests.
        if started.elapsed() > Duration::from_secs(60) {
            pause = Duration::ZERO;
        }
        if timeout(pause, deletion(changes)).await.is_ok() {
            return phase;
        }
        pause = (pause * 2).clamp(Duration::from_secs(1), Duration::from_secs(10));
        states.send_modify(|status| status.restarts += 1);
    }
}

/// Waits until the pod is being deleted, and returns its grace period.
async fn deletion(changes: &mut watch::Receiver<Latest>) -> Duration {
    let leaving = |latest: &Latest| match latest {
        Latest::There(pod) => pod.metadata.deletion_timestamp.is_some(),
        Latest::Gone => true,
    };
    let found = match changes.wait_for(leaving).await {
        Ok(latest) => latest.clone(),
        Err(_) => Latest::Gone,
    };
    match found {
        Latest::There(pod) => {
            let seconds = pod.metadata.deletion_grace_period_seconds.unwrap_or(30);
            Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
        }
        Latest::Gone => Duration::ZERO,
    }
}

/// Stops a process in order: preStop, SIGTERM, the rest of the grace period, SIGKILL.
async fn stop(program: Program, pod: Pod, grace: Duration) {
    let deadline = Instant::now() + grace;
    let hook = container(&pod).and_then(|container| container.lifecycle.as_ref()?.pre_stop.as_ref()?.sleep.as_ref());
    let pause = hook.and_then(|sleep| u64::try_from(sleep.seconds).ok()).unwrap_or(0);
    sleep(Duration::from_secs(pause).min(grace)).await;
    // Signals fail only if the process is gone.
    program.signal(Signal::SIGTERM).ok();
    if tokio::time::timeout_at(deadline, program.end()).await.is_err() {
        program.kill().ok();
    }
}

/// Removes the API object, which completes the deletion.
async fn delete(api: &Api<Pod>, pod: &Pod, changes: &watch::Receiver<Latest>) {
    let mut params = DeleteParams::default().grace_period(0);
    params.preconditions = Some(Preconditions { uid: pod.uid(), resource_version: None });
    while !matches!(*changes.borrow(), Latest::Gone) {
        match api.delete(&pod.name_any(), &params).await {
            Err(kube::Error::Api(refused)) if [404, 409].contains(&refused.code) => return,
            Err(_) => sleep(Duration::from_millis(100)).await,
            Ok(_) => return,
        }
    }
}

fn set(states: &watch::Sender<Status>, phase: &'static str, ready: bool) {
    states.send_if_modified(|status| {
        let changed = (status.phase, status.ready) != (phase, ready);
        if changed {
            (status.phase, status.ready, status.since) = (phase, ready, status::now());
        }
        changed
    });
}
