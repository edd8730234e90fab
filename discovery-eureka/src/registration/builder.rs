//! What the application says of itself.

mod prepare;

use std::{collections::BTreeMap, fmt, future::Future, net::IpAddr, sync::Arc, time::Duration};

use tokio::sync::{mpsc, watch};

use super::{driver::Driver, handle::Registration, health::Health, machine::Machine};
use crate::wall::now;
use crate::{
    Error, IpFamily, Status,
    identity::{Choice, Environment, Variables},
    registry::Registry,
    seed,
    wall::Wall,
};
use discovery_reqwest::Client;

/// How often the lease is renewed: the arithmetic of a server's self-preservation counts on it (spring-cloud-netflix #373).
const RENEWAL: Duration = Duration::from_secs(30);

/// How long the lease holds without a renewal: the default of all clients. A server counts it twice (Netflix #1450).
const LEASE: Duration = Duration::from_secs(90);

/// Configures a [`Registration`]. The application's name and a port are all that is needed in a pod with the downward API.
#[must_use = "call `register`"]
pub struct RegistrationBuilder {
    client: Client,
    url: String,
    app: String,
    address: Choice,
    host_name: Option<String>,
    instance_id: Option<String>,
    port: Option<u16>,
    secure_port: Option<u16>,
    vip: Option<String>,
    secure_vip: Option<String>,
    home_page: String,
    status_page: Option<String>,
    health_check: Option<String>,
    metadata: BTreeMap<String, String>,
    renewal: Duration,
    lease: Duration,
    status: Status,
    health: Option<Health>,
    required: bool,
    env: Option<Variables>,
}

impl RegistrationBuilder {
    pub(super) fn new(client: Client, url: String, app: String) -> Self {
        Self {
            client,
            url,
            app,
            address: Choice::default(),
            host_name: None,
            instance_id: None,
            port: None,
            secure_port: None,
            vip: None,
            secure_vip: None,
            home_page: "/".to_owned(),
            status_page: None,
            health_check: None,
            metadata: BTreeMap::new(),
            renewal: RENEWAL,
            lease: LEASE,
            status: Status::Up,
            health: None,
            required: false,
            env: None,
        }
    }

    /// The port without TLS, of a listener that is bound already. 1 to 65535.
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// The port with TLS. 1 to 65535. Spring's clients prefer it.
    pub fn secure_port(mut self, port: u16) -> Self {
        self.secure_port = Some(port);
        self
    }

    /// Registers this address instead of one that is found: see [the module](crate#the-pods-address).
    pub fn ip(mut self, ip: IpAddr) -> Self {
        self.address.explicit = Some(ip);
        self
    }

    /// Which address of a pod with both families; IPv4 by default.
    pub fn family(mut self, family: IpFamily) -> Self {
        self.address.family = family;
        self
    }

    /// Registers the node's address where that is the pod's (`hostNetwork: true`).
    pub fn allow_host_network(mut self) -> Self {
        self.address.host_network = true;
        self
    }

    /// What other clients dial; the address by default, because a pod's name does not resolve.
    pub fn host_name(mut self, name: impl Into<String>) -> Self {
        self.host_name = Some(name.into());
        self
    }

    /// The id, which has to be unique in the whole registry; `POD_NAME:app:port:POD_UID` by default, with the address in
    /// place of what is not known. A pod of a StatefulSet comes back with the same name.
    pub fn instance_id(mut self, id: impl Into<String>) -> Self {
        self.instance_id = Some(id.into());
        self
    }

    /// The name that Spring's clients look the pod up by, or several with commas; the application's, in lower case, by default.
    pub fn vip(mut self, vip: impl Into<String>) -> Self {
        self.vip = Some(vip.into());
        self
    }

    /// The same for the port with TLS; as [`vip`](Self::vip) by default.
    pub fn secure_vip(mut self, vip: impl Into<String>) -> Self {
        self.secure_vip = Some(vip.into());
        self
    }

