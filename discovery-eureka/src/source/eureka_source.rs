//! The source and its builder.

use std::{fmt, sync::Arc, time::Duration};

use discovery_core::{
    plan::Plan,
    source::{Lookup, Source},
};
use discovery_reqwest::Client;

use super::{
    FetchSettings,
    cache::{FetchCounts, RegistryCache},
    feed::Feed,
    lookup::{self, LookupSettings},
    names::AcceptedNames,
};
use crate::{
    Error, Instance,
    model::InstanceFilter,
    registry::{Connections, RegistrySettings},
};

/// The interval between fetches: the Java client's `registryFetchIntervalSeconds`. A server's response cache is as old.
const FETCH_INTERVAL: Duration = Duration::from_secs(30);

/// The interval between full fetches while the hash matches: the hash only counts instances, and misses a change that
/// keeps the counts.
const FULL_FETCH_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// How long instances are kept after a registry lost them. They register again with their next heartbeat, within 30 s,
/// and a server's response cache is another 30 s old.
const MAX_STALE: Duration = Duration::from_secs(90);

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
/// // One client resolves the registry by its Service; the other one resolves what is registered there.
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
/// Cheap to clone; clones share one cache. The registry is fetched only while a name is in use.
#[derive(Clone, Debug)]
pub struct EurekaSource {
    feed: Arc<Feed>,
    settings: LookupSettings,
}

impl EurekaSource {
    /// Configures a source for the registry at `url`, the base that `apps` is appended to. Separate several URLs by
    /// commas. The host is resolved by the client's resolver, which must not be the resolver that uses this source.
    pub fn builder(client: &Client, url: impl Into<String>) -> EurekaSourceBuilder {
        Self::builder_for(RegistrySettings::of(client, url))
    }

    pub(crate) fn builder_for(registry: RegistrySettings) -> EurekaSourceBuilder {
        let settings = FetchSettings {
            fetch_interval: FETCH_INTERVAL,
            full_fetch_interval: FULL_FETCH_INTERVAL,
            max_stale: MAX_STALE,
            delta: true,
            max_instances: registry.limits().instances,
        };
        let filter = InstanceFilter::default();
        let names = AcceptedNames::default();
        EurekaSourceBuilder { registry, names, zone: None, prefer_ip_address: true, filter, settings }
    }

    /// Returns a source that uses only the instances that meet this condition as well; see
    /// [`EurekaSourceBuilder::matching`]. It shares the cache of this source, so that the registry is fetched once.
    ///
    /// ```
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// # use discovery_eureka::{Client, EurekaSource, Resolver};
    /// # let plain = Client::new(Resolver::new()?);
    /// use std::sync::Arc;
    ///
    /// let all = EurekaSource::builder(&plain, "http://rates-eureka.rates.svc:8080/eureka").build()?;
    /// let canary = all.matching(|instance| instance.metadata.get("track").is_some_and(|track| track == "canary"));
    /// let stable = Client::new(Resolver::builder().source(Arc::new(all)).build()?);
    /// let canary = Client::new(Resolver::builder().source(Arc::new(canary)).build()?);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn matching(&self, condition: impl Fn(&Instance) -> bool + Send + Sync + 'static) -> Self {
        let mut chosen = self.clone();
        chosen.settings.filter.add(condition);
        chosen
    }

    /// Returns the instances of an application, else of a VIP, from the latest fetch: with every status, and with their
    /// metadata. Sends no request, so a name has to be in use. Any name may be asked for, also one that the source does
    /// not answer; a VIP of several applications as in [`EurekaSourceBuilder::names`].
    #[must_use]
    pub fn instances(&self, name: &str) -> Vec<Instance> {
        let cache = self.feed.cache();
        let shared = self.settings.names.are_chosen();
        let named = cache.applications().map(|all| all.named(name, true, shared).instances).unwrap_or_default();
        named.into_iter().cloned().collect()
    }

    /// Returns how often the registry was fetched, and with what outcome.
    #[must_use]
    pub fn counts(&self) -> FetchCounts {
        self.feed.cache().counts()
    }
}

impl Source for EurekaSource {
    fn name(&self) -> &'static str {
        "eureka"
    }

    /// A known name without an instance that is UP does not fall through: an operator may have taken all of them out of
    /// service.
    fn empty_is_final(&self) -> bool {
        true
    }

    fn open(&self, plan: &Plan) -> Box<dyn Lookup> {
        lookup::open(&self.feed, &plan.target, &self.settings)
    }
}

/// Configures an [`EurekaSource`].
#[must_use = "call `build`"]
pub struct EurekaSourceBuilder {
    registry: RegistrySettings,
    names: AcceptedNames,
    zone: Option<String>,
    prefer_ip_address: bool,
    filter: InstanceFilter,
    settings: FetchSettings,
}

impl EurekaSourceBuilder {
    /// Fetches this VIP only, always in full. The source does not apply to other names. Write the VIP exactly as it is
    /// registered: a server compares it case-sensitively. It may have dots, without [`names`](Self::names).
    pub fn vip(mut self, vip: impl Into<String>) -> Self {
        self.names.vip = Some(vip.into());
        self
    }

