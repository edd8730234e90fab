//! Declarations: objects of the cluster, names outside the cluster, and settings of the server.

use std::collections::BTreeMap;

use super::FakeDns;
use crate::{
    ip::IntoIp,
    kubelet,
    name::{DnsName, require_label},
    zone::{Data, Glue, Order, Pod, Service, Zone},
};

/// Objects of the cluster.
impl FakeDns {
    /// Declares a Service, and replaces one of the same name. Its namespace exists from then on.
    ///
    /// # Panics
    ///
    /// If a pod sets a port that the Service does not have: see [`Pod::port`].
    #[track_caller]
    pub fn apply(&self, service: Service) {
        service.require_ports();
        self.zone(|zone| zone.apply(service));
    }

    /// Deletes a Service; returns false if it does not exist. The namespace stays.
    pub fn remove(&self, namespace: &str, name: &str) -> bool {
        self.zone(|zone| zone.remove(namespace, name))
    }

    /// Declares a namespace, with or without Services.
    ///
    /// # Panics
    ///
    /// If `namespace` is not a DNS label.
    #[track_caller]
    pub fn namespace(&self, namespace: &str) {
        let namespace = require_label("namespace", namespace);
        self.zone(|zone| zone.add_namespace(namespace));
    }

    /// Deletes a namespace and its Services; returns false if it does not exist.
    pub fn remove_namespace(&self, namespace: &str) -> bool {
        self.zone(|zone| zone.remove_namespace(namespace))
    }

    /// Adds a pod to a declared Service, and replaces one with the same first address.
    ///
    /// # Panics
    ///
    /// If the Service is not declared, or does not have a port that the pod sets: see [`Pod::port`].
    #[track_caller]
    pub fn add_pod(&self, namespace: &str, name: &str, pod: Pod) {
        let known = self.service(namespace, name, |service| {
            service.add_pod(pod);
            service.clone()
        });
        let Some(changed) = known else {
            panic!("Service {name:?} is not declared in namespace {namespace:?}");
        };
        // Panics here and not under the lock, so that the server keeps answering.
        changed.require_ports();
    }

    /// Removes the pod with this first address; returns false if the pod or Service does not exist.
    ///
    /// # Panics
    ///
    /// If the text is not an IP address.
    #[track_caller]
    pub fn remove_pod(&self, namespace: &str, name: &str, ip: impl IntoIp) -> bool {
        let ip = ip.into_ip();
        self.service(namespace, name, |service| service.remove_pod(ip)).unwrap_or(false)
    }

    /// Makes the pod with this first address ready or not ready; returns false if the pod or Service does not exist.
    ///
    /// # Panics
    ///
    /// If the text is not an IP address.
    #[track_caller]
    pub fn set_ready(&self, namespace: &str, name: &str, ip: impl IntoIp, ready: bool) -> bool {
        let ip = ip.into_ip();
        self.service(namespace, name, |service| service.set_ready(ip, ready)).unwrap_or(false)
    }

    /// Makes a Service the one in front of this server, as `kube-dns` is in front of CoreDNS: the NS records of a zone name
    /// it, and `ns.dns.<domain>` has its addresses. For a headless Service these are the names and addresses of its pods.
    ///
    /// While the Service is not declared, or has no address, the server names itself `ns.dns.<domain>`, as CoreDNS does
    /// without such a Service (`plugin/kubernetes/ns.go`).
    ///
    /// ```
    /// use discovery_testing::{FakeDns, Service};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let dns = FakeDns::start().await?;
    /// dns.apply(Service::cluster_ip("kube-system", "kube-dns").ip("10.96.0.10").udp_port("dns", 53));
    /// dns.fronted_by("kube-system", "kube-dns");
    /// // NS of cluster.local. is now kube-dns.kube-system.svc.cluster.local.
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If a name is not a DNS label.
    #[track_caller]
    pub fn fronted_by(&self, namespace: &str, name: &str) {
        let (namespace, name) = (require_label("namespace", namespace), require_label("Service name", name));
        self.zone(|zone| zone.set_front(&namespace, &name));
    }

    /// Returns the variables that a kubelet sets for the ClusterIP Services of a namespace (`ORDERS_SERVICE_HOST`,
    /// ...).
    ///
    /// ```
    /// use discovery_testing::{FakeDns, Service};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let dns = FakeDns::start().await?;
    /// dns.apply(Service::cluster_ip("shop", "my-orders").ip("10.0.0.1").port("http", 80));
    /// let env = dns.service_env("shop");
    /// assert_eq!(env["MY_ORDERS_SERVICE_HOST"], "10.0.0.1");
    /// assert_eq!(env["MY_ORDERS_SERVICE_PORT_HTTP"], "80");
    /// assert_eq!(env["MY_ORDERS_PORT"], "tcp://10.0.0.1:80");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn service_env(&self, namespace: &str) -> BTreeMap<String, String> {
        let state = self.shared.lock();
        kubelet::service_env(state.zone.services_in(namespace))
    }
}

