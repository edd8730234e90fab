//! The configuration of a resolver.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use super::{
    address_filter::AddressFilter,
    context_cell::{ContextCell, SourceContext},
    resolver::Resolver,
};
#[cfg(feature = "kubernetes")]
use crate::source::kubernetes::KubernetesSourceBuilder;
use crate::{
    Error, clock,
    context::{Context, Families, Inputs, ResolvConf, Settings},
    environment::{Environment, Stamp, interface_index},
    name::{ClusterDomain, Namespace},
    policy::{LeastRequest, Policy},
    refresh::RefreshSettings,
    source::{
        Source,
        dns::{DnsConfig, ProbingDns},
        env::EnvSource,
        fixed::FixedSource,
        hosts::Hosts,
        overrides::{Overrides, OverridesFile, OverridesSource},
        routes,
    },
};

/// Configures a [`Resolver`]. A setting made here overrides its `DISCOVERY_*` variable, and the variable overrides
/// what is detected.
#[derive(Debug)]
#[must_use = "call `build`"]
pub struct ResolverBuilder {
    environment: Option<Environment>,
    explicit: Settings,
    custom: Vec<Arc<dyn Source>>,
    #[cfg(feature = "kubernetes")]
    endpoint_slices: bool,
    refresh: Option<RefreshSettings>,
    policy: Arc<dyn Policy>,
}

impl ResolverBuilder {
    pub(super) fn new() -> Self {
        Self {
            environment: None,
            explicit: Settings::default(),
            custom: Vec::new(),
            #[cfg(feature = "kubernetes")]
            endpoint_slices: false,
            refresh: None,
            policy: Arc::new(LeastRequest::new()),
        }
    }

    /// Uses `environment` instead of the variables and files of this process.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Sets the own namespace.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.explicit.namespace = Some(namespace);
        self
    }

    /// Sets the cluster domain.
    pub fn cluster_domain(mut self, domain: ClusterDomain) -> Self {
        self.explicit.cluster_domain = Some(domain);
        self
    }

    /// Sets the nameservers, in the order in which they are queried.
    pub fn nameservers(mut self, addrs: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.explicit.nameservers = Some(addrs.into_iter().collect());
        self
    }

    /// Sets the address families to query. The default is the families of the addresses in `POD_IPS`, or without that
    /// variable the families that the machine has a route for.
    pub fn families(mut self, families: Families) -> Self {
        self.explicit.families = Some(families);
        self
    }

    /// Lets no name fall through from the cluster to the internet: `orders.dev` is Service `orders` of namespace `dev`,
    /// or an error, although `.dev` is a top-level domain. A host is then written with the final dot, as in
    /// `api.example.com.`. Off by default.
    pub fn cluster_only(mut self, on: bool) -> Self {
        self.explicit.cluster_only = Some(on);
        self
    }

    /// Refuses private, loopback and link-local addresses from DNS for hosts, and from registries: a host on the
    /// internet cannot lead requests to machines inside (DNS rebinding). Off by default, because the hosts of a company
    /// are private.
    pub fn deny_private(mut self, on: bool) -> Self {
        self.explicit.deny_private = Some(on);
        self
    }

    /// Adds a source of your own. Such sources are queried after the environment variables and before DNS, in the order
    /// in which you add them.
    pub fn source(mut self, source: Arc<dyn Source>) -> Self {
        self.custom.push(source);
        self
    }

    /// Watches EndpointSlices, in a pod whose service account has the Role for it: see
    /// [`kubernetes`](crate::source::kubernetes).
    ///
    /// The source is queried after the sources of your own and before DNS; without the Role, DNS answers. The Service
    /// variables of the kubelet are ignored then, unless `DISCOVERY_SERVICE_ENV` is `on`: they would answer first, with
    /// the virtual address. Outside of a cluster (no `KUBERNETES_SERVICE_HOST`) this setting has no effect.
    #[cfg(feature = "kubernetes")]
    pub fn endpoint_slices(mut self) -> Self {
        self.endpoint_slices = true;
        self
    }

    /// Sets how often sources are queried, and how long their answers are used.
    pub fn refresh(mut self, settings: RefreshSettings) -> Self {
        self.refresh = Some(settings);
        self
    }

    /// Sets the load-balancing policy; the default is [`LeastRequest`].
    pub fn policy(mut self, policy: impl Policy) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// Reads the environment and creates the resolver. No source is queried yet.
    ///
    /// # Errors
    /// [`Error::is_config`] when a variable, a setting or a file is malformed; the text names it.
    #[cfg_attr(not(feature = "kubernetes"), expect(unused_mut, reason = "only EndpointSlices add a source here"))]
    pub fn build(mut self) -> Result<Resolver, Error> {
        let environment = self.environment.unwrap_or_else(Environment::from_process);
        let vars = environment.env().iter().map(|(name, value)| (name.clone(), value.clone()));
        let settings = Settings::from_vars_of(vars, &interface_index)?;
        for name in &settings.unknown {
            tracing::warn!(%name, "ignored an unknown DISCOVERY_ variable: check its spelling");
        }
        let refresh = match self.refresh {
            Some(refresh) => refresh,
            None => refresh_settings(&settings)?,
        };
        #[cfg(feature = "kubernetes")]
        if self.endpoint_slices {
            let families = self.explicit.families.or(settings.families);
            if let Some(slices) = KubernetesSourceBuilder::in_cluster(&environment, families) {
                // Expires before the resolver's own limit, so that DNS takes over before the last known set is dropped.
                let slices = slices.max_stale(refresh.max_stale().mul_f64(0.9)).build()?;
                self.custom.push(Arc::new(slices));
                // The kubelet's variables would answer first, with the virtual address.
                self.explicit.service_env = self.explicit.service_env.or(settings.service_env).or(Some(false));
            }
        }
        let setup = Setup {
            hosts: Arc::new(Hosts::new(environment.clone())),
            overrides: OverrideSettings::open(&settings)?,
            environment,
            settings,
            explicit: self.explicit,
            custom: self.custom,
            max_stale: refresh.max_stale(),
        };
        Ok(Resolver::from_parts(ContextCell::new(setup, clock::now())?, refresh, self.policy))
    }
}

