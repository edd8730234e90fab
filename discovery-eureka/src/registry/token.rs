//! The token that each request to a registry carries.

use std::{error::Error as StdError, future::Future, sync::Arc};

use discovery_core::source::BoxFuture;
use http::HeaderValue;
use tokio::task::JoinSet;

use crate::Error;

type BoxError = Box<dyn StdError + Send + Sync>;

/// The application's function that provides a token for each request.
#[derive(Clone)]
pub(super) struct TokenProvider(Arc<dyn Fn() -> BoxFuture<'static, Result<String, BoxError>> + Send + Sync>);

impl TokenProvider {
    pub(super) fn new<F, E>(provide: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let provide = Arc::new(provide);
        Self(Arc::new(move || {
            let provide = provide.clone();
            Box::pin(async move { provide().await.map_err(Into::into) })
        }))
    }

    /// Returns the value of the `Authorization` header.
    pub(super) async fn token(&self) -> Result<HeaderValue, Error> {
        // A task of its own contains a panic of the application's function, and ends when this future is dropped.
        let mut task = JoinSet::new();
        task.spawn((self.0)());
        let provided = match task.join_next().await {
            Some(Ok(provided)) => provided,
            _ => Err("the function panicked".into()),
        };
        let token = provided.map_err(|error| Error::token(format!("no token for the registry: {error}")))?;
        bearer(&token)
    }
}

/// Ignores white space around the token: a file ends with a line break.
fn bearer(token: &str) -> Result<HeaderValue, Error> {
    let token = token.trim();
    let is_plain = |c: char| c.is_ascii_graphic();
    if token.is_empty() || !token.chars().all(is_plain) {
        return Err(Error::token(
            "invalid token for the registry: it is empty, or contains a character other than visible ASCII; return \
             the token alone, without `Bearer`",
        ));
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| Error::token("invalid token for the registry: it cannot be sent in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}
