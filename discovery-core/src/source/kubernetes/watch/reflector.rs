//! Keeps the cache of one resource up to date: list, then watch, repeatedly.

use std::{
    marker::PhantomData,
    time::{Duration, Instant},
};

use k8s_openapi::serde_json;
use kube::{
    Client,
    api::{ListParams, WatchParams},
    core::WatchEvent,
};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::timeout_at;

use super::{
    NamespaceWatch,
    failure::Failure,
    pace::{Kind, Pace, WatchRun},
    paging::Paging,
    request::{Ask, EventStream, read_page, send},
    wire::{Interner, Resource, null_as_default},
};
use crate::{Error, clock, entropy};

/// Lists and watches `T` in one namespace. Never completes; may be dropped at any time.
pub(super) async fn run<T: Resource>(watch: &NamespaceWatch) {
    let mut reflector = Reflector::<T>::new(watch);
    loop {
        let wait = match reflector.step().await {
            Ok(wait) => wait,
            Err((kind, failure)) => reflector.handle(kind, &failure),
        };
        tokio::time::sleep(wait).await;
    }
}

struct Reflector<'a, T> {
    watch: &'a NamespaceWatch,
    client: Option<Client>,
    /// The resource version up to which the cache is complete; `None` if a list is needed.
    version: Option<String>,
    /// The highest resource version seen so far, to notice when the API server goes back to an older one.
    highest: u64,
    /// The failures in a row.
    pace: Pace,
    /// Whether the last list was empty although objects were cached, and has yet to be confirmed.
    is_empty_unconfirmed: bool,
    /// Whether the last watch was cut off. The API server may since have been replaced or restored.
    was_cut_off: bool,
    /// Whether the current watch has had an event.
    had_events: bool,
    interner: Interner,
    resource: PhantomData<fn() -> T>,
}

/// A complete list.
struct ObjectList<T> {
    objects: Vec<T>,
    version: String,
}

/// One page of a list, as the API server writes it.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "W: DeserializeOwned"))]
struct Page<W> {
    metadata: PageMetadata,
    /// Go writes an empty list as null.
    #[serde(default, deserialize_with = "null_as_default")]
    items: Vec<W>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PageMetadata {
    #[serde(deserialize_with = "null_as_default")]
    resource_version: String,
    #[serde(rename = "continue", deserialize_with = "null_as_default")]
    continue_token: String,
}

impl<'a, T: Resource> Reflector<'a, T> {
    fn new(watch: &'a NamespaceWatch) -> Self {
        Self {
            watch,
            client: None,
            version: None,
            highest: 0,
            pace: Pace::default(),
            is_empty_unconfirmed: false,
            was_cut_off: false,
            had_events: false,
            interner: Interner::default(),
            resource: PhantomData,
        }
    }

    /// Requests one list, or runs one watch to its end. Returns how long to wait before the next step.
    async fn step(&mut self) -> Result<Duration, (Kind, Failure)> {
        let on_list = |failure| (Kind::List, failure);
        let client = self.client().map_err(on_list)?;
        let Some(version) = self.version.clone() else {
            let list = self.list(&client).await.map_err(on_list)?;
            self.pace.listed();
            // A connection keeps a buffer as large as its largest response. The watch lasts, so it gets a connection of
            // its own.
            self.client = None;
            return Ok(self.accept_list(list));
        };
        if self.was_cut_off {
            self.check_version(&client).await.map_err(on_list)?;
            self.pace.listed();
            self.was_cut_off = false;
            if self.version.is_none() {
                return Ok(Duration::ZERO);
            }
        }
        self.watch_from(&client, version).await.map_err(|failure| (Kind::Watch, failure))
    }

    /// Runs one watch to its end. Returns how long to wait before the next step.
    async fn watch_from(&mut self, client: &Client, version: String) -> Result<Duration, Failure> {
        let started = clock::now();
        self.had_events = false;
        let mut result = self.run_watch(client, version).await;
        let run = WatchRun { lasted: elapsed(started), had_events: self.had_events };
        if matches!(result, Ok(false)) && !run.worked() {
            result = Err(Failure::Ended);
        }
        self.pace.watched(run, result.as_ref().err(), self.watch.timing.max_backoff());
        let is_complete = result?;
        self.watch.confirm_watch::<T>();
        // A server that ends each watch at once must not cause a busy loop.
        if is_complete && run.worked() {
            return Ok(Duration::ZERO);
        }
        self.was_cut_off = true;
        Ok(self.watch.timing.backoff(1, entropy::unit()))
    }

