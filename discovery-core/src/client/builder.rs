//! How a resolver is configured.

use std::{net::SocketAddr, sync::Arc};

use super::{
    context_cell::{ContextCell, Setup},
    resolver::Resolver,
};
#[cfg(feature = "kubernetes")]
use crate::source::kubernetes::KubernetesSourceBuilder;
use crate::{
    Error, clock,
    context::{Families, Settings},
    environment::Environment,
    name::{ClusterDomain, Namespace},
    policy::{LeastRequest, Policy},
    refresh::RefreshSettings,
    source::Source,
};

/// Configures a [`Resolver`]. What is set here wins over `DISCOVERY_*` variables, and these over what is
/// detected.
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

    /// Sees these environment instead of the process's own.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Sets the own namespace.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.explicit.namespace = Some(namespace);
        self
    }

    /// Sets the cluster's domain.
    pub fn cluster_domain(mut self, domain: ClusterDomain) -> Self {
        self.explicit.cluster_domain = Some(domain);
        self
    }

    /// Sets the nameservers, in the order of asking.
    pub fn nameservers(mut self, addrs: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.explicit.nameservers = Some(addrs.into_iter().collect());
        self
    }

    /// Sets the address families that are asked for. By default those that `POD_IPS` names, else those that
    /// the machine has a route for.
    pub fn families(mut self, families: Families) -> Self {
        self.explicit.families = Some(families);
        self
    }

    /// Adds a source of your own, asked after the environment variables and before DNS, in the order of
    /// adding.
    pub fn source(mut self, source: Arc<dyn Source>) -> Self {
        self.custom.push(source);
        self
    }

    /// Watches EndpointSlices, in a pod whose service account may: see [`kubernetes`](crate::source::kubernetes). Asked
    /// after the sources of your own and before DNS, which goes on where the Role is missing. The variables of Services
    /// are not read then, unless `DISCOVERY_SERVICE_ENV` is `on`: they would answer first, with the virtual address.
    /// Outside of a cluster (no `KUBERNETES_SERVICE_HOST`) it does nothing.
    #[cfg(feature = "kubernetes")]
    pub fn endpoint_slices(mut self) -> Self {
        self.endpoint_slices = true;
        self
    }

    /// Sets when sources are asked again and how long their answers are believed.
    pub fn refresh(mut self, settings: RefreshSettings) -> Self {
        self.refresh = Some(settings);
        self
    }

    /// Sets how an endpoint is picked; [`LeastRequest`] by default.
    pub fn policy(mut self, policy: impl Policy) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// Reads the environment and makes the resolver. Nothing is asked yet.
    ///
    /// # Errors
    /// [`Error::is_config`] when a variable, a setting or a file is malformed; the text names it.
    #[cfg_attr(not(feature = "kubernetes"), expect(unused_mut, reason = "only EndpointSlices add a source here"))]
    pub fn build(mut self) -> Result<Resolver, Error> {
        let environment = self.environment.unwrap_or_else(Environment::from_process);
        let vars = environment.env().iter().map(|(name, value)| (name.clone(), value.clone()));
        let settings = Settings::from_vars(vars)?;
        for name in &settings.unknown {
            tracing::warn!(%name, "no such setting; see the table of DISCOVERY_ variables");
        }
        let refresh = match self.refresh {
            Some(refresh) => refresh,
            None => refresh_settings(&settings)?,
        };
        #[cfg(feature = "kubernetes")]
        if self.endpoint_slices {
            let families = self.explicit.families.or(settings.families);
            if let Some(slices) = KubernetesSourceBuilder::in_cluster(&environment, families) {
                // DNS takes over before the last known set is dropped.
                let slices = slices.max_stale(refresh.max_stale().mul_f64(0.9)).build()?;
                self.custom.push(Arc::new(slices));
                // The kubelet's variables would answer before, with the virtual address.
                self.explicit.service_env = self.explicit.service_env.or(settings.service_env).or(Some(false));
            }
        }
        let setup = Setup {
            environment,
            settings,
            explicit: self.explicit,
            custom: self.custom,
            max_stale: refresh.max_stale(),
        };
        Ok(Resolver::assemble(ContextCell::new(setup, clock::now())?, refresh, self.policy))
    }
}

fn refresh_settings(settings: &Settings) -> Result<RefreshSettings, Error> {
    let mut refresh = RefreshSettings::default();
    if settings.min_refresh.is_some() || settings.max_refresh.is_some() {
        let min = settings.min_refresh.unwrap_or(refresh.min_refresh());
        // One bound alone moves the other one out of its way.
        let max = settings.max_refresh.unwrap_or(refresh.max_refresh().max(min));
        refresh = refresh.with_refresh(min.min(max), max)?;
    }
    if let Some(max) = settings.max_stale {
        refresh = refresh.with_max_stale(max);
    }
    if let Some(hold) = settings.removal_hold {
        refresh = refresh.with_removal_hold(hold);
    }
    Ok(refresh)
}
