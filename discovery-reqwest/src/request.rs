//! The request builder.

use std::{fmt::Display, future::Future, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Body, Request, Response};

use crate::{Client, Error, client::send::send};

/// Builds a request, as [`reqwest::RequestBuilder`] does. [`with`](Self::with) gives access to the methods that are not
/// repeated here.
#[derive(Debug)]
#[must_use = "call `send`"]
pub struct RequestBuilder {
    client: Client,
    inner: reqwest::RequestBuilder,
}

impl RequestBuilder {
    pub(crate) fn new(client: Client, inner: reqwest::RequestBuilder) -> Self {
        Self { client, inner }
    }

    /// Adds a header.
    pub fn header<K, V>(self, key: K, value: V) -> Self
    where
        HeaderName: TryFrom<K>,
        <HeaderName as TryFrom<K>>::Error: Into<http::Error>,
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        self.with(|request| request.header(key, value))
    }

    /// Adds headers, which replace headers of the same name.
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.with(|request| request.headers(headers))
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.with(|request| request.body(body))
    }

    /// Sets the body to `value` as JSON.
    #[cfg(feature = "json")]
    pub fn json(self, value: &(impl serde::Serialize + ?Sized)) -> Self {
        self.with(|request| request.json(value))
    }

    /// Adds `Authorization: Bearer …`.
    pub fn bearer_auth(self, token: impl Display) -> Self {
        self.with(|request| request.bearer_auth(token))
    }

    /// Adds `Authorization: Basic …`.
    pub fn basic_auth(self, user: impl Display, password: Option<impl Display>) -> Self {
        self.with(|request| request.basic_auth(user, password))
    }

    /// Sets a timeout for each attempt, from connecting to the end of the body.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.with(|request| request.timeout(timeout))
    }

    /// Changes the inner [`reqwest::RequestBuilder`].
    pub fn with(mut self, change: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder) -> Self {
        self.inner = change(self.inner);
        self
    }

    /// Builds the request, to be sent with [`Client::execute`].
    ///
    /// # Errors
    /// If a part of the request is malformed, such as the URL or a header.
    pub fn build(self) -> Result<Request, Error> {
        self.inner.build().map_err(|error| Error::request(error, 0))
    }

    /// Sends the request to an endpoint of its target.
    ///
    /// # Errors
    /// Those of [`build`](Self::build) and [`Client::execute`].
    ///
    /// # Cancel safety
    /// Dropping the future cancels the request; the endpoint may have seen it.
    pub fn send(self) -> impl Future<Output = Result<Response, Error>> + Send {
        let Self { client, inner } = self;
        send(client, move || inner.build())
    }
}
