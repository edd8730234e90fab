//! Which addresses an answer may have, by where it comes from.

use std::net::{IpAddr, Ipv4Addr};

use crate::endpoint::SpecialAddress;

/// Which addresses the endpoints of an answer may have, by where the answer comes from.
///
/// An address that does not name one machine (unspecified, multicast, broadcast) is refused from every source. The
/// resolver applies the rules to the answer of every source, in one place, and says in the explanation what it refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressScope {
    refuses_loopback: bool,
    refuses_link_local: bool,
    is_remote: bool,
}

impl AddressScope {
    /// The answer is that of the application, of the user, or of this process's environment: an address literal, a
    /// variable, a file of this machine, a source of your own. The default.
    pub const LOCAL: Self = Self { refuses_loopback: false, refuses_link_local: false, is_remote: false };

    /// The answer is that of the cluster: EndpointSlices, and DNS below the cluster's domain. A pod has neither a
    /// loopback nor a link-local address as the others see it, and the API server forbids both for endpoints
    /// (`ValidateEndpointIP`). With such an address, an attacker directs requests to this pod's own ports, or to the
    /// credentials that clouds serve at 169.254.169.254.
    pub const CLUSTER: Self = Self { refuses_loopback: true, refuses_link_local: true, is_remote: false };

    /// The answer is that of a stranger: public DNS, or a registry. Such an answer may name private addresses, unless
    /// the resolver has [`deny_private`](crate::context::Settings::deny_private).
    pub const REMOTE: Self = Self { refuses_loopback: false, refuses_link_local: false, is_remote: true };

    /// Accepts loopback addresses if the server that answers has itself one: it then runs on this machine, and so may
    /// its pods. That is how test doubles run.
    #[must_use]
    pub const fn accepting_loopback_if(self, server_is_here: bool) -> Self {
        Self { refuses_loopback: self.refuses_loopback && !server_is_here, ..self }
    }

    /// Both rules: those of this scope and those of `other`.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            refuses_loopback: self.refuses_loopback || other.refuses_loopback,
            refuses_link_local: self.refuses_link_local || other.refuses_link_local,
            is_remote: self.is_remote || other.is_remote,
        }
    }

    /// Whether the answer is that of a stranger.
    #[must_use]
    pub const fn is_remote(self) -> bool {
        self.is_remote
    }

    /// Returns what is wrong with `ip` as the address of an endpoint; `None` if it may have the address. `deny_private`
    /// is the setting.
    #[must_use]
    pub fn refusal(self, ip: IpAddr, deny_private: bool) -> Option<SpecialAddress> {
        let special = SpecialAddress::of(translated(ip))?;
        let is_refused = special.is_unusable()
            || match special {
                SpecialAddress::Loopback => self.refuses_loopback,
                SpecialAddress::LinkLocal => self.refuses_link_local,
                _ => false,
            }
            || (self.is_remote && deny_private);
        is_refused.then_some(special)
    }
}

/// An address in 64:ff9b::/96 is the IPv4 address that a NAT64 gateway translates it to (RFC 6052 section 2.1).
fn translated(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) => match v6.segments() {
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
                Ipv4Addr::new(a, b, c, d).into()
            }
            _ => ip,
        },
        IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(scope: AddressScope, ip: &str, deny_private: bool) -> bool {
        scope.refusal(ip.parse().expect(ip), deny_private).is_some()
    }

    #[test]
    fn each_scope_refuses_what_its_answers_cannot_mean() {
        let (local, cluster, remote) = (AddressScope::LOCAL, AddressScope::CLUSTER, AddressScope::REMOTE);
        let here = cluster.accepting_loopback_if(true);
        for (ip, in_local, in_cluster, in_here, in_remote, in_denied) in [
            ("0.0.0.0", true, true, true, true, true),
            ("224.0.0.1", true, true, true, true, true),
            ("255.255.255.255", true, true, true, true, true),
            ("127.0.0.1", false, true, false, false, true),
            ("::ffff:127.0.0.1", false, true, false, false, true),
            ("::1", false, true, false, false, true),
            ("169.254.169.254", false, true, true, false, true),
            ("fe80::1", false, true, true, false, true),
            ("64:ff9b::a9fe:a9fe", false, true, true, false, true),
            ("10.0.0.1", false, false, false, false, true),
            ("64:ff9b::a00:1", false, false, false, false, true),
            ("fd00::1", false, false, false, false, true),
            ("192.0.2.1", false, false, false, false, false),
            ("2001:db8::1", false, false, false, false, false),
        ] {
            assert_eq!(refuses(local, ip, true), in_local, "{ip} local");
            assert_eq!(refuses(cluster, ip, true), in_cluster, "{ip} cluster");
            assert_eq!(refuses(here, ip, true), in_here, "{ip} cluster on this machine");
            assert_eq!(refuses(remote, ip, false), in_remote, "{ip} remote");
            assert_eq!(refuses(remote, ip, true), in_denied, "{ip} remote, deny_private");
            assert_eq!(refuses(cluster.and(remote), ip, true), in_cluster || in_denied, "{ip} alias");
        }
    }
}