    /// Sets which names the registry may answer, in place of the default: names of one label, such as `orders`.
    ///
    /// Every registrant chooses its names, and registries seldom authenticate. A registry that may answer
    /// `kubernetes.default.svc` or `api.example.com` gives every registrant the traffic to that name. Accept names with
    /// dots one by one, or by a suffix that is neither a namespace of the cluster nor a public domain. The condition
    /// gets the name in lower case; it must return at once. If it panics, the name is not accepted.
    ///
    /// The application of a name owns that name: a VIP of other applications does not change where it leads. By
    /// default, a VIP that several applications claim, none of which has that name, is a failure: known endpoints stay.
    /// With a condition, or with [`vip`](Self::vip), such a VIP leads to the instances of all of them. A warning names
    /// the applications.
    ///
    /// ```
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// # use discovery_eureka::{Client, EurekaSource, Resolver};
    /// # let plain = Client::new(Resolver::new()?);
    /// let source = EurekaSource::builder(&plain, "http://rates-eureka.rates.svc:8080/eureka")
    ///     .names(|name| !name.contains('.') || name.ends_with(".apps.internal"))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn names(mut self, condition: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.names.condition = Some(Arc::new(condition));
        self
    }

    /// Prefers instances of this zone (`metadata.zone`). The others are used when all of these have failed.
    pub fn zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Sets whether an instance is reached by its `ipAddr`, which is the default: pods register with their IP, and a
    /// pod's name does not resolve. An instance without a usable `ipAddr` is reached by its `hostName`.
    ///
    /// With `false`, the `hostName` comes first, as for Spring's clients: for instances whose `ipAddr` is an inner
    /// address, such as that of a container or of a machine behind NAT. An instance is then reached by its `ipAddr`
    /// only if it has no `hostName`, or if that does not exist. Host names are resolved by the resolver of the client
    /// that this source is built with, and kept up to date.
    pub fn prefer_ip_address(mut self, prefer: bool) -> Self {
        self.prefer_ip_address = prefer;
        self
    }

    /// Uses only instances whose metadata has this value under `key`, such as `("version", "2")`. Both are compared
    /// exactly. See [`matching`](Self::matching).
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.filter.add_metadata(key.into(), value.into());
        self
    }

    /// Uses only instances that meet this condition, such as those of a canary. Several conditions all have to be met.
    ///
    /// The condition is evaluated when the registry has changed, not for each request; it must return at once and depend
    /// on the instance alone. If it panics, the instance is left out. If no instance meets it, the application has no
    /// endpoints, as if all instances were down: requests do not fall back to the other instances, nor to DNS.
    pub fn matching(mut self, condition: impl Fn(&Instance) -> bool + Send + Sync + 'static) -> Self {
        self.filter.add(condition);
        self
    }

    /// Sets the interval between fetches, which is shortened by a jitter of up to a tenth; 30 s by default. Must be
    /// above 0.
    pub fn fetch_interval(mut self, interval: Duration) -> Self {
        self.settings.fetch_interval = interval;
        self
    }

    /// Sets the interval between full fetches while the hash matches; 5 min by default.
    pub fn full_fetch_interval(mut self, interval: Duration) -> Self {
        self.settings.full_fetch_interval = interval;
        self
    }

    /// Makes every fetch a full fetch.
    pub fn disable_delta(mut self) -> Self {
        self.settings.delta = false;
        self
    }

    /// Sets how long instances are kept after a registry lost more than half of them between two fetches; 90 s by
    /// default. Instances that register again are current at once. With 0, or without deltas (by
    /// [`disable_delta`](Self::disable_delta) or by the server's `disable-delta`), the loss takes effect immediately:
    /// without deltas, only a full fetch reports removals.
    pub fn max_stale(mut self, max_stale: Duration) -> Self {
        self.settings.max_stale = max_stale;
        self
    }

    /// Sets how many bytes of plain text a response of the registry may have; 64 MiB by default, which holds about
    /// 40 000 instances. Above 0. A larger response counts as a failed fetch, and the known instances stay.
    pub fn max_response_size(mut self, bytes: usize) -> Self {
        self.registry.set_max_response_size(bytes);
        self
    }

    /// Sets how many bytes of plain text a byte of gzip may become; 100 by default. Above 0. A response of up to 1 MiB
    /// of plain text may be compressed by any ratio.
    pub fn max_compression_ratio(mut self, ratio: u32) -> Self {
        self.registry.set_max_compression_ratio(ratio);
        self
    }

    /// Sets how many instances a registry may list; 200 000 by default. Above 0. They may have eight VIPs and metadata
    /// entries on average. A response with more counts as a failed fetch, and the known instances stay.
    pub fn max_instances(mut self, instances: usize) -> Self {
        self.registry.set_max_instances(instances);
        self
    }

    /// Builds the source. Sends no request.
    ///
    /// # Errors
    /// [`Error::is_config`] if the URL is invalid, or the fetch interval or a limit is 0.
    pub fn build(self) -> Result<EurekaSource, Error> {
        if self.settings.fetch_interval.is_zero() {
            return Err(Error::config("the fetch interval is 0: set one above 0; the default is 30 s"));
        }
        let registry = Connections::new(&self.registry)?;
        // A delta covers the whole registry, not a single VIP.
        let delta = self.settings.delta && self.names.vip.is_none();
        let max_instances = self.registry.limits().instances;
        let settings = FetchSettings { delta, max_instances, ..self.settings };
        let feed = Feed::new(Arc::new(registry), self.names.vip.clone(), RegistryCache::new(settings));
        let settings = LookupSettings {
            names: self.names,
            zone: self.zone,
            prefer_ip_address: self.prefer_ip_address,
            filter: self.filter,
            resolver: self.registry.client().resolver().clone(),
        };
        Ok(EurekaSource { feed: Arc::new(feed), settings })
    }
}

impl fmt::Debug for EurekaSourceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("EurekaSourceBuilder");
        shown.field("names", &self.names).field("zone", &self.zone).finish_non_exhaustive()
    }
}
