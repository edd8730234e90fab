//! The settings of a registration.

use std::{collections::BTreeMap, fmt, future::Future, net::IpAddr, sync::Arc, time::Duration};

use super::{
    RecordSettings,
    driver::{Behavior, HealthCheck},
    handle::Registration,
};
use crate::{
    Error, IpFamily, Status,
    identity::{AddressPreference, PodEnvironment},
    registry::{Connections, RegistrySettings},
};

/// The heartbeat interval, on which a server's self-preservation relies (spring-cloud-netflix #373).
const RENEWAL: Duration = Duration::from_secs(30);

/// How long the lease lasts without a heartbeat: the default of all clients. A server doubles it (Netflix #1450).
const LEASE: Duration = Duration::from_secs(90);

/// How long the registry's name may take to resolve, if only the route to the registry shows the pod's address.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(3);

/// Configures a [`Registration`]. In a pod with the downward API, the application's name and a port are enough.
#[must_use = "call `register`"]
pub struct RegistrationBuilder {
    registry: RegistrySettings,
    record: RecordSettings,
    ip: Option<IpAddr>,
    family: IpFamily,
    host_network: bool,
    status: Status,
    health: Option<HealthCheck>,
    unregister: bool,
    required: bool,
    environment: Option<PodEnvironment>,
}

impl RegistrationBuilder {
    pub(super) fn new(registry: RegistrySettings, app: String) -> Self {
        let record = RecordSettings {
            app,
            host_name: None,
            instance_id: None,
            port: None,
            secure_port: None,
            vip: None,
            secure_vip: None,
            home_page: "/".to_owned(),
            status_page: None,
            health_check: None,
            secure_health_check: None,
            metadata: BTreeMap::new(),
            renewal: RENEWAL,
            lease: LEASE,
        };
        Self {
            registry,
            record,
            ip: None,
            family: IpFamily::default(),
            host_network: false,
            status: Status::Up,
            health: None,
            unregister: true,
            required: false,
            environment: None,
        }
    }

    /// Sets the name of the application, in any case: letters, digits, `-`, `_` and `.`.
    pub fn app(mut self, app: impl Into<String>) -> Self {
        self.record.app = app.into();
        self
    }

    /// Sets the port without TLS: the port of a listener that is already bound. 1 to 65535.
    pub fn port(mut self, port: u16) -> Self {
        self.record.port = Some(port);
        self
    }

    /// Sets the port with TLS. 1 to 65535. Spring's clients prefer it.
    pub fn secure_port(mut self, port: u16) -> Self {
        self.record.secure_port = Some(port);
        self
    }

    /// Registers this address instead of the one that is found: see [the crate's docs](crate#the-pods-address).
    pub fn ip(mut self, ip: IpAddr) -> Self {
        self.ip = Some(ip);
        self
    }

    /// Sets which address of a dual-stack pod is registered; IPv4 by default.
    pub fn family(mut self, family: IpFamily) -> Self {
        self.family = family;
        self
    }

    /// Allows the node's address, for a pod on the host network (`hostNetwork: true`).
    pub fn allow_host_network(mut self) -> Self {
        self.host_network = true;
        self
    }

    /// Sets the host that other clients connect to: a name or an address, without a port. The address by default,
    /// because a pod's name does not resolve.
    pub fn host_name(mut self, name: impl Into<String>) -> Self {
        self.record.host_name = Some(name.into());
        self
    }

