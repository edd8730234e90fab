//! The source.

use std::sync::Arc;

use super::{builder::KubernetesSourceBuilder, lookup::KubernetesLookup, watch::Registry};
use crate::{
    plan::{Families, Plan},
    source::{Lookup, Source},
};

/// Services and EndpointSlices, watched.
///
/// In a pod, [`ResolverBuilder::endpoint_slices`](crate::ResolverBuilder::endpoint_slices) is all that it takes. With
/// an API server somewhere else, build one and add it with [`ResolverBuilder::source`](crate::ResolverBuilder::source).
///
/// ```no_run
/// use std::sync::Arc;
///
/// use discovery_core::{Resolver, source::kubernetes::KubernetesSource};
///
/// let slices = KubernetesSource::builder("https://10.96.0.1:443")
///     .token_file("/var/run/secrets/kubernetes.io/serviceaccount/token")
///     .ca_file("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
///     .build()?;
/// let resolver = Resolver::builder().source(Arc::new(slices)).build()?;
/// # let _ = resolver;
/// # Ok::<(), discovery_core::Error>(())
/// ```
///
/// Cheap to clone; clones share their watches.
#[derive(Clone, Debug)]
pub struct KubernetesSource {
    registry: Arc<Registry>,
    families: Families,
}

impl KubernetesSource {
    /// Configures a source that asks the API server at `url`, such as `https://10.96.0.1:443`.
    pub fn builder(url: impl Into<String>) -> KubernetesSourceBuilder {
        KubernetesSourceBuilder::new(url.into())
    }

    pub(super) fn assemble(registry: Registry, families: Families) -> Self {
        Self { registry: Arc::new(registry), families }
    }
}

impl Source for KubernetesSource {
    fn name(&self) -> &'static str {
        "endpoint-slices"
    }

    /// It fails only where it has answered before, or never will: a missing Role and an API server that cannot be
    /// reached are silence.
    fn failure_is_final(&self) -> bool {
        true
    }

    /// DNS would answer with the virtual address, behind which there is nobody.
    fn empty_is_final(&self) -> bool {
        true
    }

    fn open(&self, plan: &Plan) -> Box<dyn Lookup> {
        Box::new(KubernetesLookup::new(self.registry.clone(), self.families, plan))
    }
}
