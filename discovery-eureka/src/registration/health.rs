//! The application's own check.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use crate::Status;

/// How long a check may take: it stands between two heartbeats.
const PATIENCE: Duration = Duration::from_secs(5);

type Check = dyn Fn() -> Pin<Box<dyn Future<Output = Status> + Send>> + Send + Sync;

/// A check, asked before each heartbeat.
#[derive(Clone)]
pub(super) struct Health(Arc<Check>);

impl Health {
    pub(super) fn new<F: Future<Output = Status> + Send + 'static>(
        check: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move || Box::pin(check())))
    }

    /// What it says; DOWN where it panics or takes longer than 5 s.
    pub(super) async fn ask(&self) -> Status {
        let check = self.0.clone();
        let mut asked = tokio::spawn(async move { check().await });
        match tokio::time::timeout(PATIENCE, &mut asked).await {
            Ok(Ok(status)) => status,
            Ok(Err(_)) => {
                tracing::warn!("the health check panicked: DOWN");
                Status::Down
            }
            Err(_) => {
                asked.abort();
                tracing::warn!("the health check took longer than {PATIENCE:?}: DOWN");
                Status::Down
            }
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").finish_non_exhaustive()
    }
}