    /// Sets the instance id, which has to be unique in the whole registry. `POD_NAME:app:port:POD_UID` by default, with
    /// the address in place of an unset variable. The name alone is not enough: a StatefulSet reuses its pods' names.
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        self.record.instance_id = Some(id.into());
        self
    }

    /// Sets the VIP by which Spring's clients find the pod; several are separated by commas. The application's name in
    /// lower case by default.
    pub fn vip(mut self, vip: impl Into<String>) -> Self {
        self.record.vip = Some(vip.into());
        self
    }

    /// Sets the VIP of the port with TLS; the same as [`vip`](Self::vip) by default.
    pub fn secure_vip(mut self, vip: impl Into<String>) -> Self {
        self.record.secure_vip = Some(vip.into());
        self
    }

    /// Sets the home page: a path, or an absolute URL; `/` by default.
    pub fn home_page(mut self, path: impl Into<String>) -> Self {
        self.record.home_page = path.into();
        self
    }

    /// Sets the status page: a path, or an absolute URL; none by default.
    pub fn status_page(mut self, path: impl Into<String>) -> Self {
        self.record.status_page = Some(path.into());
        self
    }

    /// Sets the health check that other systems call: a path, or an absolute URL, such as one of a management port;
    /// none by default. An absolute `https` URL is registered as `secureHealthCheckUrl`.
    pub fn health_check(mut self, path: impl Into<String>) -> Self {
        self.record.health_check = Some(path.into());
        self
    }

    /// Sets the health check of the TLS port: a path, or an absolute URL; by default the path of
    /// [`health_check`](Self::health_check), if a port with TLS is set. It is registered as `secureHealthCheckUrl`.
    pub fn secure_health_check(mut self, path: impl Into<String>) -> Self {
        self.record.secure_health_check = Some(path.into());
        self
    }

    /// Adds a metadata entry. `kubernetes.namespace`, `kubernetes.pod` and `kubernetes.node` are added from the
    /// downward API. With `management.port` set, other applications can ask for the port `management`.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.record.metadata.insert(key.into(), value.into());
        self
    }

    /// Sets the zone, `metadata.zone`. In most clusters the downward API does not provide the node's zone.
    pub fn zone(self, zone: impl Into<String>) -> Self {
        self.metadata("zone", zone)
    }

    /// Sets the heartbeat interval and the duration of the lease; 30 s and 90 s by default. A server's
    /// self-preservation relies on these defaults. The registry receives whole seconds, rounded up.
    pub fn lease(mut self, renewal: Duration, lease: Duration) -> Self {
        self.record.renewal = renewal;
        self.record.lease = lease;
        self
    }

    /// Sets the initial status; UP by default. Use STARTING to appear in the registry before the pod is ready for
    /// traffic.
    pub fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// Runs this check before each heartbeat and registers the status that it returns. The status is DOWN if the check
    /// panics or takes longer than 5 s; [`Status::Unknown`] changes nothing.
    ///
    /// The check does not run while the application keeps the status at STARTING or OUT_OF_SERVICE, by
    /// [`status`](Self::status) or [`Registration::set_status`]. A status that the check itself returned never stops
    /// it. While the registry has not accepted the record, the check runs once per heartbeat interval.
    pub fn health<F: Future<Output = Status> + Send + 'static>(
        mut self,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        self.health = Some(HealthCheck::new(check));
        self
    }

    /// Sets whether the pod is deregistered when the registration ends, by [`Registration::shutdown`] or when it is
    /// dropped; it is by default.
    ///
    /// With `false`, as with Spring's `eureka.client.should-unregister-on-shutdown`, nothing is sent then: the record
    /// stays in the registry, with its last status, until the lease expires. Use it where another process takes over the
    /// same instance id, or where a registry must not forget an instance that restarts in place.
    pub fn unregister_on_shutdown(mut self, unregister: bool) -> Self {
        self.unregister = unregister;
        self
    }

    /// Makes [`register`](Self::register) fail if the first attempt fails. By default the pod starts without its
    /// registry, and is registered once the registry responds.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Uses these environment variables, and no files, instead of those of the process.
    pub fn env<N: Into<String>, V: Into<String>>(mut self, vars: impl IntoIterator<Item = (N, V)>) -> Self {
        self.environment = Some(vars.into_iter().collect());
        self
    }

    /// Uses this environment: variables and files.
    pub(crate) fn environment(mut self, environment: PodEnvironment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// Finds the pod's address and registers it. Returns after the first attempt, successful or not, and
    /// continues in the background. With one URL and the default timeouts, that takes 16 s at most.
    ///
    /// # Errors
    /// [`Error::is_config`] if a setting or variable is invalid, or the address is not found. With
    /// [`required`](Self::required), also if the first attempt fails.
    ///
    /// # Cancel safety
    /// Dropping the future before the first attempt is over deregisters the pod.
    pub async fn register(self) -> Result<Registration, Error> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::config("`register` must be called from within a Tokio runtime"));
        }
        let registry = Connections::new(&self.registry)?;
        let environment = self.environment.clone().unwrap_or_else(PodEnvironment::from_process);
        self.check()?;
        let ip = self.find_ip(&registry, &environment).await?;
        let record = self.record.into_record(ip, &environment)?;
        let registry = Arc::new(registry.sending_from(&ip.to_string()));
        let behavior = Behavior::new(self.health, self.unregister);
        let registration = Registration::start(record, self.status, registry, behavior);
        match registration.first_attempt().await {
            Err(error) if self.required => Err(error),
            _ => Ok(registration),
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.record.check()?;
        if self.status == Status::Unknown {
            return Err(Error::config(
                "invalid initial status UNKNOWN: a registry rejects its heartbeats; \
                 use UP, STARTING, DOWN or OUT_OF_SERVICE",
            ));
        }
        let renewal = self.record.renewal;
        if renewal != RENEWAL {
            tracing::warn!(?renewal, "heartbeat interval is not 30 s, on which a server's self-preservation relies");
        }
        Ok(())
    }

    async fn find_ip(&self, registry: &Connections, environment: &PodEnvironment) -> Result<IpAddr, Error> {
        let preference = AddressPreference::new(self.ip, self.family, self.host_network);
        if let Some(ip) = preference.configured(environment)? {
            return Ok(ip);
        }
        let mut addrs = Vec::new();
        for origin in registry.origins() {
            let port = origin.port_or_known_default().unwrap_or(80);
            let Ok(upstream) = self.registry.client().resolver().upstream(origin) else { continue };
            // A name that does not resolve in time is skipped: another route may do.
            let _ = tokio::time::timeout(RESOLVE_TIMEOUT, upstream.first_answer()).await;
            addrs.extend(upstream.endpoints().iter().flat_map(|e| e.addrs().collect::<Vec<_>>()).map(|mut addr| {
                if addr.port() == 0 {
                    addr.set_port(port);
                }
                addr
            }));
        }
        preference.probe(environment, &addrs)
    }
}

impl fmt::Debug for RegistrationBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RecordSettings { app, port, .. } = &self.record;
        f.debug_struct("RegistrationBuilder").field("app", app).field("port", port).finish_non_exhaustive()
    }
}