fn refresh_settings(settings: &Settings) -> Result<RefreshSettings, Error> {
    let mut refresh = RefreshSettings::default();
    if settings.min_refresh.is_some() || settings.max_refresh.is_some() {
        let min = settings.min_refresh.unwrap_or(refresh.min_refresh());
        // If only one bound is set, the default of the other one gives way to it.
        let max = settings.max_refresh.unwrap_or(refresh.max_refresh().max(min));
        refresh = refresh.with_refresh(min.min(max), max)?;
    }
    if let Some(max) = settings.max_stale {
        refresh = refresh.with_max_stale(max);
    }
    if let Some(hold) = settings.removal_hold {
        refresh = refresh.with_removal_hold(hold);
    }
    if let Some(age) = settings.retain_for {
        let (endpoints, idle) = (refresh.retain_max(), refresh.retain_idle());
        refresh = refresh.with_retention(endpoints, age, idle);
    }
    Ok(refresh)
}

/// The overrides of the settings; `None` if there are none.
#[derive(Debug)]
struct OverrideSettings {
    variable: Arc<Overrides>,
    file: Option<Arc<OverridesFile>>,
}

impl OverrideSettings {
    fn open(settings: &Settings) -> Result<Option<Self>, Error> {
        if settings.overrides.is_none() && settings.overrides_file.is_none() {
            return Ok(None);
        }
        let text = settings.overrides.as_deref().unwrap_or_default();
        let variable = Overrides::parse(text)
            .map_err(|error| Error::config(format!("`DISCOVERY_OVERRIDES` is malformed: {error}")))?;
        let open = |path: &PathBuf| OverridesFile::open(path.clone(), clock::now()).map(Arc::new);
        let file = settings.overrides_file.as_ref().map(open).transpose()?;
        tracing::info!(variable = settings.overrides, file = ?settings.overrides_file, "overrides are in use");
        Ok(Some(Self { variable: Arc::new(variable), file }))
    }
}

/// Everything that the context and the sources are made from.
#[derive(Debug)]
pub(super) struct Setup {
    environment: Environment,
    hosts: Arc<Hosts>,
    overrides: Option<OverrideSettings>,
    /// The settings that `DISCOVERY_*` variables make.
    settings: Settings,
    /// The settings made in code.
    explicit: Settings,
    custom: Vec<Arc<dyn Source>>,
    max_stale: Duration,
}

impl Setup {
    /// Reads `resolv.conf` and the namespace file, and creates the sources.
    pub(super) fn detect(&self) -> Result<SourceContext, Error> {
        self.detect_with(self.environment.resolv_conf()?.as_deref())
    }

    /// As [`detect`](Self::detect), after a change; `None` if there is no `resolv.conf` or nothing in it but comments, as
    /// for a moment while a tool writes it, or if it cannot be read.
    pub(super) fn detect_again(&self) -> Result<Option<SourceContext>, Error> {
        let text = self.environment.resolv_conf().unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read resolv.conf again");
            None
        });
        let text = text.filter(|text| ResolvConf::has_entries(text));
        text.map(|text| self.detect_with(Some(&text))).transpose()
    }

    fn detect_with(&self, resolv_conf: Option<&str>) -> Result<SourceContext, Error> {
        let parse = |text| ResolvConf::parse_of(text, &interface_index);
        let resolv_conf = resolv_conf.map_or_else(ResolvConf::default, parse);
        for skipped in &resolv_conf.skipped {
            tracing::warn!(%skipped, "ignored an entry of resolv.conf");
        }
        let namespace = self.environment.namespace()?;
        let inputs = Inputs::new(self.environment.env(), namespace.as_deref(), &resolv_conf);
        let context = Context::detect(&self.explicit, &self.settings, &inputs)?;
        let dns = ProbingDns::new(&self.dns_config(&context), context.scope.clone(), self.hosts.clone());
        let mut sources: Vec<Arc<dyn Source>> = vec![Arc::new(FixedSource)];
        if let Some(OverrideSettings { variable, file }) = &self.overrides {
            let names = Arc::new(dns.clone());
            let source = OverridesSource::new(variable.clone(), file.clone(), context.scope.clone(), names);
            sources.push(Arc::new(source));
        }
        if self.explicit.service_env.or(self.settings.service_env).unwrap_or(true) {
            let vars = self.environment.env().iter().map(|(name, value)| (name.clone(), value.clone()));
            sources.push(Arc::new(EnvSource::new(vars, context.scope.clone(), Arc::new(dns.clone()))));
        }
        sources.extend(self.custom.iter().cloned());
        let deny_private = self.explicit.deny_private.or(self.settings.deny_private).unwrap_or(false);
        Ok(SourceContext::new(context, sources, dns, AddressFilter::new(deny_private)))
    }

    /// Differs from the last stamp when `resolv.conf` has changed.
    pub(super) fn resolv_conf_stamp(&self) -> Stamp {
        self.environment.resolv_conf_stamp()
    }

    fn dns_config(&self, context: &Context) -> DnsConfig {
        DnsConfig {
            nameservers: context.nameservers.clone(),
            timeout: context.options.timeout,
            attempts: context.options.attempts,
            in_flight: context.options.in_flight,
            tcp: context.options.tcp,
            families: context.families.unwrap_or_else(routes::families),
            max_stale: self.max_stale,
        }
    }
}
