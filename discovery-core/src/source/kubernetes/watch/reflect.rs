//! List, then watch, again and again.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use futures_util::TryStreamExt;
use kube::{
    Client,
    api::{ListParams, WatchParams},
    core::{Request, WatchEvent},
};
use tokio::time::timeout_at;

use super::{
    failure::{Failure, Verb},
    feed::Feed,
    resource::Resource,
    wire::{Interner, ListOf},
};
use crate::{clock, entropy};

/// Keeps one resource of one namespace up to date.
pub(super) struct Reflector<'a, T> {
    feed: &'a Feed,
    client: Option<Client>,
    /// The version up to which everything is known.
    version: Option<String>,
    /// The highest version that was seen, to notice when history goes back.
    highest: u64,
    failures: u32,
    /// A list that lacks everything that was known before has come once.
    emptied: bool,
    /// The last watch ended otherwise than by its own time: the API server may be another one now.
    broken: bool,
    interner: Interner,
    resource: std::marker::PhantomData<fn() -> T>,
}

/// A whole list, and the version it is of.
struct Listed<T> {
    objects: Vec<T>,
    version: String,
}

impl<'a, T: Resource> Reflector<'a, T> {
    pub(super) fn new(feed: &'a Feed) -> Self {
        Self {
            feed,
            client: None,
            version: None,
            highest: 0,
            failures: 0,
            emptied: false,
            broken: false,
            interner: Interner::default(),
            resource: std::marker::PhantomData,
        }
    }