/// Names that are not Services.
///
/// Names outside the cluster are answered like an upstream resolver would. A name inside the cluster domain is answered
/// as the `hosts` plugin of CoreDNS does, which comes before `kubernetes`: authoritative, also instead of a Service of that
/// name, and NODATA without an SOA for every type that is not declared. A wildcard inside the cluster domain answers the
/// names that are denied otherwise, as with the option `fallthrough` of `kubernetes`.
///
/// ```
/// use discovery_testing::FakeDns;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let dns = FakeDns::start().await?;
/// dns.record("db.example.com", "10.9.9.9");
/// dns.record("legacy.cluster.local", "10.9.9.10");
/// dns.cname("reports.shop.svc.cluster.local", "legacy.cluster.local");
/// dns.record("*.apps.cluster.local", "10.9.9.11");
/// # Ok(())
/// # }
/// ```
impl FakeDns {
    /// Declares an A or AAAA record. A name may have several. A first label of `*` is a wildcard.
    ///
    /// # Panics
    ///
    /// If the name is not a DNS name, or the text is not an IP address.
    #[track_caller]
    pub fn record(&self, name: &str, ip: impl IntoIp) {
        self.external(name, Data::from(ip.into_ip()));
    }

    /// Declares an alias.
    ///
    /// # Panics
    ///
    /// If `name` or `target` is not a DNS name.
    #[track_caller]
    pub fn cname(&self, name: &str, target: &str) {
        let target = DnsName::require("target", target);
        self.external(name, Data::Cname(target.as_str().to_owned()));
    }

    /// Declares an SRV record. A name may have several. The target `.` means that the service does not exist (RFC
    /// 2782).
    ///
    /// # Panics
    ///
    /// If `name` or `target` is not a DNS name.
    #[track_caller]
    pub fn srv(&self, name: &str, priority: u16, weight: u16, port: u16, target: &str) {
        let target = DnsName::require("target", target).as_str().to_owned();
        let data = Data::Srv { priority, weight, port, target };
        self.external(name, data);
    }

    /// Declares a TXT record.
    ///
    /// # Panics
    ///
    /// If the name is not a DNS name, or the text is longer than 255 octets.
    #[track_caller]
    pub fn txt(&self, name: &str, text: &str) {
        assert!(text.len() <= 255, "{text:?} is longer than 255 octets");
        self.external(name, Data::Txt(text.to_owned()));
    }

    /// Sets the TTL of all records of a declared name, in seconds. Without it they have the TTL of the zone.
    ///
    /// # Panics
    ///
    /// If the name is not a DNS name.
    #[track_caller]
    pub fn record_ttl(&self, name: &str, seconds: u32) {
        let name = DnsName::require("name", name);
        self.zone(|zone| zone.external.set_ttl(&name, seconds));
    }

    /// Removes all records of a name; returns false if it has no records.
    ///
    /// # Panics
    ///
    /// If the name is not a DNS name.
    #[track_caller]
    pub fn remove_record(&self, name: &str) -> bool {
        let name = DnsName::require("name", name);
        self.zone(|zone| zone.external.remove(&name))
    }

    /// Makes the upstream resolver unreachable, or reachable again. While it is unreachable, names outside the cluster
    /// answer SERVFAIL, and a Service that is an alias of one answers NODATA.
    pub fn upstream_down(&self, down: bool) {
        self.zone(|zone| zone.external.down = down);
    }

    #[track_caller]
    fn external(&self, name: &str, data: Data) {
        let name = DnsName::require("name", name);
        self.zone(|zone| zone.external.add(&name, data));
    }
}

/// Settings.
impl FakeDns {
    /// Sets the TTL of negative answers and of every record without one of its own, in seconds.
    pub fn set_ttl(&self, seconds: u32) {
        self.zone(|zone| zone.ttl = seconds);
    }

    /// Sets whether SRV answers carry the addresses of their targets: [`Glue::Full`] or [`Glue::None`].
    pub fn additional(&self, sent: bool) {
        self.glue(if sent { Glue::Full } else { Glue::None });
    }

    /// Sets the content of the Additional section of SRV answers.
    pub fn glue(&self, glue: Glue) {
        self.zone(|zone| zone.glue = glue);
    }

    /// Simulates a CoreDNS that has just started and has not synced with the API yet: names of the cluster and reverse
    /// names answer SERVFAIL instead of NXDOMAIN, with the SOA of their zone (CoreDNS `TestNotSyncedServeDNS`).
    pub fn not_synced(&self, not_synced: bool) {
        self.zone(|zone| zone.synced = !not_synced);
    }

    /// Shuffles the addresses of every later answer, as the `loadbalance` plugin does, from this seed.
    pub fn shuffle(&self, seed: u64) {
        self.shared.lock().order = Order::shuffled(seed);
    }

    /// Keeps the addresses of every later answer in the order of declaration.
    pub fn fixed_order(&self) {
        self.shared.lock().order = Order::fixed();
    }

    fn zone<T>(&self, change: impl FnOnce(&mut Zone) -> T) -> T {
        change(&mut self.shared.lock().zone)
    }

    fn service<T>(&self, namespace: &str, name: &str, change: impl FnOnce(&mut Service) -> T) -> Option<T> {
        self.zone(|zone| zone.service_mut(namespace, name).map(change))
    }
}