    fn client(&mut self) -> Result<Client, Failure> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        // The client reads the token file and the CA file at once, and then at least once a minute. It runs a task on
        // the current runtime.
        let client = Client::try_from(self.watch.config.clone());
        let client = client.map_err(|error| Failure::from_local_error(&error))?;
        Ok(self.client.insert(client).clone())
    }

    /// Requests all objects, page by page, within the bounds of [`Paging`].
    async fn list(&mut self, client: &Client) -> Result<ObjectList<T>, Failure> {
        let mut params = list_params::<T>(PAGE_SIZE);
        let mut objects = Vec::new();
        let mut paging = Paging::new(clock::now());
        loop {
            let (page, bytes) = self.page(client, &params).await?;
            paging.accept(bytes, &page.metadata.continue_token, clock::now())?;
            objects.extend(page.items.into_iter().filter_map(|object| T::from_wire(object, &mut self.interner)));
            if page.metadata.continue_token.is_empty() {
                return Ok(ObjectList { objects, version: page.metadata.resource_version });
            }
            params.continue_token = Some(page.metadata.continue_token);
        }
    }

    /// Returns one page and its size in bytes.
    async fn page(&self, client: &Client, params: &ListParams) -> Result<(Page<T::Wire>, usize), Failure> {
        let response = async {
            let body = send(client, T::path(&self.watch.namespace), Ask::List(params)).await?;
            read_page(body).await
        };
        let response = tokio::time::timeout(PAGE_TIMEOUT, response).await;
        let bytes = response.map_err(|_| Failure::from_timeout("no response", PAGE_TIMEOUT))??;
        let malformed = |error| Failure::from_malformed("the response is not a list", &error, &bytes);
        let page = serde_json::from_slice(&bytes).map_err(malformed)?;
        Ok((page, bytes.len()))
    }

    /// Requests a list of one object to learn the current resource version, and requests a new list if it is older than
    /// what was seen before. After its etcd was restored or emptied, the API server would not send a single event to a
    /// watch from the previous version until the new history has caught up with that version.
    async fn check_version(&mut self, client: &Client) -> Result<(), Failure> {
        let (page, _) = self.page(client, &list_params::<T>(1)).await?;
        if version_number(&page.metadata.resource_version) < self.highest {
            self.version = None;
        }
        Ok(())
    }

    /// Updates the cache from a list, unless the list looks wrong. Returns how long to wait before the next step.
    fn accept_list(&mut self, list: ObjectList<T>) -> Duration {
        let now = clock::now();
        let current = version_number(&list.version);
        let is_rollback = current < self.highest;
        let is_emptied = list.objects.is_empty() && !is_rollback && !self.watch.is_empty::<T>();
        if is_emptied && !self.is_empty_unconfirmed {
            self.is_empty_unconfirmed = true;
            let error = Error::transient(format!("the list of {} is empty now: listing again to confirm", T::PLURAL));
            self.watch.update::<T, _>(|cache| cache.fail(error, now));
            return CONFIRM_AFTER.mul_f64(1.0 + entropy::unit());
        }
        let max_stale = self.watch.timing.max_stale();
        if is_rollback {
            tracing::warn!(
                namespace = %self.watch.namespace, before = self.highest, now = current,
                "the API server went back to an older resource version (was etcd restored or emptied?): keeping {} \
                 that its list lacks for up to {max_stale:?}", T::PLURAL
            );
        }
        self.is_empty_unconfirmed = false;
        self.highest = current;
        self.version = Some(list.version);
        tracing::debug!(namespace = %self.watch.namespace, listed = list.objects.len(), "listed {}", T::PLURAL);
        self.watch.update::<T, _>(|cache| cache.replace(list.objects, is_rollback.then(|| now + max_stale)));
        Duration::ZERO
    }

