//! The context in use and its sources, detected again when `resolv.conf` changes.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{address_filter::AddressFilter, builder::Setup};
use crate::{
    Error,
    context::Context,
    environment::Stamp,
    plan::Scope,
    source::{Evidence, Source, dns::ProbingDns},
};

/// The shortest time between two looks at `resolv.conf`.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Holds the current context, and replaces it when `resolv.conf` changes.
#[derive(Debug)]
pub(super) struct ContextCell {
    setup: Setup,
    current: Mutex<CurrentContext>,
}

#[derive(Debug)]
struct CurrentContext {
    context: Arc<SourceContext>,
    stamp: Stamp,
    checked_at: Instant,
}

impl ContextCell {
    pub(super) fn new(setup: Setup, now: Instant) -> Result<Self, Error> {
        let stamp = setup.resolv_conf_stamp();
        let context = Arc::new(setup.detect()?);
        Ok(Self { setup, current: Mutex::new(CurrentContext { context, stamp, checked_at: now }) })
    }

    /// Returns the current context. Reads the file's metadata at most once a second.
    pub(super) fn current(&self, now: Instant) -> Result<Arc<SourceContext>, Error> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(current.checked_at) >= CHECK_INTERVAL {
            current.checked_at = now;
            let stamp = self.setup.resolv_conf_stamp();
            if stamp != current.stamp {
                match self.setup.detect_again()? {
                    Some(context) => {
                        current.context = Arc::new(context);
                        tracing::info!("reloaded resolv.conf after a change");
                    }
                    None => {
                        tracing::warn!("resolv.conf is missing, empty or unreadable: what it said before stays in use")
                    }
                }
                current.stamp = stamp;
            }
        }
        Ok(current.context.clone())
    }
}

/// One context, and the sources that follow from it.
pub(super) struct SourceContext {
    context: Context,
    sources: Vec<Arc<dyn Source>>,
    dns: ProbingDns,
    filter: AddressFilter,
}

impl SourceContext {
    /// The context with its sources in order. DNS is the last of them.
    pub(super) fn new(
        context: Context,
        mut sources: Vec<Arc<dyn Source>>,
        dns: ProbingDns,
        filter: AddressFilter,
    ) -> Self {
        sources.push(Arc::new(dns.clone()));
        Self { context, sources, dns, filter }
    }

    pub(super) fn sources(&self) -> &[Arc<dyn Source>] {
        &self.sources
    }

    /// What refuses addresses, for all sources.
    pub(super) fn filter(&self) -> AddressFilter {
        self.filter
    }

    /// The own namespace and the cluster domain, as far as they are known without a query.
    pub(super) fn scope(&self) -> &Scope {
        &self.context.scope
    }

    /// Where the context comes from.
    pub(super) fn evidence(&self) -> Vec<Evidence> {
        self.context.origins.iter().cloned().chain(self.dns.evidence()).collect()
    }
}

impl fmt::Debug for SourceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceContext")
            .field("context", &self.context)
            .field("sources", &self.sources)
            .finish_non_exhaustive()
    }
}
