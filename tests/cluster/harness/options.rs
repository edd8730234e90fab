//! What a cluster is made of.

/// How a cluster differs from the default: kube-proxy in its nftables mode, one CoreDNS, IPv4.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(super) proxy: ProxyMode,
    pub(super) dns_replicas: usize,
    pub(super) controllers: bool,
    pub(super) dual_stack: bool,
    pub(super) feature_gates: Vec<String>,
    pub(super) proxy_flags: &'static [&'static str],
}

/// What kube-proxy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyMode {
    /// Rules of nftables.
    Nftables,
    /// Rules of iptables.
    Iptables,
    /// There is no kube-proxy, so no virtual address works: pods are told the node's address of the API.
    None,
}

impl Options {
    /// The mode of kube-proxy.
    pub(crate) fn proxy(mut self, mode: ProxyMode) -> Self {
        self.proxy = mode;
        self
    }

    /// More flags of kube-proxy.
    pub(crate) fn proxy_flags(mut self, flags: &'static [&'static str]) -> Self {
        self.proxy_flags = flags;
        self
    }

    /// How many pods of CoreDNS there are behind 10.96.0.10: `coredns-0`, `coredns-1`, ...
    pub(crate) fn dns_replicas(mut self, replicas: usize) -> Self {
        self.dns_replicas = replicas;
        self
    }

    /// Services and pods may have IPv6 addresses too.
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
