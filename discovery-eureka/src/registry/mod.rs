//! HTTP to a registry: one URL or several, and what to do when one does not answer.
//!
//! | | |
//! |---|---|
//! | url | the URL of a registry, whose credentials are never shown |
//! | call | one request, and which answers are an answer |
//! | choice | which URL is asked next: pure |
//! | link | one URL and the connections to it |

mod answer;
mod call;
mod choice;
mod link;
mod url;

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use discovery_core::{policy::SplitMix64, source::BoxFuture};

pub(crate) use self::{
    answer::{Answer, off_thread},
    call::Call,
};
use self::{choice::Choice, link::Link, url::RegistryUrl};
use super::Error;
use crate::wall::now;
use discovery_reqwest::Client;

/// Somebody who answers calls: a registry, or a test's script.
pub(crate) trait Ask: Send + Sync + fmt::Debug + 'static {
    /// Asks once, with the retries that there are. The answer comes within a bounded time.
    fn ask(&self, call: Call) -> BoxFuture<'_, Result<Answer, Error>>;
}

/// A registry behind one URL or several.
pub(crate) struct Registry {
    links: Vec<Link>,
    choice: Mutex<Choice>,
    /// What the requests say of who asks.
    from: Option<String>,
}

impl Registry {
    /// `urls` is one URL, or several with commas between them, as in Spring's `defaultZone`.
    pub(crate) fn new(client: &Client, urls: &str, seed: u64) -> Result<Self, Error> {
        let links: Vec<_> = url::list(urls)?.into_iter().map(|url| Link::new(url, client)).collect();
        let choice = Mutex::new(Choice::new(links.len(), SplitMix64::with_seed(seed)));
        Ok(Self { links, choice, from: None })
    }

    /// Says in each request which address asks.
    pub(crate) fn asking_from(mut self, address: &str) -> Self {
        self.from = Some(address.to_owned());
        self
    }

    /// The URLs, without credentials.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &RegistryUrl> {
        self.links.iter().map(Link::url)
    }

    async fn send(&self, call: &Call) -> Result<Answer, Error> {
        let several = self.links.len() > 1;
        let (candidates, renew) = self.choice(|choice| choice.candidates(now()));
        if renew {
            self.links.iter().for_each(Link::renew);
        }
        let mut last = None;
        for link_at in candidates {
            let Some(link) = self.links.get(link_at) else { continue };
            let connections = link.connections();
            let error = match link.send(&connections, call, self.from.as_deref()).await {
                Ok(answer) if call.is_answered_by(answer.status) => {
                    self.choice(|choice| choice.good(link_at));
                    return Ok(answer);
                }
                Ok(answer) if !several && answer.status < 500 => return Err(answer.refusal(call, link.url())),
                Ok(answer) => answer.refusal(call, link.url()),
                Err(error) => error,
            };
            tracing::debug!(registry = %link.url(), %call, error = %error.in_full(), "not answered");
            // The next request, here or to another URL, goes over a new connection: behind one Service URL to another
            // of its pods, as it may be.
            link.renew_after(&connections);
            self.choice(|choice| choice.bad(link_at));
            last = Some(error);
        }
        Err(last.unwrap_or_else(|| Error::config("no URL of a registry: give one such as http://eureka:8761/eureka")))
    }

    fn choice<T>(&self, act: impl FnOnce(&mut Choice) -> T) -> T {
        act(&mut self.choice.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Ask for Registry {
    fn ask(&self, call: Call) -> BoxFuture<'_, Result<Answer, Error>> {
        Box::pin(async move { self.send(&call).await })
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.urls()).finish()
    }
}
