//! Connects to the port of an endpoint where the URL has another one, below everything that reads the URL.
//!
//! A source may know another port than the URL names: EndpointSlices with a `targetPort`, SRV records, a registry. The URL
//! stays as the caller wrote it, so `Host`, `:authority`, redirects, cookies and the pools of connections are right by
//! themselves. Only the connector must connect elsewhere.
//!
//! reqwest hands a layer around its connector the destination in a type without a name, which can be neither made nor
//! changed. A [`Scout`] therefore sends a request to the wanted destination through a client whose connector connects to
//! nothing and keeps the destination. One costs some microseconds, once for each connection.

use std::{
    any::Any,
    cell::RefCell,
    error::Error as StdError,
    fmt::Debug,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use reqwest::Url;
use tower::{Layer, Service};

type BoxError = Box<dyn StdError + Send + Sync>;

/// Makes destinations of reqwest's connector. Cheap to clone.
#[derive(Clone)]
pub(super) struct Scout(reqwest::Client);

impl Scout {
    /// `builder`: the TLS configuration, which is not used, because nothing is sent.
    pub(super) fn new(builder: reqwest::ClientBuilder) -> Result<Self, reqwest::Error> {
        builder.no_proxy().connector_layer(KeepDestination).build().map(Self)
    }

    /// The destination of requests to `url`.
    async fn destination<R: Send + 'static>(&self, url: &Url) -> Result<R, BoxError> {
        let send = async {
            // Always an error: nothing is connected.
            let _ = self.0.get(url.clone()).send().await;
            DESTINATION.with(RefCell::take)
        };
        let kept = DESTINATION.scope(RefCell::default(), send).await;
        let destination = kept.and_then(|kept| kept.downcast().ok()).map(|destination| *destination);
        destination.ok_or_else(|| format!("could not connect to the endpoint's port {}", port(url)).into())
    }
}

fn port(url: &Url) -> u16 {
    url.port_or_known_default().unwrap_or_default()
}

tokio::task_local! {
    /// What the connector of the scout was asked to connect to.
    static DESTINATION: RefCell<Option<Box<dyn Any + Send>>>;
}

/// Keeps the destination instead of connecting to it.
#[derive(Clone)]
struct KeepDestination;

impl<S> Layer<S> for KeepDestination {
    type Service = KeepDestinationService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        KeepDestinationService(inner)
    }
}

/// The inner service is there for its types.
#[derive(Clone)]
struct KeepDestinationService<S>(S);

impl<S, R> Service<R> for KeepDestinationService<S>
where
    S: Service<R, Error = BoxError>,
    R: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = std::future::Ready<Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, destination: R) -> Self::Future {
        // Outside of `Scout::destination` there is nowhere to keep it.
        let _ = DESTINATION.try_with(|kept| kept.replace(Some(Box::new(destination))));
        std::future::ready(Err("nothing is connected here".into()))
    }
}

/// Connects to the endpoint's port where reqwest would connect to the origin of the target. Other destinations, those of
/// redirects, stay as they are.
#[derive(Clone)]
pub(super) struct EndpointPort(Arc<Redirection>);

struct Redirection {
    scout: Scout,
    /// How URLs may write the origin, and the same with the endpoint's port.
    origins: Vec<(Url, Url)>,
    /// The destinations of the origins, as texts to compare with: they have no other property.
    known: OnceLock<Vec<String>>,
}

impl EndpointPort {
    /// `origins`: how the URLs of requests may write the origin of the target, whose endpoint has the port `port`; 0 if it
    /// has no port of its own. Returns `None` if connections go to that port anyway.
    ///
    /// # Errors
    /// Those of `scout`.
    pub(super) fn new<E>(
        origins: &[Url],
        port: u16,
        scout: impl FnOnce() -> Result<Scout, E>,
    ) -> Result<Option<Self>, E> {
        let with_port = |origin: &Url| {
            let mut moved = origin.clone();
            let is_moved = port != 0 && self::port(origin) != port && moved.set_port(Some(port)).is_ok();
            is_moved.then(|| (origin.clone(), moved))
        };
        let origins: Vec<_> = origins.iter().filter_map(with_port).collect();
        if origins.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self(Arc::new(Redirection { scout: scout()?, origins, known: OnceLock::new() }))))
    }
}

impl EndpointPort {
    /// The destination to connect to instead of `destination`.
    pub(super) async fn instead_of<R: Debug + Send + 'static>(&self, destination: R) -> Result<R, BoxError> {
        let known = match self.0.known.get() {
            Some(known) => known,
            None => {
                let mut known = Vec::new();
                for (origin, _) in &self.0.origins {
                    known.push(format!("{:?}", self.0.scout.destination::<R>(origin).await?));
                }
                self.0.known.get_or_init(|| known)
            }
        };
        let asked = format!("{destination:?}");
        match known.iter().zip(&self.0.origins).find(|(known, _)| **known == asked) {
            Some((_, (_, moved))) => self.0.scout.destination(moved).await,
            None => Ok(destination),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_scout_returns_the_destination_without_connecting() {
        let scout = Scout::new(reqwest::Client::builder()).unwrap();
        let is_kept = async |url: &str| {
            let url: Url = url.parse().unwrap();
            let send = async {
                let error = scout.0.get(url).send().await.unwrap_err();
                assert!(error.is_connect(), "{error:?}");
                DESTINATION.with(RefCell::take).is_some()
            };
            DESTINATION.scope(RefCell::default(), send).await
        };
        assert!(is_kept("http://orders.shop:8080/v1").await && is_kept("http://orders.shop./").await);
        assert!(scout.0.get("http://orders.shop/").send().await.is_err(), "without a place for the destination");
        let wrong = scout.destination::<u32>(&"http://orders.shop:9000".parse().unwrap()).await.unwrap_err();
        assert!(wrong.to_string().contains("9000"), "{wrong}");
    }

    #[test]
    fn is_needed_where_the_ports_differ() {
        for (url, port, is_needed) in [
            ("http://orders.shop:8080/", 9000, true),
            ("http://orders.shop:8080/", 8080, false),
            ("http://orders.shop/", 80, false),
            ("https://orders.shop/", 80, true),
            ("http://orders.shop/", 0, false),
        ] {
            let scout = || Scout::new(reqwest::Client::builder());
            let layer = EndpointPort::new(&[url.parse().unwrap()], port, scout).unwrap();
            assert_eq!(layer.is_some(), is_needed, "{url} {port}");
        }
        let unused = || -> Result<Scout, ()> { Err(()) };
        assert!(EndpointPort::new(&[], 1, unused).unwrap().is_none());
    }
}
