//! One `reqwest::Client` for each endpoint of a target.

use std::{future::pending, net::SocketAddr, sync::Arc, time::Duration};

use discovery_core::{
    EndpointMap, Resolver, Upstream,
    endpoint::{Endpoint, Identity},
    name::{Host, Target},
    policy::{
        LoadedEndpoint, Pick, RetryBudget, Tried,
        retry::{Attempts, FailedAttempt, RetryContext, RetryDecision},
    },
};

use reqwest::Url;

use super::{
    builder::Settings,
    connector::ConnectorLayer,
    connects::{Connects, Dialing},
    endpoint_port::EndpointPort,
    now,
};
use crate::Error;

/// The clients of one target's endpoints, and the budget for the retries of its requests.
pub(super) struct Pool {
    clients: EndpointMap<Result<reqwest::Client, ClientError>>,
    budget: RetryBudget,
}

/// Why an endpoint's client could not be built. The same settings were tried when the [`Client`](super::Client) was built,
/// so this takes a resource that has run out since.
type ClientError = Arc<reqwest::Error>;

impl Pool {
    /// The pool of a target. Its clients use the proxies of the environment if `proxies`.
    pub(super) fn new(resolver: &Resolver, target: &Target, settings: &Settings, proxies: bool) -> Result<Self, Error> {
        let host = match target.host() {
            Host::Name { name, .. } => Some(name.as_str().to_owned()),
            // Addresses and `localhost` are dialed as they stand in the URL.
            _ => None,
        };
        let origins = host.as_deref().map_or_else(Vec::new, |host| origins(target, host));
        let settings = settings.clone();
        let upstream = resolver.upstream(target)?;
        let dialing = Arc::new(Dialing::new(
            upstream.clone(),
            default_port(target),
            settings.connect_timeout(),
            !settings.has_own_proxy(),
        ));
        let clients = EndpointMap::new(upstream, move |endpoint: &Endpoint| {
            let port = EndpointPort::new(&origins, endpoint.port(), || settings.scout()).map_err(ClientError::new)?;
            let layer = ConnectorLayer::new(port, Arc::new(Connects::new(dialing.clone())));
            let mut builder = settings.endpoint(proxies, layer);
            if let Some(host) = &host {
                // Port 0 stands for that of the URL, which a redirect may change.
                let addrs: Vec<SocketAddr> = endpoint.addrs().map(|addr| (addr.ip(), 0).into()).collect();
                // The URL may write the host with its final dot.
                builder = builder.resolve_to_addrs(host, &addrs).resolve_to_addrs(&format!("{host}."), &addrs);
            }
            builder.build().map_err(ClientError::new)
        });
        Ok(Self { clients, budget: RetryBudget::new(now()) })
    }

    pub(super) fn upstream(&self) -> &Upstream {
        self.clients.upstream()
    }

    /// Counts a request, which pays for later retries.
    pub(super) fn count_request(&self) {
        self.budget.request();
    }

    /// An endpoint and its client, if there is one now.
    pub(super) fn pick(&self, attempts: &Attempts) -> Option<(Pick, reqwest::Client)> {
        match self.clients.pick(attempts.tried()) {
            Ok((pick, Ok(client))) => Some((pick, client)),
            _ => None,
        }
    }

    /// An endpoint and its client, as soon as there is one.
    pub(super) async fn wait(
        &self,
        attempts: &mut Attempts,
        endpoint_timeout: Duration,
    ) -> Result<(Pick, reqwest::Client), Error> {
        let mut picked = self.clients.pick_timeout(attempts.tried(), endpoint_timeout).await;
        if picked.as_ref().is_err_and(discovery_core::Error::is_all_tried) && attempts.fall_back_to_refused() {
            picked = self.clients.pick(attempts.tried());
        }
        match picked? {
            (pick, Ok(client)) => Ok((pick, client)),
            (pick, Err(error)) => {
                let text = format!("could not build the client for endpoint {}: {error}", pick.endpoint());
                Err(discovery_core::Error::config(text).into())
            }
        }
    }

    /// Waits until a picked endpoint has left the set and has been silent for `silence`; without one, for good.
    pub(super) async fn removed_and_silent(&self, picked: Option<&LoadedEndpoint>, silence: Duration) {
        match picked {
            Some(picked) => self.upstream().removed_and_silent(picked, silence).await,
            None => pending().await,
        }
    }

    /// What becomes of a request after a failed attempt at `endpoint`.
    pub(super) fn decide(&self, attempts: &mut Attempts, endpoint: &Identity, attempt: FailedAttempt) -> RetryDecision {
        let has_untried = |tried: &Tried| self.upstream().has_untried(tried);
        attempts.next(endpoint, attempt, &RetryContext::new(&self.budget, &now, &has_untried))
    }
}

/// The port of the URLs of `target`, as far as they name one.
fn default_port(target: &Target) -> u16 {
    let is_https = target.scheme().is_some_and(|scheme| scheme.to_string() == "https");
    target.port().number().map_or(if is_https { 443 } else { 80 }, Into::into)
}

/// How a URL may write the origin of `target`: with and without the final dot of its `host`.
fn origins(target: &Target, host: &str) -> Vec<Url> {
    let scheme = target.scheme().map_or_else(|| "http".to_owned(), ToString::to_string);
    let port = target.port().number().map(|port| format!(":{port}")).unwrap_or_default();
    let urls = ["", "."].map(|dot| Url::parse(&format!("{scheme}://{host}{dot}{port}/")));
    urls.into_iter().flatten().collect()
}
