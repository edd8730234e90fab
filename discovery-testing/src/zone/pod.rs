use std::net::IpAddr;

use crate::{ip::IntoIp, name::require_label};

/// A pod behind a [`Service`](crate::Service), as the DNS server sees it: addresses, host name, readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a Pod does nothing until it is given to a Service"]
pub struct Pod {
    ips: Vec<IpAddr>,
    hostname: Option<String>,
    ready: bool,
}

impl Pod {
    /// A ready pod with one address and no host name.
    ///
    /// # Panics
    ///
    /// If the text is not an IP address.
    #[track_caller]
    pub fn new(ip: impl IntoIp) -> Self {
        Self { ips: vec![ip.into_ip()], hostname: None, ready: true }
    }

    /// A further address, of the other family.
    ///
    /// # Panics
    ///
    /// If the text is not an IP address.
    #[track_caller]
    pub fn with_ip(mut self, ip: impl IntoIp) -> Self {
        self.ips.push(ip.into_ip());
        self
    }

    /// The pod's host name (`web-0` in a StatefulSet). Several pods may share one.
    ///
    /// # Panics
    ///
    /// If the name is not a DNS label.
    #[track_caller]
    pub fn hostname(mut self, hostname: &str) -> Self {
        self.hostname = Some(require_label("host name", hostname));
        self
    }

    /// Not ready, or terminating: DNS leaves it out.
    pub fn not_ready(mut self) -> Self {
        self.ready = false;
        self
    }

    /// The first address, which identifies the pod within its Service.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.ips[0]
    }

    pub(super) fn ips(&self) -> &[IpAddr] {
        &self.ips
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    pub(super) fn set_ready(&mut self, ready: bool) {
        self.ready = ready;
    }

    /// The label below the Service: host name, else the address with dashes
    /// (CoreDNS `endpointHostname`; a label must not end in a dash, so `fd00::` is `fd00--0`).
    pub(super) fn label(&self, ip: IpAddr) -> String {
        if let Some(hostname) = &self.hostname {
            return hostname.clone();
        }
        let mut label = ip.to_string().replace(['.', ':'], "-");
        if label.ends_with('-') {
            label.push('0');
        }
        label
    }
}
