//! The source.

use std::sync::Arc;

use discovery_core::{
    plan::Plan,
    source::{Lookup, Source},
};

use super::{
    builder::EurekaSourceBuilder,
    endpoints::Question,
    feed::Feed,
    lookup::{EurekaLookup, Silence},
    memory::FetchCounts,
};
use crate::Instance;
use discovery_reqwest::Client;

/// A Eureka registry as a source of a resolver.
///
/// ```
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use discovery_core::Resolver;
/// use discovery_eureka::EurekaSource;
/// use discovery_reqwest::Client;
///
/// // One client finds the registry, by its Service; another one all that is registered.
/// let plain = Client::new(Resolver::new()?);
/// let eureka = EurekaSource::builder(&plain, "http://rates-eureka.rates.svc:8080/eureka").build()?;
/// let client = Client::new(Resolver::builder().source(Arc::new(eureka)).build()?);
///
/// let response = client.get("http://rates/eur").send().await?;
/// # drop(response);
/// # Ok(())
/// # }
/// ```
///
/// Cheap to clone; clones share what they fetch. It is fetched as long as some name is asked for.
#[derive(Clone, Debug)]
pub struct EurekaSource {
    feed: Arc<Feed>,
    zone: Option<String>,
}

impl EurekaSource {
    /// Configures a source that asks the registry at `url`, the base that `apps` is appended to; several have commas between
    /// them. Its host is resolved through the client's resolver: not the one that this source is for.
    pub fn builder(client: &Client, url: impl Into<String>) -> EurekaSourceBuilder {
        EurekaSourceBuilder::new(client.clone(), url.into())
    }

    pub(super) fn assemble(feed: Feed, zone: Option<String>) -> Self {
        Self { feed: Arc::new(feed), zone }
    }

    /// The instances of a VIP, or else of an application, as they were fetched last, whatever their status; with their
    /// metadata. It asks nobody: some name has to be in use.
    #[must_use]
    pub fn instances(&self, name: &str) -> Vec<Instance> {
        let memory = self.feed.memory();
        let named = memory.applications().map(|all| all.named(name, true)).unwrap_or_default();
        named.into_iter().cloned().collect()
    }

    /// How often the registry was fetched, and how that went.
    #[must_use]
    pub fn counts(&self) -> FetchCounts {
        self.feed.memory().counts
    }
}

impl Source for EurekaSource {
    fn name(&self) -> &'static str {
        "eureka"
    }

    /// The registry knows the name, and that none of its instances takes traffic: an operator may have wanted it so.
    fn empty_is_final(&self) -> bool {
        true
    }

    fn open(&self, plan: &Plan) -> Box<dyn Lookup> {
        let question = Question::of(&plan.target).filter(|question| {
            // About others than the one that is fetched there is nothing to say.
            self.feed.vip().is_none_or(|vip| vip.eq_ignore_ascii_case(&question.name))
        });
        match question {
            Some(question) => Box::new(EurekaLookup::new(self.feed.read(), &plan.target, question, self.zone.clone())),
            None => Box::new(Silence),
        }
    }
}
