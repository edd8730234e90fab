//! The public settings.

use std::fmt;

use discovery_core::Environment;
use discovery_reqwest::Client;

use super::{client::ClientProperties, instance::InstanceProperties, variables::Variables};
use crate::{Error, EurekaSourceBuilder, RegistrationBuilder, Registry, RegistryBuilder, identity::PodEnvironment};

/// The settings of a Spring Cloud application, from the variables that set Spring's properties: a service that moves to
/// Rust keeps its manifest.
///
/// ```
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
///
/// use discovery_eureka::{Client, Environment, Resolver, SpringSettings};
///
/// let settings = SpringSettings::from_environment(&Environment::from_process())?;
/// let plain = Client::new(Resolver::new()?);
/// let registry = settings.registry(&plain).build()?;
///
/// let mut resolver = Resolver::builder();
/// if let Some(source) = settings.source(&registry) {
///     resolver = resolver.source(Arc::new(source.build()?));
/// }
/// let client = Client::new(resolver.build()?);
///
/// // What the code sets afterwards wins over the variables.
/// let registration = match settings.registration(&registry) {
///     Some(builder) => Some(builder.metadata("language", "rust").register().await?),
///     None => None, // EUREKA_CLIENT_REGISTER_WITH_EUREKA is false
/// };
/// # drop((client, registration));
/// # Ok(())
/// # }
/// ```
///
/// # Variables
///
/// Names are compared as by Spring Boot's relaxed binding: case, `_`, `-` and `.` do not count, so
/// `EUREKA_CLIENT_SERVICEURL_DEFAULTZONE`, `EUREKA_CLIENT_SERVICE_URL_DEFAULT_ZONE` and
/// `eureka.client.service-url.defaultZone` are the same. If several spellings are set, the one without dashes wins, which
/// Spring recommends.
///
#[doc = include_str!("variables.md")]
///
/// # What differs from Spring
///
/// * A pod registers with its address unless a host name is configured, because the name of a pod does not resolve.
/// * The port has no default: pass the listener's port to [`RegistrationBuilder::port`], or set `SERVER_PORT`.
/// * Without `EUREKA_INSTANCE_INSTANCE_ID`, the id also contains the pod's UID or address.
/// * Status page and health check have no default, since `/actuator` is Spring's. A check in code decides about the
///   status ([`RegistrationBuilder::health`]), whatever `EUREKA_CLIENT_HEALTHCHECK_ENABLED` says.
/// * Placeholders (`${...}`) are an error, and so are values of the wrong kind, also for a part that is switched off.
/// * Other properties below `eureka.client` and `eureka.instance`, such as regions, availability zones, proxies and thread
///   pools, are not read. [`unread`](Self::unread) returns the variables that set them, and one warning names them.
/// * Property files and the configuration server are not read.
#[derive(Clone)]
pub struct SpringSettings {
    client: ClientProperties,
    instance: InstanceProperties,
    environment: PodEnvironment,
    unread: Vec<String>,
}

impl SpringSettings {
    /// Reads and checks the variables.
    ///
    /// # Errors
    /// [`Error::is_config`] if a value is not what the property takes. The text names the variable, its value, the rule
    /// that it breaks, and a remedy. The value is left out for the URLs, which may contain a password.
    pub fn from_environment(environment: &Environment) -> Result<Self, Error> {
        let variables = Variables::new(environment.variables());
        let pod = PodEnvironment::with_hosts_file(environment);
        let client = ClientProperties::read(&variables, pod.is_pod())?;
        let instance = InstanceProperties::read(&variables, &pod)?;
        let unread = variables.unread();
        if !unread.is_empty() {
            tracing::warn!(?unread, "variables of Spring that have no effect");
        }
        Ok(Self { client, instance, environment: pod, unread })
    }

    /// Configures the registry: its URLs and timeouts. The client's resolver resolves the registry's host.
    pub fn registry(&self, client: &Client) -> RegistryBuilder {
        self.client.apply_to_registry(Registry::builder(client, self.client.urls()))
    }

    /// Configures the registration of this process; `None` if the variables switch it off. Without
    /// `SPRING_APPLICATION_NAME` and `EUREKA_INSTANCE_APPNAME`, pass the name to [`RegistrationBuilder::app`].
    #[must_use]
    pub fn registration(&self, registry: &Registry) -> Option<RegistrationBuilder> {
        self.client.registers().then(|| {
            let builder = registry.registration(self.instance.app().unwrap_or_default());
            self.instance.apply_to(builder.environment(self.environment.clone()))
        })
    }

    /// Configures the registry as a source of a resolver; `None` if the variables switch it off.
    #[must_use]
    pub fn source(&self, registry: &Registry) -> Option<EurekaSourceBuilder> {
        self.client.fetches().then(|| self.client.apply_to_source(registry.source()))
    }

    /// Returns the variables below `EUREKA_CLIENT_` and `EUREKA_INSTANCE_` that are set and have no effect, by name.
    #[must_use]
    pub fn unread(&self) -> &[String] {
        &self.unread
    }
}

/// Omits the values, which may contain a password.
impl fmt::Debug for SpringSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpringSettings")
            .field("app", &self.instance.app())
            .field("registers", &self.client.registers())
            .field("fetches", &self.client.fetches())
            .field("unread", &self.unread)
            .finish_non_exhaustive()
    }
}
