//! One request to a registry, and its response.

use std::{
    fmt,
    io::{self, Read as _},
};

use bytes::{Bytes, BytesMut};
use discovery_core::text::printable;
use discovery_reqwest::{Client, RequestBuilder};
use http::{HeaderValue, Method, Response, StatusCode, header};

use super::{
    connections::Sender,
    settings::BodyLimits,
    url::{RegistryUrl, strip_credentials},
};
use crate::{Error, Status};

/// Decompressing or parsing a body of this size takes a millisecond or more.
const LARGE_BODY: usize = 64 << 10;

/// The plain text of this size is harmless whatever its compression: a few repeated instances compress well.
const SMALL_BODY: usize = 1 << 20;

/// How much is decompressed at once.
const CHUNK: usize = 256 << 10;

/// How many characters of a rejection are quoted.
const MAX_QUOTE: usize = 200;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Register {
        app: String,
        body: Bytes,
    },
    Heartbeat {
        app: String,
        id: String,
        status: Status,
        dirty: u64,
    },
    Deregister {
        app: String,
        id: String,
    },
    PutOverride {
        app: String,
        id: String,
        status: Status,
    },
    /// Names the status that follows: without it the status becomes UNKNOWN, and the next heartbeat gets 404.
    RemoveOverride {
        app: String,
        id: String,
        status: Status,
    },
    SetMetadata {
        app: String,
        id: String,
        pairs: Vec<(String, String)>,
    },
    /// Bypasses the server's response cache.
    FetchInstance {
        app: String,
        id: String,
    },
    FetchAll,
    FetchDelta,
    FetchVip(String),
    /// All instances of an application, which is written in upper case.
    FetchApp(String),
}

impl Call {
    /// Sends the request and reads the response to its end.
    pub(super) async fn send(
        &self,
        client: &Client,
        registry: &RegistryUrl,
        sender: &Sender<'_>,
    ) -> Result<Response<Bytes>, Error> {
        let timeout = sender.timeouts.of(self);
        match tokio::time::timeout(timeout, self.exchange(client, registry, sender)).await {
            Ok(result) => result,
            Err(_) => {
                Err(Error::unreachable(format!("request {self} to registry {registry} timed out after {timeout:?}")))
            }
        }
    }

    /// A registry that refuses a token (401) gets the next token of the provider, if that is another one.
    async fn exchange(
        &self,
        client: &Client,
        registry: &RegistryUrl,
        sender: &Sender<'_>,
    ) -> Result<Response<Bytes>, Error> {
        let Some(provider) = sender.token else { return self.send_once(client, registry, sender, None).await };
        let token = provider.token().await?;
        let response = self.send_once(client, registry, sender, Some(&token)).await?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        let next = provider.token().await?;
        if next == token {
            return Ok(response);
        }
        self.send_once(client, registry, sender, Some(&next)).await
    }

    async fn send_once(
        &self,
        client: &Client,
        registry: &RegistryUrl,
        sender: &Sender<'_>,
        token: Option<&HeaderValue>,
    ) -> Result<Response<Bytes>, Error> {
        let request = self.request(client, registry, sender.address, token);
        let response = request
            .send()
            .await
            .map_err(|error| Error::broken(format!("request {self} to registry {registry} failed"), error))?;
        let limits = sender.limits;
        read(response, limits).await.map_err(|error| error.into_error(self, registry, limits))
    }

    /// Returns whether a healthy server responds with `status`, as in the Java client's `ServerStatusEvaluators`. A
    /// malformed record (400) is the fault of the client, not of the server.
    pub(super) fn is_answered_by(&self, status: u16) -> bool {
        match (self, status) {
            (_, 200..300) => true,
            (Self::Register { .. }, 302 | 400 | 404) => true,
            (Self::Heartbeat { .. } | Self::FetchInstance { .. } | Self::FetchApp(_), 404) => true,
            (Self::PutOverride { .. } | Self::RemoveOverride { .. } | Self::SetMetadata { .. }, 404) => true,
            // Deltas are disabled, or the server does not have them.
            (Self::FetchDelta, 403 | 404 | 405 | 410 | 501) => true,
            (Self::Deregister { .. }, status) => status < 500,
            _ => false,
        }
    }

