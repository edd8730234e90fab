//! The scenes: what happens to the pods, one event after the other.

use std::{
    cell::RefCell,
    future::Future,
    io,
    pin::pin,
    time::{Duration, Instant},
};

use discovery_core::{Upstream, endpoint::EndpointSet};
use discovery_testing::{Behavior, FakeCluster, FakePod, FakeService};
use tokio::time::{interval, sleep, timeout};

use crate::{
    load::Load,
    table::{Frame, Row, Screen, State},
};

/// The time between two updates of the live table.
const FRAME_INTERVAL: Duration = Duration::from_millis(200);
/// The longest time that the client may take to notice a change.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(15);
const SCENES: usize = 5;

/// The pods, the client's view of them, and the load on them.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) cluster: &'a FakeCluster,
    pub(crate) orders: &'a FakeService,
    pub(crate) upstream: &'a Upstream,
    pub(crate) load: &'a Load,
    rows: RefCell<Vec<Row>>,
    /// For each change, how long the client took to notice it.
    delays: RefCell<Vec<String>>,
    start: Instant,
}

/// The scenes.
impl<'a> Stage<'a> {
    pub(crate) fn new(
        cluster: &'a FakeCluster,
        orders: &'a FakeService,
        upstream: &'a Upstream,
        load: &'a Load,
    ) -> Self {
        let rows = orders.pods().iter().map(|pod| Row::new(pod.name(), State::Serving)).collect();
        Self {
            cluster,
            orders,
            upstream,
            load,
            rows: RefCell::new(rows),
            delays: RefCell::default(),
            start: Instant::now(),
        }
    }

    /// Plays all scenes; returns how many requests failed.
    pub(crate) async fn play(&self, screen: &mut Screen) -> io::Result<usize> {
        self.scene(1, "three pods", screen, self.steady()).await?;
        self.scene(2, "a pod is added", screen, self.one_more()).await?;
        self.scene(3, "a pod slows down to 150 ms", screen, self.one_slow()).await?;
        self.scene(4, "a pod is killed without notice", screen, self.one_killed()).await?;
        self.scene(5, "rolling restart", screen, self.rolling()).await?;
        let end = self.frame(SCENES, "the end");
        let record = self.load.record();
        screen.summary(&end, &record.stats(), &self.delays.borrow(), &record.failures);
        Ok(record.failures.len())
    }

    async fn steady(&self) -> io::Result<String> {
        sleep(Duration::from_secs(3)).await;
        Ok("three pods: the client picks a pod for each request".to_owned())
    }

    async fn one_more(&self) -> io::Result<String> {
        let added = self.orders.add_pod().await?;
        self.add_row(&added);
        let delay = self.noticed("added", |set| has(set, &added)).await?;
        sleep(Duration::from_secs(3)).await;
        Ok(format!("{} was added: noticed after {:.2} s", added.name(), delay.as_secs_f64()))
    }

    async fn one_slow(&self) -> io::Result<String> {
        let pods = self.orders.pods();
        let slow = &pods[1];
        slow.set_behavior(Behavior::Slow(Duration::from_millis(150)));
        self.mark(slow, State::Slow);
        sleep(Duration::from_secs(5)).await;
        slow.set_behavior(Behavior::Healthy);
        let share = self.load.record().scene_stats().get(slow.name()).map_or(0.0, |stats| stats.share);
        Ok(format!("{} slowed down: its share fell at once, to {share:.0} % over the scene", slow.name()))
    }

    /// The killed pod stays in DNS for two seconds, as it would until the kubelet notices. Then a new pod replaces it.
    async fn one_killed(&self) -> io::Result<String> {
        let killed = self.orders.pods().swap_remove(2);
        let before = self.load.record().retried;
        killed.kill().await;
        self.mark(&killed, State::Killed);
        sleep(Duration::from_secs(2)).await;

        self.orders.remove_pod(killed.name()).await;
        let added = self.orders.add_pod().await?;
        self.add_row(&added);
        let delay = self.noticed("replaced", |set| has(set, &added) && !has(set, &killed)).await?;
        sleep(Duration::from_secs(1)).await;
        let (retried, delay) = (self.load.record().retried - before, delay.as_secs_f64());
        Ok(format!("{} was killed: {retried} requests retried; replacement noticed after {delay:.2} s", killed.name()))
    }

    /// Rolls the pods as a Deployment does: start a new pod, wait until it is ready, take an old one out of DNS and
    /// stop it.
    async fn rolling(&self) -> io::Result<String> {
        let old = self.orders.pods();
        for pod in &old {
            self.add_row(&self.orders.add_pod().await?);
            sleep(Duration::from_millis(1_200)).await;
            self.mark(pod, State::Gone);
            self.orders.remove_pod(pod.name()).await;
        }
        let delay =
            self.noticed("rolled", |set| set.len() == old.len() && !old.iter().any(|pod| has(set, pod))).await?;
        sleep(Duration::from_secs(1)).await;
        Ok(format!("all {} pods were replaced: the last change noticed after {:.2} s", old.len(), delay.as_secs_f64()))
    }
}

/// Playing a scene and following it.
impl Stage<'_> {
    /// Plays one scene and draws the table while it runs.
    async fn scene(
        &self,
        number: usize,
        title: &str,
        screen: &mut Screen,
        play: impl Future<Output = io::Result<String>>,
    ) -> io::Result<()> {
        self.load.record().begin_scene();
        let mut play = pin!(play);
        let mut tick = interval(FRAME_INTERVAL);
        let note = loop {
            tokio::select! {
                note = &mut play => break note?,
                _ = tick.tick() => screen.draw(&self.frame(number, title)),
            }
        };
        screen.end_of_scene(&self.frame(number, title), note);
        self.rows.borrow_mut().retain(Row::is_alive);
        self.rows.borrow_mut().iter_mut().for_each(|row| row.state = State::Serving);
        Ok(())
    }

    fn frame(&self, number: usize, title: &str) -> Frame {
        let record = self.load.record();
        let stats = record.scene_stats();
        let mut rows = self.rows.borrow().clone();
        for row in &mut rows {
            row.stats = stats.get(&row.name).cloned().unwrap_or_default();
        }
        Frame {
            title: format!("{number}/{SCENES}  {title}"),
            rows,
            requests: record.requests(),
            failed: record.failures.len(),
            retried: record.retried,
            questions: self.cluster.dns().total(),
            elapsed: self.start.elapsed(),
        }
    }

    /// Waits until the client's endpoints are as `wanted` says; returns how long that took.
    async fn noticed(&self, change: &str, wanted: impl Fn(&EndpointSet) -> bool) -> io::Result<Duration> {
        let start = Instant::now();
        let mut watch = self.upstream.watch();
        let reached = async { while !wanted(&*watch.next().await) {} };
        timeout(CHANGE_TIMEOUT, reached).await.map_err(|_| io::Error::other(self.upstream.explain().to_string()))?;
        self.delays.borrow_mut().push(format!("{change} {:.2} s", start.elapsed().as_secs_f64()));
        Ok(start.elapsed())
    }

    fn add_row(&self, pod: &FakePod) {
        self.rows.borrow_mut().push(Row::new(pod.name(), State::New));
    }

    fn mark(&self, pod: &FakePod, state: State) {
        self.rows.borrow_mut().iter_mut().filter(|row| row.name == pod.name()).for_each(|row| row.state = state);
    }
}

fn has(set: &EndpointSet, pod: &FakePod) -> bool {
    set.iter().any(|endpoint| endpoint.addr() == pod.addr())
}
