//! The application's handle of a registration.

use std::{fmt, sync::Arc, time::Duration};

use discovery_reqwest::Client;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    RegistrationBuilder,
    driver::{Behavior, Command, Driver},
    events::RegistrationEvents,
    record::Record,
    state::RegistrationState,
};
use crate::{
    Error, Status,
    registry::{RegistrySettings, Transport},
};

/// The registration of this pod: kept alive by heartbeats, and ended by [`shutdown`](Self::shutdown).
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use discovery_core::Resolver;
/// use discovery_eureka::Registration;
/// use discovery_reqwest::Client;
///
/// // Bind the listener first: other pods connect as soon as they find this one in the registry.
/// let listener = tokio::net::TcpListener::bind("0.0.0.0:8080").await?;
/// // ... serve on it in a task of its own ...
///
/// let client = Client::new(Resolver::new()?);
/// let registration = Registration::builder(&client, "http://rates-eureka.rates.svc:8080/eureka", "rates")
///     .port(listener.local_addr()?.port())
///     .register()
///     .await?;
///
/// tokio::signal::ctrl_c().await?;        // SIGTERM in a pod
/// // Deregisters at once; keep serving until other pods have noticed.
/// registration.shutdown(Duration::from_secs(75)).await?;
/// # Ok(())
/// # }
/// ```
///
/// Dropping the registration deregisters the pod in the background, if the runtime lives long enough.
#[must_use = "dropping a registration deregisters the pod"]
pub struct Registration {
    id: String,
    app: String,
    commands: mpsc::UnboundedSender<Command>,
    state: watch::Receiver<RegistrationState>,
}

impl Registration {
    /// Configures the registration of this pod as an instance of `app`.
    ///
    /// `url` is the base that `apps` is appended to, such as `http://eureka.shop.svc:8761/eureka`. Its host is resolved
    /// like any other name, by the client's resolver. User and password in it are sent, but never shown. Separate
    /// several URLs by commas, in order of preference.
    pub fn builder(client: &Client, url: impl Into<String>, app: impl Into<String>) -> RegistrationBuilder {
        Self::builder_for(RegistrySettings::of(client, url), app.into())
    }

    pub(crate) fn builder_for(registry: RegistrySettings, app: String) -> RegistrationBuilder {
        RegistrationBuilder::new(registry, app)
    }

    /// Starts the task of the registration.
    pub(super) fn start(record: Record, status: Status, registry: Arc<dyn Transport>, behavior: Behavior) -> Self {
        let (id, app) = (record.id().to_owned(), record.app().to_owned());
        let (commands, state) = Driver::spawn(record, status, registry, behavior);
        Self { id, app, commands, state }
    }

    /// Waits for the first request; returns its error.
    pub(super) async fn first_attempt(&self) -> Result<(), Error> {
        let mut state = self.state.clone();
        match state.wait_for(|state| state.requests > 0).await {
            Ok(state) => state.error.clone().map_or(Ok(()), Err),
            Err(_) => Err(Error::closed("the registration has ended: its Tokio runtime shut down")),
        }
    }

    /// Returns the instance id, which is unique in the registry.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the application's name, in upper case.
    #[must_use]
    pub fn app(&self) -> &str {
        &self.app
    }

    /// Returns the current state.
    #[must_use]
    pub fn state(&self) -> RegistrationState {
        self.state.borrow().clone()
    }

    /// Returns the current status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.state.borrow().status
    }

    /// Sets the status. Returns at once. Two changes are sent at once; beyond four per minute they wait for the next
    /// heartbeat.
    ///
    /// [`Status::OutOfService`] is sent as an override, and any other status removes the override: a registry ignores a
    /// registration that changes UP to OUT_OF_SERVICE or back. [`Status::Unknown`] is ignored.
    ///
    /// [`Status::Up`] also removes an override that an operator set in the registry, even if the status of this pod is
    /// UP already: the record is read back first. See [`RegistrationState::overridden`]. A health check never removes
    /// an operator's override.
    pub fn set_status(&self, status: Status) {
        self.send(Command::Status(status));
    }

    /// Sets a metadata entry. Returns at once. The entry is also kept here, and is sent again if the registry loses it.
    pub fn set_metadata(&self, key: impl Into<String>, value: impl Into<String>) {
        self.send(Command::Metadata(vec![(key.into(), Some(value.into()))]));
    }

    /// Removes a metadata entry. Returns at once.
    pub fn remove_metadata(&self, key: impl Into<String>) {
        self.send(Command::Metadata(vec![(key.into(), None)]));
    }

    /// Waits until the registry holds the current record and the record was read back. Every change made before the
    /// call has been sent by then. The call waits without a timeout: wrap it in `tokio::time::timeout`.
    ///
    /// # Errors
    /// [`Error::is_closed`] if the registration has ended because its runtime shut down.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn settled(&self) -> Result<(), Error> {
        // The task takes commands in order, so earlier changes are in effect once it acknowledges this one.
        let (flushed, acknowledged) = oneshot::channel();
        self.send(Command::Flush(flushed));
        acknowledged.await.map_err(|_| ended())?;
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| state.ended || state.is_settled()).await;
        match settled {
            Ok(state) if !state.ended => Ok(()),
            _ => Err(ended()),
        }
    }

    /// Waits for the next change of [`state`](Self::state), and returns it.
    ///
    /// # Errors
    /// [`Error::is_closed`] if the registration has ended.
    ///
    /// # Cancel safety
    /// Cancel-safe: the next call returns the latest state.
    pub async fn changed(&mut self) -> Result<RegistrationState, Error> {
        self.state.changed().await.map_err(|_| ended())?;
        Ok(self.state.borrow_and_update().clone())
    }

    /// Returns the events of this registration, from its beginning: the first event of a registered pod is
    /// [`Registered`](crate::RegistrationEvent::Registered). Each subscriber gets all events, also after this handle has
    /// been shut down or dropped.
    #[must_use]
    pub fn events(&self) -> RegistrationEvents {
        RegistrationEvents::new(self.state.clone())
    }

    /// Deregisters the pod, then waits for `drain`. Keep serving during the drain: the registry and other pods cache
    /// this instance for 60 to 95 s.
    ///
    /// The order is fixed. Heartbeats stop; a request in flight is awaited (with one URL, 16 s at most); the pod is
    /// deregistered, with one retry (2 s each), unless
    /// [`unregister_on_shutdown`](RegistrationBuilder::unregister_on_shutdown) is off; then the drain. Nothing is sent
    /// afterwards. All of it has to fit into the pod's `terminationGracePeriodSeconds`, which also includes the `preStop`
    /// hook. [`RegistryBuilder`](crate::RegistryBuilder) sets the timeouts.
    ///
    /// # Errors
    /// If the deregistration failed or was refused. The drain takes place all the same. The registry evicts the pod when
    /// its lease expires, up to five minutes after the last heartbeat.
    ///
    /// # Cancel safety
    /// Dropping the future ends the drain; the deregistration continues.
    pub async fn shutdown(self, drain: Duration) -> Result<(), Error> {
        let (done, result) = oneshot::channel();
        self.send(Command::Shutdown(done));
        let result = result.await.unwrap_or_else(|_| Err(ended()));
        tokio::time::sleep(drain).await;
        result
    }

    fn send(&self, command: Command) {
        // Fails only if the task ended with its runtime, which `state` shows.
        let _ = self.commands.send(command);
    }
}

fn ended() -> Error {
    Error::closed("the registration has ended: it was shut down, or its Tokio runtime was")
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("id", &self.id).field("state", &*self.state.borrow()).finish()
    }
}