    /// Never ends; may be dropped at any time.
    pub(super) async fn run(mut self) {
        loop {
            let wait = match self.step().await {
                Ok(wait) => wait,
                Err(Failure::Gone) => {
                    self.version = None;
                    self.broken = false;
                    // Whoever was cut off for long enough was so together with others.
                    self.feed.timing().after(1, entropy::unit())
                }
                Err(failure) => self.failed(&failure),
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// One list, or one watch to its end. Says how long to wait before the next step.
    async fn step(&mut self) -> Result<Duration, Failure> {
        let client = self.client()?;
        let Some(version) = self.version.clone() else {
            let listed = self.list(&client).await?;
            // A connection keeps a buffer as large as what came over it: the watch, which lasts, has one of its own.
            self.client = None;
            return Ok(self.heard_list(listed));
        };
        if self.broken {
            self.probe(&client).await?;
            self.broken = false;
            if self.version.is_none() {
                return Ok(Duration::ZERO);
            }
            self.feed.reached::<T>();
        }
        let begun = clock::now();
        let ended = self.watch(&client, version).await;
        if clock::now().saturating_duration_since(begun) >= self.feed.timing().backoff.1 {
            // Whatever ended it now has nothing to do with what was before.
            self.failures = 0;
        }
        let whole = ended?;
        self.failures = 0;
        self.feed.alive::<T>();
        // A watch that ends at once must not make a loop.
        let lasted = clock::now().saturating_duration_since(begun);
        if whole && lasted >= Duration::from_millis(900) {
            return Ok(Duration::ZERO);
        }
        self.broken = true;
        Ok(self.feed.timing().after(1, entropy::unit()))
    }

    fn client(&mut self) -> Result<Client, Failure> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let client = self.feed.connection().client()?;
        Ok(self.client.insert(client).clone())
    }

    /// All of them, in pages.
    async fn list(&mut self, client: &Client) -> Result<Listed<T>, Failure> {
        let mut params = selected(ListParams::default().limit(PAGE), T::SELECTOR);
        let mut objects = Vec::new();
        loop {
            let page = self.page(client, &params).await?;
            objects.extend(page.items.into_iter().filter_map(|wire| T::read(wire, &mut self.interner)));
            if page.metadata.next.is_empty() {
                return Ok(Listed { objects, version: page.metadata.resource_version });
            }
            params.continue_token = Some(page.metadata.next);
        }
    }

    async fn page(&self, client: &Client, params: &ListParams) -> Result<ListOf<T::Wire>, Failure> {
        let request = Request::new(T::path(self.feed.namespace())).list(params);
        let request = request.map_err(|error| Failure::Other(error.to_string()))?;
        let answer = tokio::time::timeout(ANSWER, client.request(request)).await;
        answer.map_err(|_| Failure::late("no answer", ANSWER))?.map_err(|error| Failure::of(Verb::List, &error))
    }

    /// Asks which version is current, with a list of one: after an API server has come back with an older history (its
    /// etcd restored or emptied), a watch from the former version would say nothing at all until history has caught up.
    async fn probe(&mut self, client: &Client) -> Result<(), Failure> {
        let params = selected(ListParams::default().limit(1), T::SELECTOR);
        let page = self.page(client, &params).await?;
        if number(&page.metadata.resource_version) < self.highest {
            self.version = None;
        }
        Ok(())
    }

    /// What a list means, which is not always what it says.
    fn heard_list(&mut self, listed: Listed<T>) -> Duration {
        let now = clock::now();
        let current = number(&listed.version);
        let gone_back = current < self.highest;
        let emptied = listed.objects.is_empty() && !gone_back && self.feed.count::<T>() > 0;
        if emptied && !self.emptied {
            self.emptied = true;
            let what = format!("the list of {} came back empty; it is asked for once more", T::WHAT);
            self.feed.down::<T>(&what, now);
            return CONFIRM.mul_f64(1.0 + entropy::unit());
        }
        if gone_back {
            tracing::warn!(
                namespace = %self.feed.namespace(), before = self.highest, now = current,
                "the API server's history has gone back; what its list of {} lacks is kept for a while", T::WHAT
            );
        }
        self.emptied = false;
        self.failures = 0;
        self.highest = current;
        self.version = Some(listed.version);
        self.feed.listed(listed.objects, gone_back.then(|| now + self.feed.timing().hold));
        Duration::ZERO
    }

    /// Watches from `version` on; whether it ended by its own time.
    async fn watch(&mut self, client: &Client, version: String) -> Result<bool, Failure> {
        let seconds = self.feed.timing().watch_seconds(entropy::unit());
        let whole = Duration::from_secs(seconds.into());
        let patience = whole + self.feed.timing().grace();
        let begun = clock::now();
        let late = || Failure::late("nothing was heard and the watch was not ended", patience);
        let deadline: tokio::time::Instant = (begun + patience).into();
        let mut params = WatchParams::default().timeout(seconds);
        params.label_selector = T::SELECTOR.map(str::to_owned);
        let request = Request::new(T::path(self.feed.namespace())).watch(&params, &version);
        let request = request.map_err(|error| Failure::Other(error.to_string()))?;
        let events = timeout_at(deadline, client.request_events::<T::Wire>(request)).await;
        let mut events = pin!(events.map_err(|_| late())?.map_err(|error| Failure::of(Verb::Watch, &error))?);
        // A refusal comes with the head of the answer; a watch that has begun may say nothing for minutes.
        let begun_well = (clock::now() + BEGUN).min(begun + patience);
        let mut until = tokio::time::Instant::from(begun_well);
        loop {
            match timeout_at(until, events.try_next()).await {
                Err(_) if until < deadline => {
                    self.feed.alive::<T>();
                    until = deadline;
                }
                Err(_) => return Err(late()),
                Ok(Err(error)) => return Err(Failure::of(Verb::Watch, &error)),
                Ok(Ok(None)) => return Ok(ended_in_time(begun, whole)),
                Ok(Ok(Some(event))) => self.heard(event)?,
            }
        }
    }

    fn heard(&mut self, event: WatchEvent<T::Wire>) -> Result<(), Failure> {
        let version = match event {
            WatchEvent::Added(wire) | WatchEvent::Modified(wire) => {
                let version = T::meta(&wire).resource_version.clone();
                let name = T::meta(&wire).name.clone();
                match T::read(wire, &mut self.interner) {
                    Some(object) => self.feed.applied(object),
                    None => self.feed.deleted::<T>(&name),
                }
                version
            }
            WatchEvent::Deleted(wire) => {
                self.feed.deleted::<T>(&T::meta(&wire).name);
                T::meta(&wire).resource_version.clone()
            }
            WatchEvent::Bookmark(bookmark) => bookmark.metadata.resource_version,
            WatchEvent::Error(status) => return Err(Failure::of_status(Verb::Watch, &status)),
        };
        self.feed.alive::<T>();
        self.highest = self.highest.max(number(&version));
        self.version = Some(version);
        Ok(())
    }

    /// Notes the failure, and says how long to wait.
    fn failed(&mut self, failure: &Failure) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.broken = true;
        // A list, again: from the beginning, after whatever it was that failed this often.
        if self.failures >= RELIST_AFTER {
            self.version = None;
        }
        let timing = self.feed.timing();
        let wait = timing.after(self.failures, entropy::unit());
        let refused = self.feed.failed::<T>(failure, clock::now());
        match failure {
            _ if refused => timing.after_refusal(entropy::unit()),
            Failure::Busy(_, at_least) => wait.max(*at_least),
            Failure::Unauthorized(_) => {
                // The token file is read again by a new client.
                self.client = None;
                wait
            }
            _ => wait,
        }
    }
}

/// How many objects a page has: about a hundred endpoints each.
const PAGE: u32 = 250;

/// How long one page may take.
const ANSWER: Duration = Duration::from_secs(30);

/// A watch that has not been refused within this has begun.
const BEGUN: Duration = Duration::from_millis(200);

/// How long after an empty list it is asked for again: once to twice this.
const CONFIRM: Duration = Duration::from_secs(1);

/// After how many failures in a row a watch begins with a list again.
const RELIST_AFTER: u32 = 5;

fn selected(params: ListParams, selector: Option<&str>) -> ListParams {
    match selector {
        Some(selector) => params.labels(selector),
        None => params,
    }
}

/// Versions count up (Kubernetes 1.35 promises so, KEP-5504; etcd has always made them so). Where one is no number,
/// nothing is concluded from it.
fn number(version: &str) -> u64 {
    version.parse().unwrap_or(u64::MAX)
}

/// The server ends a watch after the time that it was told; one that ends before was cut off.
fn ended_in_time(begun: Instant, whole: Duration) -> bool {
    clock::now().saturating_duration_since(begun) + Duration::from_millis(100) >= whole
}
