//! A connector that dials virtual addresses.

use std::{
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
};

use discovery_proxy::forward::Dialer;
use http::Uri;
use tower::Service;

use super::{VipError, VipStream};

/// Connects a client to the pods behind virtual addresses: a connection to `http://10.96.0.10:80` goes straight to the
/// pod that kube-proxy would choose, without NAT and without a forwarder in between.
///
/// The connector is a `tower::Service` of URIs, as hyper-util's client and TLS connectors expect it. The host of the URI
/// must be an IP address. An address that belongs to no Service is dialed unchanged.
///
/// A connection in the client's pool stays with its pod. Use [`Balance`](crate::Balance) to spread requests rather than
/// connections.
///
/// ```
/// use std::time::Instant;
///
/// use bytes::Bytes;
/// use discovery_core::policy::SplitMix64;
/// use discovery_proxy::{Config, Mode, Proxier, forward::{Dialer, SnapshotHandle}, object::*};
/// use discovery_tower::{VipConnector, VipEndpoint};
/// use http_body_util::Empty;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// # use discovery_testing::FakePod;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// # let pod = FakePod::start("pod-0").await?;
/// // A Service and its EndpointSlice, as the API server returns them.
/// let mut proxy = Proxier::new(Config::new(IpFamily::V4, Mode::Nftables));
/// proxy.apply_service(&Service {
///     namespace: "shop".into(),
///     name: "orders".into(),
///     cluster_ip: "10.96.0.10".into(),
///     ports: vec![ServicePort { port: 80, ..ServicePort::default() }],
///     ..Service::default()
/// });
/// proxy.apply_endpoint_slice(&EndpointSlice {
///     namespace: "shop".into(),
///     name: "orders-x7k2p".into(),
///     labels: [(SERVICE_NAME_LABEL.into(), "orders".into())].into(),
///     ports: vec![SlicePort { port: Some(pod.addr().port().into()), ..SlicePort::default() }],
///     endpoints: vec![SliceEndpoint { addresses: vec![pod.addr().ip().to_string()], ..SliceEndpoint::default() }],
///     ..EndpointSlice::default()
/// });
/// let snapshots = SnapshotHandle::new(proxy.snapshot().clone());
/// // After each change:
/// snapshots.publish(&proxy.sync(Instant::now(), &mut SplitMix64::with_seed(1)));
///
/// let connector = VipConnector::new(Dialer::new(snapshots));
/// let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(connector);
/// let response = client.get("http://10.96.0.10/v1/items".parse()?).await?;
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.extensions().get::<VipEndpoint>().map(VipEndpoint::addr), Some(pod.addr()));
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// # }).unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct VipConnector {
    dialer: Dialer,
}

impl VipConnector {
    /// Creates a connector that dials with `dialer`.
    #[must_use]
    pub const fn new(dialer: Dialer) -> Self {
        Self { dialer }
    }
}

impl Service<Uri> for VipConnector {
    type Response = VipStream;
    type Error = VipError;
    type Future = Pin<Box<dyn Future<Output = Result<VipStream, VipError>> + Send>>;

    /// Always ready.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), VipError>> {
        Poll::Ready(Ok(()))
    }

    /// Cancel-safe: dropping the future closes a connection that is being established.
    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialer = self.dialer.clone();
        Box::pin(async move {
            let destination = destination(&uri).ok_or_else(|| VipError::not_an_address(&uri))?;
            dialer.dial(destination).await.map(VipStream::new).map_err(VipError::dial)
        })
    }
}

fn destination(uri: &Uri) -> Option<SocketAddr> {
    let host = uri.host()?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let ip: IpAddr = host.parse().ok()?;
    let port = match (uri.port_u16(), uri.scheme_str()) {
        (Some(port), _) => port,
        (None, Some("http" | "ws")) => 80,
        (None, Some("https" | "wss")) => 443,
        (None, _) => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_default_ports() {
        for (uri, expected) in [
            ("http://10.96.0.10/x", Some("10.96.0.10:80")),
            ("https://10.96.0.10", Some("10.96.0.10:443")),
            ("http://[fd00::a]:8080", Some("[fd00::a]:8080")),
            ("10.96.0.10:81", Some("10.96.0.10:81")),
            ("tcp://10.96.0.10", None),
            ("http://orders.shop", None),
            ("/path", None),
        ] {
            let expected = expected.map(|text| text.parse().unwrap());
            assert_eq!(destination(&uri.parse().unwrap()), expected, "{uri}");
        }
    }
}
