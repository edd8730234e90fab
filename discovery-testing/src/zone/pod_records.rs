/// How names such as `10-1-2-3.<namespace>.pod.<domain>` are answered (CoreDNS option `pods`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PodRecords {
    /// NXDOMAIN: the default of CoreDNS.
    #[default]
    Disabled,
    /// Any address is echoed, whether such a pod exists or not: what kubeadm sets.
    Insecure,
    /// Only addresses of declared pods of that namespace.
    Verified,
}
