//! HTTP to a registry: one URL or several, and retries when a registry does not respond.
//!
//! | module | content |
//! |---|---|
//! | `builder` | the public settings of a registry |
//! | `handle` | the public registry: lists applications and instances, and makes registrations and sources |
//! | `connections` | sends a call, with retries, over the connections to all URLs |
//! | `endpoint` | one URL and the connections to it |
//! | `settings` | URLs, token and timeouts |
//! | `token` | the token that each request carries |
//! | `call` | one request, and which responses count as an answer |
//! | `selector` | which URL is used next; pure |
//! | `url` | a registry URL, whose credentials are never shown |

mod builder;
mod call;
mod connections;
mod endpoint;
mod handle;
mod selector;
mod settings;
mod token;
mod url;

use std::fmt;

use bytes::Bytes;
use discovery_core::source::BoxFuture;
use http::Response;

pub use self::{builder::RegistryBuilder, handle::Registry};
pub(crate) use self::{
    call::{Call, off_thread},
    connections::Connections,
    settings::RegistrySettings,
    url::check_urls,
};
use crate::Error;

/// Sends calls: to a registry, or to a test's script.
pub(crate) trait Transport: Send + Sync + fmt::Debug + 'static {
    /// Sends one call, retries included. The future resolves within a bounded time.
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Response<Bytes>, Error>>;
}
