//! A steady stream of requests, and a record of their results.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use discovery_reqwest::{Client, ResponseExt};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};

const WORKERS: u32 = 16;
/// The time between two requests of one worker: 200 requests a second in all.
const PAUSE: Duration = Duration::from_millis(80);

/// Workers that send requests until this value is dropped.
#[derive(Debug)]
pub(crate) struct Load {
    record: Arc<Mutex<Record>>,
    _workers: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(client: &Client, url: &str) -> Self {
        let record = Arc::new(Mutex::new(Record::default()));
        let mut workers = JoinSet::new();
        for number in 0..WORKERS {
            workers.spawn(work(number, client.clone(), url.to_owned(), record.clone()));
        }
        Self { record, _workers: workers }
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }
}

async fn work(number: u32, client: Client, url: String, record: Arc<Mutex<Record>>) {
    sleep(PAUSE * number / WORKERS).await;
    let mut tick = interval(PAUSE);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let sent = Instant::now();
        let result = client.get(&url).send().await;
        let took = sent.elapsed();
        let mut record = lock(&record);
        match result {
            Ok(response) if response.status().is_success() => {
                let pod = response.headers().get("x-pod").and_then(|pod| pod.to_str().ok()).unwrap_or("?");
                record.answers.push(Answer { pod: pod.to_owned(), took });
                record.retried += usize::from(response.endpoints_tried() > 1);
            }
            Ok(response) => record.failures.push(response.status().to_string()),
            Err(error) => record.failures.push(format!("{error:?}")),
        }
    }
}

/// The results of the requests so far.
#[derive(Debug, Default)]
pub(crate) struct Record {
    answers: Vec<Answer>,
    /// The index of the current scene's first answer.
    scene: usize,
    /// The error of each failed request.
    pub(crate) failures: Vec<String>,
    /// The number of requests that succeeded only on a retry, at another pod.
    pub(crate) retried: usize,
}

#[derive(Debug)]
struct Answer {
    pod: String,
    took: Duration,
}

/// The answers of one pod, summed up.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodStats {
    pub(crate) requests: usize,
    /// The pod's share of all requests, in percent.
    pub(crate) share: f64,
    /// The median latency.
    pub(crate) p50: Duration,
    /// The 99th percentile of the latency.
    pub(crate) p99: Duration,
}

impl Record {
    /// Starts a new scene: [`scene_stats`](Self::scene_stats) counts from here.
    pub(crate) fn begin_scene(&mut self) {
        self.scene = self.answers.len();
    }

    /// The statistics of each pod in the current scene.
    pub(crate) fn scene_stats(&self) -> BTreeMap<String, PodStats> {
        stats(self.answers.get(self.scene..).unwrap_or_default())
    }

    /// The statistics of each pod since the start.
    pub(crate) fn stats(&self) -> BTreeMap<String, PodStats> {
        stats(&self.answers)
    }

    pub(crate) fn requests(&self) -> usize {
        self.answers.len() + self.failures.len()
    }
}

fn stats(answers: &[Answer]) -> BTreeMap<String, PodStats> {
    let mut by_pod: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    for answer in answers {
        by_pod.entry(answer.pod.clone()).or_default().push(answer.took);
    }
    let of_pod = |mut times: Vec<Duration>| {
        times.sort_unstable();
        let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
        let share = 100.0 * times.len() as f64 / answers.len() as f64;
        PodStats { requests: times.len(), share, p50: at(50), p99: at(99) }
    };
    by_pod.into_iter().map(|(pod, times)| (pod, of_pod(times))).collect()
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}
