//! What happens to the pods, one scene after the other.

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

/// Between two pictures.
const FRAME: Duration = Duration::from_millis(200);
/// How long a change may take to be seen.
const PATIENCE: Duration = Duration::from_secs(15);
const SCENES: usize = 5;

/// The pods, what is known of them, and the load on them.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) cluster: &'a FakeCluster,
    pub(crate) orders: &'a FakeService,
    pub(crate) upstream: &'a Upstream,
    pub(crate) load: &'a Load,
    rows: RefCell<Vec<Row>>,
    /// How long each change took to be seen.
    seen: RefCell<Vec<String>>,
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
            seen: RefCell::default(),
            start: Instant::now(),
        }
    }

    /// Plays all scenes; returns how many requests failed.
    pub(crate) async fn play(&self, screen: &mut Screen) -> io::Result<usize> {
        self.scene(1, "three pods", screen, self.steady()).await?;
        self.scene(2, "one pod more", screen, self.one_more()).await?;
        self.scene(3, "one pod answers after 150 ms", screen, self.one_slow()).await?;
        self.scene(4, "one pod is killed without notice", screen, self.one_killed()).await?;
        self.scene(5, "rolling restart", screen, self.rolling()).await?;
        let end = self.frame(SCENES, "the end");
        let record = self.load.record();
        screen.summary(&end, &record.parts(), &self.seen.borrow(), &record.failures);
        Ok(record.failures.len())
    }

    async fn steady(&self) -> io::Result<String> {
        sleep(Duration::from_secs(3)).await;
        Ok("three pods: each request picks its own".to_owned())
    }

    async fn one_more(&self) -> io::Result<String> {
        let added = self.orders.add_pod().await?;
        self.add_row(&added);
        let seen = self.seen("added", |set| has(set, &added)).await?;
        sleep(Duration::from_secs(3)).await;
        Ok(format!("{} was added: seen after {:.2} s", added.name(), seen.as_secs_f64()))
    }

    async fn one_slow(&self) -> io::Result<String> {
        let pods = self.orders.pods();
        let slow = &pods[1];
        slow.set_behavior(Behavior::Slow(Duration::from_millis(150)));
        self.mark(slow, State::Slow);
        sleep(Duration::from_secs(5)).await;
        slow.set_behavior(Behavior::Healthy);
        let share = self.load.record().parts_of_scene().get(slow.name()).map_or(0.0, |part| part.share);
        Ok(format!("{} turned slow: it got less from the next request on, {share:.0} % in all", slow.name()))
    }

    /// It stays in DNS for two seconds, as until the kubelet notices. Then a new one takes its place.
    async fn one_killed(&self) -> io::Result<String> {
        let killed = self.orders.pods().swap_remove(2);
        let before = self.load.record().sent_again;
        killed.kill().await;
        self.mark(&killed, State::Killed);
        sleep(Duration::from_secs(2)).await;

        self.orders.remove_pod(killed.name()).await;
        let added = self.orders.add_pod().await?;
        self.add_row(&added);
        let seen = self.seen("replaced", |set| has(set, &added) && !has(set, &killed)).await?;
        sleep(Duration::from_secs(1)).await;
        let (again, seen) = (self.load.record().sent_again - before, seen.as_secs_f64());
        Ok(format!("{} was killed: {again} requests sent again; replaced, seen after {seen:.2} s", killed.name()))
    }

    /// As a Deployment does it: a new pod, a moment until it is ready, then the old one leaves DNS and stops.
    async fn rolling(&self) -> io::Result<String> {
        let old = self.orders.pods();
        for pod in &old {
            self.add_row(&self.orders.add_pod().await?);
            sleep(Duration::from_millis(1_200)).await;
            self.mark(pod, State::Gone);
            self.orders.remove_pod(pod.name()).await;
        }
        let seen = self.seen("rolled", |set| set.len() == old.len() && !old.iter().any(|pod| has(set, pod))).await?;
        sleep(Duration::from_secs(1)).await;
        Ok(format!("all {} were replaced: the last one seen after {:.2} s", old.len(), seen.as_secs_f64()))
    }
}

/// Playing and watching.
impl Stage<'_> {
    /// Plays one scene and shows it meanwhile.
    async fn scene(
        &self,
        number: usize,
        title: &str,
        screen: &mut Screen,
        play: impl Future<Output = io::Result<String>>,
    ) -> io::Result<()> {
        self.load.record().begin_scene();
        let mut play = pin!(play);
        let mut tick = interval(FRAME);
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
        let parts = record.parts_of_scene();
        let mut rows = self.rows.borrow().clone();
        for row in &mut rows {
            row.part = parts.get(&row.name).cloned().unwrap_or_default();
        }
        Frame {
            title: format!("{number}/{SCENES}  {title}"),
            rows,
            requests: record.requests(),
            failed: record.failures.len(),
            sent_again: record.sent_again,
            questions: self.cluster.dns().total(),
            elapsed: self.start.elapsed(),
        }
    }

    /// How long it takes until the client's endpoints are as `wanted` says.
    async fn seen(&self, change: &str, wanted: impl Fn(&EndpointSet) -> bool) -> io::Result<Duration> {
        let start = Instant::now();
        let mut watch = self.upstream.watch();
        let seen = async { while !wanted(&*watch.next().await) {} };
        timeout(PATIENCE, seen).await.map_err(|_| io::Error::other(self.upstream.explain().to_string()))?;
        self.seen.borrow_mut().push(format!("{change} {:.2} s", start.elapsed().as_secs_f64()));
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
