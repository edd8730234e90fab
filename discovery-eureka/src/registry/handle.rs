//! The public registry.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use discovery_reqwest::Client;
use http::{Response, StatusCode};

use super::{Call, Connections, RegistryBuilder, RegistrySettings, Transport as _, off_thread};
use crate::{
    Application, Error, EurekaSource, EurekaSourceBuilder, Instance, Registration, RegistrationBuilder,
    model::{self, Applications, ReadError},
};

/// A Eureka registry: how it is reached, and what is registered there.
///
/// [`registration`](Self::registration) and [`source`](Self::source) use its URLs, token and timeouts. The other methods
/// send one request each, for tools and diagnostics: to call an application, resolve it through an [`EurekaSource`],
/// which keeps what it fetched.
///
/// ```
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use discovery_core::Resolver;
/// use discovery_eureka::Registry;
/// use discovery_reqwest::Client;
///
/// let client = Client::new(Resolver::new()?);
/// let registry = Registry::builder(&client, "https://rates-eureka.rates.svc:8443/eureka")
///     .bearer_token(|| tokio::fs::read_to_string("/var/run/secrets/tokens/eureka"))
///     .build()?;
/// for application in registry.applications().await? {
///     println!("{}: {} instances", application.name, application.instances.len());
/// }
/// for instance in registry.instances("orders").await? {
///     println!("{} is {}, {:?}", instance.id, instance.status, instance.lease);
/// }
/// # Ok(())
/// # }
/// ```
///
/// Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Registry {
    settings: RegistrySettings,
    connections: Arc<Connections>,
}

impl Registry {
    /// Configures the registry at `url`, the base that `apps` is appended to. Separate several URLs by commas. The host
    /// is resolved by the client's resolver.
    pub fn builder(client: &Client, url: impl Into<String>) -> RegistryBuilder {
        RegistryBuilder::new(client, url.into())
    }

    pub(super) fn from_parts(settings: RegistrySettings, connections: Connections) -> Self {
        Self { settings, connections: Arc::new(connections) }
    }

    /// Configures the registration of this pod as an instance of `app`.
    pub fn registration(&self, app: impl Into<String>) -> RegistrationBuilder {
        Registration::builder_for(self.settings.clone(), app.into())
    }

    /// Configures a source of a resolver. That resolver must not be the one that resolves the registry's host.
    pub fn source(&self) -> EurekaSourceBuilder {
        EurekaSource::builder_for(self.settings.clone())
    }

    /// Fetches all applications with all their instances, of every status, ordered by name and id.
    ///
    /// A server responds from a cache, which is up to 30 s old by default.
    ///
    /// # Errors
    /// If no URL responds ([`Error::is_unreachable`]), or a registry refuses the request or responds with something else
    /// than a list of applications.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn applications(&self) -> Result<Vec<Application>, Error> {
        let page = self.read(Call::FetchAll, model::applications).await?;
        Ok(Applications::from_page(page.unwrap_or_default()).into_list())
    }

    /// Fetches all instances of one application, of every status, ordered by id; none if the registry does not know the
    /// application. Case does not matter.
    ///
    /// A server responds from a cache, which is up to 30 s old by default; it also remembers for that time that it does
    /// not know an application.
    ///
    /// # Errors
    /// As [`applications`](Self::applications), and [`Error::is_config`] if `app` is not the name of an application.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn instances(&self, app: &str) -> Result<Vec<Instance>, Error> {
        let call = Call::FetchApp(addressable("application", app)?.to_uppercase());
        let page = self.read(call, model::application).await?;
        let applications = Applications::from_page(page.unwrap_or_default()).into_list();
        Ok(applications.into_iter().flat_map(|application| application.instances).collect())
    }

    /// Fetches one instance, past the server's cache; `None` if the registry does not know it.
    ///
    /// # Errors
    /// As [`instances`](Self::instances), also if `id` cannot be addressed.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn instance(&self, app: &str, id: &str) -> Result<Option<Instance>, Error> {
        let app = addressable("application", app)?.to_uppercase();
        let id = addressable("instance id", id)?.to_owned();
        self.read(Call::FetchInstance { app, id }, |body, _| model::instance(body)).await
    }

    /// Sends a call and reads the body; `None` if the registry does not know the resource (404).
    async fn read<T: Send + 'static>(
        &self,
        call: Call,
        read: impl FnOnce(&[u8], usize) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<Option<T>, Error> {
        let response: Response<Bytes> = self.connections.send(call.clone()).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let (parts, body) = response.into_parts();
        let max = self.settings.limits().instances;
        match off_thread(body.len(), move || read(&body, max)).await? {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(call.not_understood(&parts, error)),
        }
    }
}

/// Accepts a text that can be one segment of a path.
fn addressable<'a>(what: &str, text: &'a str) -> Result<&'a str, Error> {
    let text = text.trim();
    if text.is_empty() || matches!(text, "." | "..") || text.contains('/') {
        return Err(Error::config(format!(
            "invalid {what} `{text}`: a registry cannot address it; pass it as registered"
        )));
    }
    Ok(text)
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(&self.connections).finish()
    }
}