    /// Returns a response as an error. The body of a rejection is plain text, whatever its content type says.
    pub(crate) fn rejection(&self, response: &Response<Bytes>, registry: impl fmt::Display) -> Error {
        let status = response.status().as_u16();
        let body = response.body();
        let beginning = &body[..body.len().min(16 * MAX_QUOTE)];
        let quote = printable(&String::from_utf8_lossy(beginning), MAX_QUOTE);
        let quote = if quote.is_empty() { String::new() } else { format!(": {quote}") };
        Error::rejected(status, format!("{registry} responded to {self} with {status}{quote}"))
    }

    /// Returns an error for a response that is not one of a registry, such as a login page.
    pub(crate) fn not_understood(&self, response: &http::response::Parts, reason: impl fmt::Display) -> Error {
        let status = response.status.as_u16();
        let url = response.extensions.get::<RespondingUrl>().map_or("the registry", |url| &url.0);
        let content_type = response.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type
            .map_or("no content type".to_owned(), |text| format!("content type `{}`", printable(text, MAX_QUOTE)));
        Error::unreadable(format!(
            "invalid response to {self}: {url} responded with {status} and {content_type}: {reason}; check the \
             registry URL, and whether a login page answers in its place"
        ))
    }

    fn request(
        &self,
        client: &Client,
        registry: &RegistryUrl,
        from: Option<&str>,
        token: Option<&HeaderValue>,
    ) -> RequestBuilder {
        let mut url = registry.join(&self.path(), &self.query());
        if token.is_some() {
            // The client would send them beside the token.
            strip_credentials(&mut url);
        }
        let mut request = client
            .request(self.method(), url)
            // A server sends XML unless the value contains `json`.
            .header(header::ACCEPT, "application/json")
            // One of the names that a server's rate limiter exempts.
            .header("DiscoveryIdentity-Name", "DefaultClient")
            .header("DiscoveryIdentity-Version", "1.4");
        if let Some(from) = from {
            request = request.header("DiscoveryIdentity-Id", from);
        }
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, token);
        }
        // Worth compressing; and the Netflix WAR sends these responses compressed only.
        if matches!(self, Self::FetchAll | Self::FetchDelta | Self::FetchVip(_) | Self::FetchApp(_)) {
            request = request.header(header::ACCEPT_ENCODING, "gzip");
        }
        match self {
            Self::Register { body, .. } => request.header(header::CONTENT_TYPE, "application/json").body(body.clone()),
            _ => request,
        }
    }

    fn method(&self) -> Method {
        match self {
            Self::Register { .. } => Method::POST,
            Self::Heartbeat { .. } | Self::PutOverride { .. } | Self::SetMetadata { .. } => Method::PUT,
            Self::Deregister { .. } | Self::RemoveOverride { .. } => Method::DELETE,
            Self::FetchInstance { .. } | Self::FetchAll | Self::FetchDelta | Self::FetchVip(_) | Self::FetchApp(_) => {
                Method::GET
            }
        }
    }

    fn path(&self) -> Vec<&str> {
        match self {
            Self::Register { app, .. } => vec!["apps", app],
            Self::Heartbeat { app, id, .. } | Self::Deregister { app, id } | Self::FetchInstance { app, id } => {
                vec!["apps", app, id]
            }
            Self::PutOverride { app, id, .. } | Self::RemoveOverride { app, id, .. } => {
                vec!["apps", app, id, "status"]
            }
            Self::SetMetadata { app, id, .. } => vec!["apps", app, id, "metadata"],
            Self::FetchAll => vec!["apps"],
            Self::FetchDelta => vec!["apps", "delta"],
            Self::FetchVip(vip) => vec!["vips", vip],
            Self::FetchApp(app) => vec!["apps", app],
        }
    }

    fn query(&self) -> Vec<(&str, String)> {
        match self {
            Self::Heartbeat { status, dirty, .. } => {
                vec![("status", status.to_string()), ("lastDirtyTimestamp", dirty.to_string())]
            }
            Self::PutOverride { status, .. } | Self::RemoveOverride { status, .. } => {
                vec![("value", status.to_string())]
            }
            Self::SetMetadata { pairs, .. } => pairs.iter().map(|(key, value)| (&**key, value.clone())).collect(),
            _ => Vec::new(),
        }
    }

    /// The request line as text, without percent-encoding.
    #[cfg(test)]
    pub(crate) fn request_line(&self) -> String {
        let query: Vec<_> = self.query().iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{self}?{}", query.join("&")).trim_end_matches('?').to_owned()
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method(), self.path().join("/"))
    }
}

