//! What the application holds.

use std::{fmt, time::Duration};

use tokio::sync::{mpsc, oneshot, watch};

use super::{RegistrationBuilder, driver::Command, state::RegistrationState};
use crate::{Error, Status};
use discovery_reqwest::Client;

/// This pod in a registry: registered, kept there by heartbeats, and taken out by [`shutdown`](Self::shutdown).
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use discovery_core::Resolver;
/// use discovery_eureka::Registration;
/// use discovery_reqwest::Client;
///
/// // First the listener: whoever finds the pod in the registry connects at once.
/// let listener = tokio::net::TcpListener::bind("0.0.0.0:8080").await?;
/// // ... and serve on it, in a task of its own.
///
/// let client = Client::new(Resolver::new()?);
/// let registration = Registration::builder(&client, "http://rates-eureka.rates.svc:8080/eureka", "rates")
///     .port(listener.local_addr()?.port())
///     .register()
///     .await?;
///
/// tokio::signal::ctrl_c().await?;        // SIGTERM, in a pod
/// // Deregistered at once; served on until the others have noticed.
/// registration.shutdown(Duration::from_secs(75)).await?;
/// # Ok(())
/// # }
/// ```
///
/// When it is dropped, its task still deregisters, if the runtime lives long enough: nobody waits for it.
#[must_use = "a pod is deregistered when its registration is dropped"]
pub struct Registration {
    pub(super) id: String,
    pub(super) app: String,
    pub(super) commands: mpsc::UnboundedSender<Command>,
    pub(super) state: watch::Receiver<RegistrationState>,
}

impl Registration {
    /// Configures the registration of this pod as an instance of `app`.
    ///
    /// `url` is the base that `apps` is appended to, such as `http://eureka.shop.svc:8761/eureka`; its host is resolved as any
    /// other name, through the client's resolver. User and password in it are sent, and shown nowhere. Several have commas
    /// between them, in the order of preference.
    pub fn builder(client: &Client, url: impl Into<String>, app: impl Into<String>) -> RegistrationBuilder {
        RegistrationBuilder::new(client.clone(), url.into(), app.into())
    }

    /// The id, unique in the registry.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The application's name, in upper case.
    #[must_use]
    pub fn app(&self) -> &str {
        &self.app
    }

    /// How it is.
    #[must_use]
    pub fn state(&self) -> RegistrationState {
        self.state.borrow().clone()
    }

    /// The status that the registry is told.
    #[must_use]
    pub fn status(&self) -> Status {
        self.state.borrow().status
    }

    /// Sets the status. Returns at once; two changes are told at once, and more than four a minute wait for the next heartbeat.
    ///
    /// [`Status::OutOfService`] is put as an override, and any other status takes it away again: a registry ignores an
    /// instance that registers out of service, or back. [`Status::Unknown`] is no status to have, and ignored.
    pub fn set_status(&self, status: Status) {
        self.send(Command::Status(status));
    }

    /// Sets a piece of metadata. Returns at once. It is kept here as well, and survives a registry that forgets it.
    pub fn set_metadata(&self, key: impl Into<String>, value: impl Into<String>) {
        self.send(Command::Metadata(vec![(key.into(), Some(value.into()))]));
    }

    /// Takes a piece of metadata out. Returns at once.
    pub fn remove_metadata(&self, key: impl Into<String>) {
        self.send(Command::Metadata(vec![(key.into(), None)]));
    }

    /// Waits until the registry holds this record as it is here, and it has been read back; as long as that takes: bound it
    /// with `tokio::time::timeout`. What was set before the call has been told then.
    ///
    /// # Errors
    /// [`Error::is_closed`] when the registration has ended, with its runtime.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn settled(&self) -> Result<(), Error> {
        // Behind what was set before: the task takes one after the other.
        let (heard, taken) = oneshot::channel();
        self.send(Command::Heard(heard));
        taken.await.map_err(|_| ended())?;
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
    /// [`Error::is_closed`] when the registration has ended.
    ///
    /// # Cancel safety
    /// Cancel-safe: the next call returns the latest state.
    pub async fn changed(&mut self) -> Result<RegistrationState, Error> {
        self.state.changed().await.map_err(|_| ended())?;
        Ok(self.state.borrow_and_update().clone())
    }

    /// Deregisters, and returns after `drain`: serve on until then, because the registry's answers and the others' caches
    /// hold what they know for 60 to 95 s.
    ///
    /// In this order: no further heartbeat begins; a request that is on its way is awaited (16 s at most, with one URL); the
    /// registry is told, with one more attempt if that fails (2 s each); the drain. Nothing is sent afterwards. Together that
    /// has to be less than the pod's `terminationGracePeriodSeconds`, which counts from before `preStop`.
    ///
    /// # Errors
    /// When the registry could not be told, after the drain all the same: it drops the pod when its lease is over, up to five
    /// minutes after the last heartbeat.
    ///
    /// # Cancel safety
    /// Dropping the future ends the drain; the deregistration goes on.
    pub async fn shutdown(self, drain: Duration) -> Result<(), Error> {
        let (done, result) = oneshot::channel();
        self.send(Command::Shutdown(done));
        let result = result.await.unwrap_or_else(|_| Err(ended()));
        tokio::time::sleep(drain).await;
        result
    }

    fn send(&self, command: Command) {
        // A task that has gone with its runtime has nothing to tell any more; `state` says so.
        let _ = self.commands.send(command);
    }
}

fn ended() -> Error {
    Error::closed("the registration has ended: it was shut down, or its runtime was")
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("id", &self.id).field("state", &*self.state.borrow()).finish()
    }
}
