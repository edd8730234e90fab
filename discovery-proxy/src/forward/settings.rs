//! The forwarder's limits and times, each with the reason for its default.

use std::time::Duration;

/// Limits and times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) max_connections: u32,
    pub(super) max_associations: u32,
    pub(super) connect_timeout: Duration,
    pub(super) udp_idle: Duration,
    pub(super) drop_timeout: Duration,
    pub(super) drain: Option<Duration>,
    pub(super) keepalive: Option<Duration>,
    pub(super) splice: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            // Two descriptors each; `fs.file-max` and `LimitNOFILE` of common systems leave room for that.
            max_connections: 65_536,
            // `nf_conntrack_max` of a node with 4 GiB.
            max_associations: 65_536,
            // Of the modes that dial once. The kernel itself goes on for two minutes; clients give up earlier.
            connect_timeout: Duration::from_secs(5),
            // kube-proxy's `--udp-timeout` was 250 ms, too short for a question that DNS asks its own upstream.
            // `nf_conntrack_udp_timeout` is 30 s, and it is what all later modes live by.
            udp_idle: Duration::from_secs(30),
            // Longer than most clients wait for a connection.
            drop_timeout: Duration::from_secs(30),
            // kube-proxy leaves established TCP alone.
            drain: None,
            // Go's, on each connection that it accepts: a client that has vanished is noticed after 150 s.
            keepalive: Some(Duration::from_secs(15)),
            splice: true,
        }
    }
}