    /// Watches from `version` on. Returns whether the watch lasted for the time that was requested.
    async fn run_watch(&mut self, client: &Client, version: String) -> Result<bool, Failure> {
        let seconds = self.watch.timing.watch_seconds(entropy::unit());
        let requested = Duration::from_secs(seconds.into());
        let limit = requested + self.watch.timing.grace();
        let started = clock::now();
        let timeout = || Failure::from_timeout("the watch did not end", limit);
        let deadline: tokio::time::Instant = (started + limit).into();
        let mut params = WatchParams::default().timeout(seconds);
        params.label_selector = T::LABEL_SELECTOR.map(str::to_owned);
        let response = send(client, T::path(&self.watch.namespace), Ask::Watch(&params, &version));
        let body = timeout_at(deadline, response).await.map_err(|_| timeout())??;
        let mut events = EventStream::new(body);
        // A watch that works may have no event for minutes. A denial arrives with the response head, or at once.
        let confirmed = (clock::now() + CONFIRM_WATCH).min(started + limit);
        let mut until = tokio::time::Instant::from(confirmed);
        loop {
            match timeout_at(until, events.next()).await {
                Err(_) if until < deadline => {
                    self.watch.confirm_watch::<T>();
                    until = deadline;
                }
                Err(_) => return Err(timeout()),
                // The API server ends a watch after the requested time. One that ends earlier was cut off.
                Ok(Ok(None)) => return Ok(elapsed(started) + Duration::from_millis(100) >= requested),
                Ok(Ok(Some(event))) => self.accept_event(event)?,
                Ok(Err(failure)) => return Err(failure),
            }
        }
    }

    fn accept_event(&mut self, event: WatchEvent<T::Wire>) -> Result<(), Failure> {
        let version = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let metadata = T::metadata(&object).clone();
                match T::from_wire(object, &mut self.interner) {
                    Some(object) => self.watch.update(|cache| cache.apply(object)),
                    None => self.watch.update::<T, _>(|cache| cache.delete(&metadata.name)),
                }
                metadata.resource_version
            }
            WatchEvent::Deleted(object) => {
                let metadata = T::metadata(&object);
                self.watch.update::<T, _>(|cache| cache.delete(&metadata.name));
                metadata.resource_version.clone()
            }
            WatchEvent::Bookmark(bookmark) => bookmark.metadata.resource_version,
            WatchEvent::Error(status) => return Err(Failure::from_watch_status(&status)),
        };
        self.had_events = true;
        self.watch.confirm_watch::<T>();
        self.highest = self.highest.max(version_number(&version));
        self.version = Some(version);
        Ok(())
    }

    /// Notes the failure of a step. Returns how long to wait before the next step.
    fn handle(&mut self, kind: Kind, failure: &Failure) -> Duration {
        let timing = &self.watch.timing;
        let count = self.pace.failed(kind, failure);
        let wait = timing.backoff(count, entropy::unit());
        self.was_cut_off = !matches!(failure, Failure::Gone);
        if self.pace.needs_list(failure) {
            self.version = None;
        }
        // An outage that is long enough for a 410 affects many clients at once. Nothing is wrong unless the API server
        // says so again right after the list.
        if count == 1 && matches!(failure, Failure::Gone | Failure::Ended) {
            return wait;
        }
        let is_denied = self.watch.fail::<T>(failure, clock::now());
        match failure {
            _ if is_denied => timing.denied_retry_interval(entropy::unit()),
            Failure::Busy(_, at_least) => wait.max(*at_least),
            Failure::Unauthorized(_) => {
                // A new client reads the token file again.
                self.client = None;
                wait
            }
            _ => wait,
        }
    }
}

/// The number of objects per page. A slice holds about a hundred endpoints.
const PAGE_SIZE: u32 = 250;

/// How long one page may take.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// A watch that has not been denied within this time works.
const CONFIRM_WATCH: Duration = Duration::from_millis(200);

/// An unexpectedly empty list is requested again after this time at the earliest, and twice this time at the latest.
const CONFIRM_AFTER: Duration = Duration::from_secs(1);

fn list_params<T: Resource>(limit: u32) -> ListParams {
    let params = ListParams::default().limit(limit);
    match T::LABEL_SELECTOR {
        Some(selector) => params.labels(selector),
        None => params,
    }
}

/// Resource versions increase: Kubernetes 1.35 promises it (KEP-5504), and etcd has always numbered them so. A version
/// that is not a number counts as newer than every other, so that it never looks like a rollback.
fn version_number(version: &str) -> u64 {
    version.parse().unwrap_or(u64::MAX)
}

fn elapsed(since: Instant) -> Duration {
    clock::now().saturating_duration_since(since)
}
