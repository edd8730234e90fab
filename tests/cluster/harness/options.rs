//! The options of a cluster.

/// The options of a cluster. The default has kube-proxy in nftables mode, one CoreDNS replica, and IPv4 only.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(super) proxy: ProxyMode,
    pub(super) dns_replicas: usize,
    pub(super) controllers: bool,
    pub(super) dual_stack: bool,
    pub(super) feature_gates: Vec<String>,
    pub(super) proxy_flags: &'static [&'static str],
}

/// The mode of kube-proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyMode {
    Nftables,
    Iptables,
    /// Without kube-proxy no virtual address works, so the pods' variables name the node's address of the API server.
    None,
}

impl Options {
    /// Sets the mode of kube-proxy.
    pub(crate) fn proxy(mut self, mode: ProxyMode) -> Self {
        self.proxy = mode;
        self
    }

    /// Passes more flags to kube-proxy.
    pub(crate) fn proxy_flags(mut self, flags: &'static [&'static str]) -> Self {
        self.proxy_flags = flags;
        self
    }

    /// Sets the number of CoreDNS pods behind 10.96.0.10: `coredns-0`, `coredns-1`, ...
    pub(crate) fn dns_replicas(mut self, replicas: usize) -> Self {
        self.dns_replicas = replicas;
        self
    }

    /// Gives Services and pods IPv6 addresses too.
    pub(crate) fn dual_stack(mut self) -> Self {
        self.dual_stack = true;
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            proxy: ProxyMode::Nftables,
            dns_replicas: 1,
            controllers: true,
            dual_stack: false,
            feature_gates: Vec::new(),
            proxy_flags: &[],
        }
    }
}
