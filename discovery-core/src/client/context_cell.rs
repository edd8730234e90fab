//! Who and where we are, and the sources that follow from it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    Error,
    context::{Context, Inputs, ResolvConf, Settings},
    environment::{Environment, Stamp},
    plan::Scope,
    source::{
        Evidence, Source,
        dns::{DEFAULT_ATTEMPTS, DEFAULT_TIMEOUT, DnsConfig, DnsSource, ProbingDns},
        env::EnvSource,
        fixed::FixedSource,
        routes,
    },
};

/// How often at most `resolv.conf` is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Everything that decides where names are read and who is asked.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) environment: Environment,
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

/// One context and its sources.
pub(super) struct Generation {
    context: Context,
    sources: Vec<Arc<dyn Source>>,
    dns: ProbingDns,
}

impl ContextCell {
    pub(super) fn new(setup: Setup, now: Instant) -> Result<Self, Error> {
        let stamp = setup.environment.resolv_conf_stamp();
        let generation = Arc::new(setup.generation()?);
        Ok(Self { setup, state: Mutex::new(Current { generation, stamp, looked: now }) })
    }

    /// The context as it is now. Looks at the file's metadata, at most once a second.
    pub(super) fn current(&self, now: Instant) -> Result<Arc<Generation>, Error> {
        let mut current = lock(&self.state);
        if now.saturating_duration_since(current.looked) >= LOOK_EVERY {
            current.looked = now;
            let stamp = self.setup.environment.resolv_conf_stamp();
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
        let resolv_conf = ResolvConf::parse(&self.environment.resolv_conf()?);
        for skipped in &resolv_conf.skipped {
            tracing::warn!(%skipped, "resolv.conf");
        }
        let namespace = self.environment.namespace()?;
        let inputs = Inputs::new(self.environment.env(), namespace.as_deref(), &resolv_conf);
        let context = Context::detect(&self.explicit, &self.settings, &inputs)?;
        let config = self.dns_config(&context);
        let dns = ProbingDns::new(DnsSource::new(&config), context.scope.clone(), !config.nameservers.is_empty());
        let mut sources: Vec<Arc<dyn Source>> = vec![Arc::new(FixedSource)];
        if self.explicit.service_env.or(self.settings.service_env).unwrap_or(true) {
            let vars = self.environment.env().iter().map(|(name, value)| (name.clone(), value.clone()));
            sources.push(Arc::new(EnvSource::new(vars)));
        }
        sources.extend(self.custom.iter().cloned());
        sources.push(Arc::new(dns.clone()));
        Ok(Generation { context, sources, dns })
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

    /// Where names are read, as far as it is known without a question.
    pub(super) fn scope(&self) -> &Scope {
        &self.context.scope
    }

    /// Where the context comes from.
    pub(super) fn evidence(&self) -> Vec<Evidence> {
        self.context.origins.iter().cloned().chain(self.dns.evidence()).collect()
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
