//! What a sync has led to.

use std::sync::Arc;

use super::{ServicePortName, Snapshot, StaleFlows, program::Replaced};

/// What a sync has led to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Changes {
    /// What readers should see from here on.
    pub snapshot: Arc<Snapshot>,
    /// Whether it differs from what they have seen; if not, it is the same as before.
    pub published: bool,
    /// The ports of Services that came, went, or lead elsewhere.
    pub touched: Vec<ServicePortName>,
    /// UDP flows to forget.
    pub stale_flows: StaleFlows,
}

impl Changes {
    pub(super) fn new(snapshot: Arc<Snapshot>) -> Self {
        Self { snapshot, published: false, touched: Vec::new(), stale_flows: StaleFlows::default() }
    }

    /// Notes what has become of the ports of one Service.
    pub(super) fn add(&mut self, replaced: &[Replaced]) {
        if replaced.is_empty() {
            return;
        }
        let old = replaced.iter().filter_map(|replaced| replaced.old.as_deref());
        let new = replaced.iter().filter_map(|replaced| replaced.new.as_deref());
        self.published = true;
        self.touched.extend(replaced.iter().filter_map(Replaced::name).cloned());
        self.stale_flows.add(old, new);
    }
}
