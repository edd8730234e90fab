//! Which addresses an endpoint may have.

use std::net::{IpAddr, SocketAddr};

use discovery_core::{Upstream, endpoint::Endpoint};

/// Whether endpoints of a target without a port may have port 0, which stands for an unknown port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a port is known or it is not")]
pub enum Addresses {
    /// The target or its source gives a port.
    WithPort,
    /// Nothing gives a port.
    PortUnknown,
}

impl Addresses {
    /// Checks that a connection to each address of the endpoint can lead to a backend, and that the endpoint prints as
    /// its address. Unspecified, multicast and broadcast addresses do not lead to a backend.
    ///
    /// # Panics
    /// If one of them does not hold.
    pub fn check(self, endpoint: &Endpoint) {
        for addr in endpoint.addrs() {
            assert!(!is_useless(addr.ip()), "{addr} is not the address of a backend: {endpoint:?}");
            assert_eq!(addr.ip(), addr.ip().to_canonical(), "an IPv4-mapped address: {endpoint:?}");
            assert!(self == Self::PortUnknown || addr.port() != 0, "port 0: {endpoint:?}");
        }
        let shown = endpoint.identity().to_string();
        let address = match endpoint.hostname() {
            Some(hostname) => shown.strip_prefix(&format!("{hostname}/")).expect("the host name and `/`"),
            None => &shown,
        };
        let parsed = address.parse().or_else(|_| address.parse().map(|ip: IpAddr| SocketAddr::new(ip, 0)));
        assert_eq!(parsed, Ok(endpoint.addr()), "{endpoint:?} prints as {shown:?}");
    }

    /// Checks all endpoints of a target, as [`check`](Self::check) does.
    ///
    /// # Panics
    /// As `check`.
    pub fn check_all(self, upstream: &Upstream) {
        upstream.endpoints().iter().for_each(|endpoint| self.check(endpoint));
    }
}

/// Written apart from the code under test: RFC 1122 3.2.1.3, RFC 5771, RFC 4291 2.5.2 and 2.7.
pub(crate) fn is_useless(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.octets() == [0; 4] || ip.octets() == [255; 4] || (224..=239).contains(&ip.octets()[0]),
        IpAddr::V6(ip) => ip.segments() == [0; 8] || ip.octets()[0] == 0xff,
    }
}