/// The URL that a response came from, after redirects, without credentials and query.
#[derive(Clone, Debug)]
struct RespondingUrl(String);

fn without_secrets(url: &url::Url) -> String {
    let mut shown = url.clone();
    strip_credentials(&mut shown);
    shown.set_query(None);
    shown.set_fragment(None);
    shown.into()
}

/// Why a response could not be read to its end.
enum ReadError {
    Broken(reqwest::Error),
    NotGzip(io::Error),
    NotDecoded(Error),
    TooLarge,
    TooDense,
}

impl ReadError {
    fn into_error(self, call: &Call, registry: &RegistryUrl, limits: BodyLimits) -> Error {
        let response = format!("response of registry {registry} to {call}");
        match self {
            Self::Broken(error) => Error::broken(format!("{response} broke off"), error),
            Self::NotGzip(error) => Error::unreadable(format!("{response} is not valid gzip: {error}")),
            Self::NotDecoded(error) => error,
            Self::TooLarge => Error::unreadable(format!(
                "{response} is larger than `max_response_size` of {} bytes: raise it if the registry is that large",
                limits.size
            )),
            Self::TooDense => Error::unreadable(format!(
                "{response} is compressed by more than `max_compression_ratio` of {}:1: check what answers at the \
                 registry URL",
                limits.ratio
            )),
        }
    }
}

/// Reads the body to its end, and decompresses it.
async fn read(mut response: reqwest::Response, limits: BodyLimits) -> Result<Response<Bytes>, ReadError> {
    let encoding = response.headers().get(header::CONTENT_ENCODING);
    let compressed = encoding.is_some_and(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"gzip"));
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(ReadError::Broken)? {
        if body.len() + chunk.len() > limits.size {
            return Err(ReadError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    let mut body = body.freeze();
    if compressed {
        body = off_thread(body.len(), move || decompress(&body, limits)).await.map_err(ReadError::NotDecoded)??;
    }
    let mut whole = Response::new(body);
    *whole.status_mut() = response.status();
    if let Some(content_type) = response.headers_mut().remove(header::CONTENT_TYPE) {
        whole.headers_mut().insert(header::CONTENT_TYPE, content_type);
    }
    whole.extensions_mut().insert(RespondingUrl(without_secrets(response.url())));
    Ok(whole)
}

/// Stops soon after the first limit that the plain text exceeds.
fn decompress(body: &[u8], limits: BodyLimits) -> Result<Bytes, ReadError> {
    let dense = body.len().saturating_mul(limits.ratio as usize).max(SMALL_BODY);
    let most = limits.size.min(dense);
    let mut decoder = flate2::read::MultiGzDecoder::new(body);
    let mut plain = Vec::new();
    loop {
        // Not doubled, as by `read_to_end`, which would hold up to twice the limit.
        plain.reserve_exact(CHUNK);
        let read = decoder.by_ref().take(CHUNK as u64).read_to_end(&mut plain).map_err(ReadError::NotGzip)?;
        match plain.len() {
            length if length > limits.size => return Err(ReadError::TooLarge),
            length if length > most => return Err(ReadError::TooDense),
            _ if read == 0 => return Ok(plain.into()),
            _ => {}
        }
    }
}

/// Runs work on a body of this size. A large body is moved to a blocking thread, so that other tasks do not wait.
pub(crate) async fn off_thread<T: Send + 'static>(
    size: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    if size < LARGE_BODY {
        return Ok(work());
    }
    let decoded = tokio::task::spawn_blocking(work).await;
    decoded.map_err(|error| Error::closed(format!("response was not decoded: {error}")))
}

#[cfg(test)]
mod tests;
