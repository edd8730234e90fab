//! The target: what the application asked for.

use std::{fmt, str::FromStr};

use url::Url;

use super::{DomainName, Host, NameError, Port, PortName, Protocol, Scheme, parse};

/// What an application asked for: scheme, logical name and port. Equal targets share one upstream.
///
/// ```
/// use discovery_core::name::{Port, Target};
///
/// let target: Target = "http://orders.shop/v1/items".parse()?;
/// assert_eq!(target.host().to_string(), "orders.shop");
/// assert_eq!(target.port().number().map(u16::from), Some(80));
///
/// let named: Target = "_grpc._tcp.rates".parse()?;
/// assert_eq!(named, "rates:grpc".parse()?);
/// // An SRV name is never a pod; `web-0.rates:grpc` may be one.
/// assert_ne!("_grpc._tcp.web-0.rates".parse::<Target>()?, "web-0.rates:grpc".parse()?);
///
/// let error = "orders_v2.shop.svc".parse::<Target>().unwrap_err();
/// assert!(error.to_string().contains("'_' is not allowed"));
/// # Ok::<(), discovery_core::name::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    scheme: Option<Scheme>,
    host: Host,
    port: Port,
    protocol: Protocol,
    /// The target is an SRV name, and its host could also be read as a pod.
    excludes_pods: bool,
}

impl Target {
    /// Parses `orders`, `orders:8080`, `orders.shop:http`, `_http._tcp.orders.shop`, `10.0.0.1:80`, `[::1]:80`,
    /// `localhost`, or a URL.
    ///
    /// # Errors
    /// [`NameError`] with the input, the rule that it breaks, and a remedy.
    pub fn new(input: &str) -> Result<Self, NameError> {
        parse::target(input)
    }

    /// Takes the scheme, host and port of a URL; ignores its path, query and credentials.
    ///
    /// # Errors
    /// [`NameError`] if the URL has no host, or its host is not a valid name.
    pub fn from_url(url: &Url) -> Result<Self, NameError> {
        parse::url(url)
    }

    pub(super) fn from_parts(scheme: Option<Scheme>, host: Host, port: Port, protocol: Protocol) -> Self {
        Self { scheme, host, port, protocol, excludes_pods: false }
    }

    /// The target as an SRV name, `_port._protocol.host`. In DNS its host is a Service or a host: SRV records of a pod do
    /// not exist (Kubernetes DNS specification, 2.4.2).
    pub(super) fn written_as_srv_name(mut self) -> Self {
        self.excludes_pods = matches!(&self.host, Host::Name { name, absolute: false } if may_be_pod(name));
        self
    }

    /// The scheme, if the target is a URL.
    #[must_use]
    pub fn scheme(&self) -> Option<&Scheme> {
        self.scheme.as_ref()
    }

    /// The host, without the labels of an SRV name.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> &Port {
        &self.port
    }

    /// Whether the host must not be read as a pod, although it could be by its form: the target is an SRV name.
    #[must_use]
    pub(crate) fn excludes_pods(&self) -> bool {
        self.excludes_pods
    }

    /// The transport protocol; TCP unless the target is an SRV name with another one.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }
}

/// Whether a name is read as a pod, and as something else too. `pod.service.namespace.svc` is a pod in any case.
fn may_be_pod(name: &DomainName) -> bool {
    match name.label_count() {
        2 => true,
        3 => name.labels().next_back() != Some("svc"),
        _ => false,
    }
}

fn is_number(port: &PortName) -> bool {
    port.as_str().bytes().all(|b| b.is_ascii_digit())
}

impl FromStr for Target {
    type Err = NameError;

    fn from_str(s: &str) -> Result<Self, NameError> {
        Self::new(s)
    }
}

impl TryFrom<&str> for Target {
    type Error = NameError;

    fn try_from(s: &str) -> Result<Self, NameError> {
        Self::new(s)
    }
}

impl TryFrom<&Url> for Target {
    type Error = NameError;

    fn try_from(url: &Url) -> Result<Self, NameError> {
        Self::from_url(url)
    }
}

impl TryFrom<Url> for Target {
    type Error = NameError;

    fn try_from(url: Url) -> Result<Self, NameError> {
        Self::from_url(&url)
    }
}

impl TryFrom<&Self> for Target {
    type Error = NameError;

    fn try_from(target: &Self) -> Result<Self, NameError> {
        Ok(target.clone())
    }
}

impl From<std::convert::Infallible> for NameError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// Formats a target as text that parses as an equal target.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Port::Name(port) = &self.port {
            return match (&self.scheme, self.protocol) {
                // After `:`, a name of digits would be a number.
                (None, Protocol::Tcp) if !self.excludes_pods && !is_number(port) => write!(f, "{}:{port}", self.host),
                (None, protocol) => write!(f, "_{port}._{protocol}.{}", self.host),
                (Some(scheme), protocol) => write!(f, "{scheme}://_{port}._{protocol}.{}", self.host),
            };
        }
        if let Some(scheme) = &self.scheme {
            write!(f, "{scheme}://")?;
        }
        self.host.fmt(f)?;
        match &self.port {
            Port::Number(number) => write!(f, ":{number}"),
            Port::Name(_) | Port::Default(_) => Ok(()),
        }
    }
}
