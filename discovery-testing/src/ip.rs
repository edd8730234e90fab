//! Addresses as arguments of builders.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IP address, or its text, as an argument of this crate's builders.
///
/// Text that is not an address is a mistake in the test, and panics with the text in the message.
///
/// ```
/// use discovery_testing::Pod;
/// use std::net::Ipv4Addr;
///
/// assert_eq!(Pod::new("127.0.0.2"), Pod::new(Ipv4Addr::new(127, 0, 0, 2)));
/// ```
pub trait IntoIp: sealed::Sealed {
    /// Returns the address.
    ///
    /// # Panics
    ///
    /// If the text is not an IP address.
    #[track_caller]
    fn into_ip(self) -> IpAddr;
}

impl IntoIp for IpAddr {
    fn into_ip(self) -> IpAddr {
        self
    }
}

impl IntoIp for Ipv4Addr {
    fn into_ip(self) -> IpAddr {
        self.into()
    }
}

impl IntoIp for Ipv6Addr {
    fn into_ip(self) -> IpAddr {
        self.into()
    }
}

impl IntoIp for &str {
    #[track_caller]
    fn into_ip(self) -> IpAddr {
        match self.parse() {
            Ok(ip) => ip,
            Err(_) => panic!("{self:?} is not an IP address"),
        }
    }
}

impl IntoIp for &String {
    #[track_caller]
    fn into_ip(self) -> IpAddr {
        self.as_str().into_ip()
    }
}

mod sealed {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    /// Prevents implementations outside this crate.
    #[expect(unnameable_types, reason = "sealed")]
    pub trait Sealed {}

    impl Sealed for IpAddr {}
    impl Sealed for Ipv4Addr {}
    impl Sealed for Ipv6Addr {}
    impl Sealed for &str {}
    impl Sealed for &String {}
}
