//! The times of a balancer.

use std::time::Duration;

use discovery_core::policy::retry::REMOVED_SILENCE;

/// How long a call waits for an endpoint, unless set otherwise: callers do not notice the rolling restart of a single pod
/// or a name that is being created, and learn of an outage before they lose patience. linkerd's balancer waits 3 s too.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) endpoint_timeout: Duration,
    pub(super) removed_silence: Duration,
    /// The default port and the time limit of probes; `None`: unreachable endpoints are not probed.
    pub(super) probe: Option<(u16, Duration)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { endpoint_timeout: ENDPOINT_TIMEOUT, removed_silence: REMOVED_SILENCE, probe: None }
    }
}
