//! A steady stream of requests, and what became of them.

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
/// Between two requests of one worker: 200 requests a second in all.
const PAUSE: Duration = Duration::from_millis(80);

/// Workers that send requests until this is dropped.
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
                let tried = response.endpoints_tried();
                record.sent_again += usize::from(tried > 1);
            }
            Ok(response) => record.failures.push(response.status().to_string()),
            Err(error) => record.failures.push(format!("{error:?}")),
        }
    }
}

/// What became of the requests.
#[derive(Debug, Default)]
pub(crate) struct Record {
    answers: Vec<Answer>,
    /// The first answer of the scene that is being played.
    scene: usize,
    /// Why requests failed.
    pub(crate) failures: Vec<String>,
    /// Requests that another pod answered than the first one that they went to.
    pub(crate) sent_again: usize,
}

#[derive(Debug)]
struct Answer {
    pod: String,
    took: Duration,
}

/// One pod's part of the answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    pub(crate) requests: usize,
    /// Of all requests, in percent.
    pub(crate) share: f64,
    /// What the median answer took.
    pub(crate) p50: Duration,
    /// What 99 of 100 answers took at most.
    pub(crate) p99: Duration,
}

impl Record {
    /// Begins to count anew for [`parts_of_scene`](Self::parts_of_scene).
    pub(crate) fn begin_scene(&mut self) {
        self.scene = self.answers.len();
    }

    pub(crate) fn parts_of_scene(&self) -> BTreeMap<String, Part> {
        parts(self.answers.get(self.scene..).unwrap_or_default())
    }

    pub(crate) fn parts(&self) -> BTreeMap<String, Part> {
        parts(&self.answers)
    }

    pub(crate) fn requests(&self) -> usize {
        self.answers.len() + self.failures.len()
    }
}

fn parts(answers: &[Answer]) -> BTreeMap<String, Part> {
    let mut by_pod: BTreeMap<String, Vec<Duration>> = BTreeMap::new();
    for answer in answers {
        by_pod.entry(answer.pod.clone()).or_default().push(answer.took);
    }
    let part = |mut times: Vec<Duration>| {
        times.sort_unstable();
        let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
        let share = 100.0 * times.len() as f64 / answers.len() as f64;
        Part { requests: times.len(), share, p50: at(50), p99: at(99) }
    };
    by_pod.into_iter().map(|(pod, times)| (pod, part(times))).collect()
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}