    /// The path of the home page; `/` by default.
    pub fn home_page(mut self, path: impl Into<String>) -> Self {
        self.home_page = path.into();
        self
    }

    /// The path of the status page; none by default.
    pub fn status_page(mut self, path: impl Into<String>) -> Self {
        self.status_page = Some(path.into());
        self
    }

    /// The path of the health check; none by default.
    pub fn health_check(mut self, path: impl Into<String>) -> Self {
        self.health_check = Some(path.into());
        self
    }

    /// Adds a piece of metadata. `kubernetes.namespace`, `kubernetes.pod` and `kubernetes.node` are there by themselves where
    /// the downward API tells them. Others ask for `management` by its name where `management.port` is set.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// The zone, `metadata.zone`. The downward API does not tell a node's zone in most clusters.
    pub fn zone(self, zone: impl Into<String>) -> Self {
        self.metadata("zone", zone)
    }

    /// How often the lease is renewed, and how long it holds; 30 s and 90 s by default, which the arithmetic of a server's
    /// self-preservation counts on. The registry is told whole seconds, rounded up.
    pub fn lease(mut self, renewal: Duration, lease: Duration) -> Self {
        self.renewal = renewal;
        self.lease = lease;
        self
    }

    /// The status to begin with; UP by default. STARTING is for a pod that wants to be seen before it takes traffic.
    pub fn status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// Asks this before each heartbeat; what it says is registered. DOWN where it panics or takes longer than 5 s. It is not
    /// asked while the status is STARTING or OUT_OF_SERVICE.
    pub fn health<F: Future<Output = Status> + Send + 'static>(
        mut self,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        self.health = Some(Health::new(check));
        self
    }

    /// Makes [`register`](Self::register) fail when the first attempt does. By default a pod starts without its registry, and
    /// is registered when that is there.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Takes these for the environment variables, and sees no files, instead of the process's own.
    pub fn env<N: Into<String>, V: Into<String>>(mut self, vars: impl IntoIterator<Item = (N, V)>) -> Self {
        self.env = Some(vars.into_iter().collect());
        self
    }

    /// Finds the pod's address and registers it: returns after the first attempt (16 s at most, with one URL), whatever has become of
    /// it, and goes on in the background.
    ///
    /// # Errors
    /// [`Error::is_config`] when a setting or a variable is wrong, or the address is not known; with
    /// [`required`](Self::required) also when the first attempt fails.
    ///
    /// # Cancel safety
    /// A future that is dropped before the first attempt is over deregisters what that may have registered.
    pub async fn register(self) -> Result<Registration, Error> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::config("no tokio runtime here: call this inside of one"));
        }
        let registry = Registry::new(&self.client, &self.url, seed())?;
        let environment = match &self.env {
            Some(variables) => Environment { variables: variables.clone(), ..Environment::default() },
            None => Environment::from_process(),
        };
        self.check()?;
        let ip = self.find_ip(&registry, &environment).await?;
        let record = self.record(ip, &environment.variables)?;
        let registry = registry.asking_from(&ip.to_string());
        let wall = Wall::new();
        let machine = Machine::new(record, self.status, now(), wall.now());
        let (id, app) = (machine.record.id.clone(), machine.record.app.clone());
        let (send, commands) = mpsc::unbounded_channel();
        let (told, mut state) = watch::channel(machine.state.clone());
        let driver = Driver { machine, registry: Arc::new(registry), health: self.health, wall, commands, told };
        tokio::spawn(driver.run());
        let registration = Registration { id, app, commands: send, state: state.clone() };
        let first = match state.wait_for(|state| state.requests > 0).await {
            Ok(state) => state.error.clone(),
            Err(_) => Some(Error::closed("the runtime has shut down")),
        };
        match first {
            Some(error) if self.required => Err(error),
            _ => Ok(registration),
        }
    }
}

impl fmt::Debug for RegistrationBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("RegistrationBuilder").field("app", &self.app).field("port", &self.port).finish_non_exhaustive()
    }
}
