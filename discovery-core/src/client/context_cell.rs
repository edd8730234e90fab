//! Who and where we are, and the sources that follow from it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use super::{fixed::FixedSource, routes, surroundings::Surroundings};
use crate::{
    Error,
    context::{Context, Inputs, ResolvConf, Settings},
    name::{ClusterDomain, Target},
    plan::{Plan, Scope},
    source::{
        Evidence, Source, clock,
        dns::{DEFAULT_ATTEMPTS, DEFAULT_TIMEOUT, DnsConfig, DnsSource},
        env::EnvSource,
    },
};

/// How often at most `resolv.conf` is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a cluster domain that could not be found out is not asked for again.
const PROBE_AGAIN: Duration = Duration::from_secs(30);

/// Everything that decides where names are read and who is asked.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) surroundings: Surroundings,
    pub(super) settings: Settings,
    /// What was set in code.
    pub(super) explicit: Settings,
    pub(super) custom: Vec<Arc<dyn Source>>,
    pub(super) max_stale: Duration,
}

/// The current context; it is built anew when `resolv.conf` changes.
#[derive(Debug)]
pub(super) struct ContextCell {
    setup: Setup,
    state: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    generation: Arc<Generation>,
    stamp: Stamp,
    looked: Instant,
}

type Stamp = Option<(SystemTime, u64)>;

/// One context and its sources.
pub(super) struct Generation {
    context: Context,
    sources: Vec<Arc<dyn Source>>,
    dns: DnsSource,
    probe: tokio::sync::Mutex<Probe>,
    probed: Mutex<Option<Evidence>>,
}

#[derive(Debug, Default)]
struct Probe {
    domain: Option<ClusterDomain>,
    asked: Option<Instant>,
}

impl ContextCell {
    pub(super) fn new(setup: Setup, now: Instant) -> Result<Self, Error> {
        let stamp = setup.surroundings.resolv_conf_stamp();
        let generation = Arc::new(setup.generation()?);
        Ok(Self { setup, state: Mutex::new(Current { generation, stamp, looked: now }) })
    }

    /// The context as it is now. Looks at the file's metadata, at most once a second.
    pub(super) fn current(&self, now: Instant) -> Result<Arc<Generation>, Error> {
        let mut current = lock(&self.state);
        if now.saturating_duration_since(current.looked) >= LOOK_EVERY {
            current.looked = now;
            let stamp = self.setup.surroundings.resolv_conf_stamp();
            if stamp != current.stamp {
                current.generation = Arc::new(self.setup.generation()?);
                current.stamp = stamp;
                tracing::info!("resolv.conf has changed, it is read anew");
            }
        }
        Ok(current.generation.clone())
    }
}

impl Setup {
    fn generation(&self) -> Result<Generation, Error> {
        let resolv_conf = ResolvConf::parse(&self.surroundings.resolv_conf()?);
        for skipped in &resolv_conf.skipped {
            tracing::warn!(%skipped, "resolv.conf");
        }
        let namespace = self.surroundings.namespace()?;
        let inputs = Inputs::new(self.surroundings.env(), namespace.as_deref(), &resolv_conf);
        let context = Context::detect(&self.explicit, &self.settings, &inputs)?;
        let config = self.dns_config(&context);
        let dns = DnsSource::new(&config);
        let mut sources: Vec<Arc<dyn Source>> = vec![Arc::new(FixedSource)];
        if self.explicit.service_env.or(self.settings.service_env).unwrap_or(true) {
            let vars = self.surroundings.env().iter().map(|(name, value)| (name.clone(), value.clone()));
            sources.push(Arc::new(EnvSource::new(vars)));
        }
        sources.extend(self.custom.iter().cloned());
        sources.push(Arc::new(dns.clone()));
        Ok(Generation { context, sources, dns, probe: tokio::sync::Mutex::default(), probed: Mutex::default() })
    }

    fn dns_config(&self, context: &Context) -> DnsConfig {
        DnsConfig {
            nameservers: context.nameservers.clone(),
            timeout: context.options.timeout.unwrap_or(DEFAULT_TIMEOUT),
            attempts: context.options.attempts.unwrap_or(DEFAULT_ATTEMPTS),
            tcp: context.options.tcp,
            families: context.families.unwrap_or_else(routes::families),
            max_stale: self.max_stale,
        }
    }
}

impl Generation {
    pub(super) fn sources(&self) -> &[Arc<dyn Source>] {
        &self.sources
    }

    /// Those that are asked before DNS.
    pub(super) fn sources_before_dns(&self) -> &[Arc<dyn Source>] {
        self.sources.split_last().map_or(&[], |(_dns, before)| before)
    }

    /// Where names are read, as far as that is known without asking.
    pub(super) fn scope(&self) -> Scope {
        self.context.scope.clone()
    }

    /// Whether DNS would have to be asked for the cluster's domain first.
    pub(super) fn lacks_domain_for(&self, target: &Target) -> bool {
        let known = self.context.scope.cluster_domain.is_some() || self.context.nameservers.is_empty();
        !known && Plan::wants_cluster_domain(target)
    }

    /// The last resort: asks DNS for the cluster's domain. A failure is no answer: what depends on it is not known either.
    pub(super) async fn probed_domain(&self) -> Result<Option<ClusterDomain>, Error> {
        let mut probe = self.probe.lock().await;
        let fresh = probe.asked.is_some_and(|at| clock::now().saturating_duration_since(at) < PROBE_AGAIN);
        if probe.domain.is_none() && !fresh {
            let (domain, evidence) = self.dns.probe_cluster_domain().await;
            *lock(&self.probed) = Some(evidence);
            probe.domain = domain?;
            probe.asked = Some(clock::now());
        }
        Ok(probe.domain.clone())
    }

    /// Where the context comes from.
    pub(super) fn evidence(&self) -> Vec<Evidence> {
        let probed = lock(&self.probed).clone();
        self.context.origins.iter().cloned().chain(probed).collect()
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation").field("context", &self.context).field("sources", &self.sources).finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
