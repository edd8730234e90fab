//! One instance of an application, and its status.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use discovery_core::endpoint::SpecialAddress;

use super::Lease;

/// One instance of an application, as the registry holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Instance {
    /// The application, in upper case by convention.
    pub app: String,
    /// The id, unique within the application.
    pub id: String,
    /// The host that other clients connect to: a name or an address.
    pub host_name: String,
    /// The address, as unparsed text.
    pub ip_addr: Option<String>,
    /// The status, with an override applied.
    pub status: Status,
    /// The override that an operator or the application set in the registry; `None` without one.
    pub overridden_status: Option<Status>,
    /// The port without TLS; `None` if the record has none.
    pub port: Option<InstancePort>,
    /// The port with TLS; `None` if the record has none.
    pub secure_port: Option<InstancePort>,
    /// The VIPs of the instance.
    pub vip_addresses: Vec<String>,
    /// The VIPs of its TLS port.
    pub secure_vip_addresses: Vec<String>,
    /// A port is registered as 0, which is not a port: the application had not bound its port yet
    /// (spring-cloud-netflix #843).
    pub(crate) has_port_0: bool,
    /// The metadata that the application registered.
    pub metadata: BTreeMap<String, String>,
    /// The lease; `None` if the record has none.
    pub lease: Option<Lease>,
    /// The pages that the instance registered.
    pub urls: InstanceUrls,
    /// The name of the data center: `MyOwn`, `Amazon` or `Netflix`.
    pub data_center: Option<String>,
    /// The group of the application.
    pub app_group: Option<String>,
    /// The time of the last change of the record, in milliseconds since 1970, by the clock of the instance.
    pub last_dirty: Option<u64>,
    /// The time at which the registry last changed the record, in milliseconds since 1970.
    pub last_updated: Option<u64>,
}

impl Instance {
    /// Returns the zone: `metadata.zone`, else the availability zone of an Amazon record.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        let zone = self.metadata.get("zone").or_else(|| self.metadata.get("availability-zone"));
        zone.map(String::as_str).filter(|zone| !zone.is_empty())
    }

    /// Returns the address: `ipAddr`, else the host name if that is an address. An IPv4-mapped IPv6 address is the IPv4
    /// address.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip_addr.as_deref().and_then(parse_ip).or_else(|| parse_ip(&self.host_name))
    }

    /// Returns whether both records are the same but for the lease, which every heartbeat changes.
    pub(crate) fn is_same_but_lease(&self, other: &Self) -> bool {
        let Self {
            app,
            id,
            host_name,
            ip_addr,
            status,
            overridden_status,
            port,
            secure_port,
            vip_addresses,
            secure_vip_addresses,
            has_port_0,
            metadata,
            lease: _,
            urls,
            data_center,
            app_group,
            last_dirty,
            last_updated,
        } = self;
        let names = (app, id, host_name, ip_addr, vip_addresses, secure_vip_addresses);
        let rest = (status, overridden_status, port, secure_port, has_port_0, last_dirty, last_updated);
        names
            == (
                &other.app,
                &other.id,
                &other.host_name,
                &other.ip_addr,
                &other.vip_addresses,
                &other.secure_vip_addresses,
            )
            && rest
                == (
                    &other.status,
                    &other.overridden_status,
                    &other.port,
                    &other.secure_port,
                    &other.has_port_0,
                    &other.last_dirty,
                    &other.last_updated,
                )
            && (metadata, urls, data_center, app_group)
                == (&other.metadata, &other.urls, &other.data_center, &other.app_group)
    }

    /// Returns `ipAddr` if a connection to it can lead to an instance: not `0.0.0.0`, for example.
    pub(crate) fn usable_ip(&self) -> Option<IpAddr> {
        self.ip_addr.as_deref().and_then(parse_ip).filter(can_lead_to_instance)
    }

    /// Returns `hostName` without brackets and without the port that some clients register in it; `None` if it is
    /// empty.
    pub(crate) fn host(&self) -> Option<&str> {
        let text = self.host_name.trim();
        let host = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((v6, _)) => v6,
            None => match text.split_once(':') {
                // More than one colon: an IPv6 address without brackets.
                Some((host, port)) if !port.contains(':') => host,
                _ => text,
            },
        };
        Some(host).filter(|host| !host.is_empty())
    }
}

/// Parses an address, with or without brackets; an IPv4-mapped IPv6 address is the IPv4 address.
fn parse_ip(text: &str) -> Option<IpAddr> {
    text.trim().trim_matches(['[', ']']).parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

/// Returns whether a connection to the address can lead to an instance on another machine or on this one, whatever the
/// reader's own addresses are.
pub(crate) fn can_lead_to_instance(ip: &IpAddr) -> bool {
    match SpecialAddress::of(*ip) {
        // Without the zone, a link-local address of IPv6 names no interface.
        Some(SpecialAddress::LinkLocal) => ip.is_ipv4(),
        Some(special) => !special.is_unusable(),
        None => true,
    }
}

/// The pages that an instance registered, as unparsed text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstanceUrls {
    /// The home page.
    pub home_page: Option<String>,
    /// The status page, such as `/actuator/info` of Spring.
    pub status_page: Option<String>,
    /// The health check without TLS, such as `/actuator/health` of Spring.
    pub health_check: Option<String>,
    /// The health check with TLS.
    pub secure_health_check: Option<String>,
}

/// A port of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct InstancePort {
    /// The number; never 0.
    pub number: u16,
    /// Whether the port is enabled.
    pub enabled: bool,
}

impl InstancePort {
    /// Returns the number if the port is enabled.
    #[must_use]
    pub fn in_use(self) -> Option<u16> {
        self.enabled.then_some(self.number)
    }
}

/// The status of an instance: `com.netflix.appinfo.InstanceInfo.InstanceStatus`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Ready for traffic.
    Up,
    /// Running, with a failing health check.
    Down,
    /// Starting, not ready for traffic yet.
    Starting,
    /// Taken out of traffic by an operator.
    OutOfService,
    /// Any other status text.
    #[default]
    Unknown,
}

impl Status {
    /// Returns the text on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "UP",
            Self::Down => "DOWN",
            Self::Starting => "STARTING",
            Self::OutOfService => "OUT_OF_SERVICE",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Parses the text on the wire. Unknown text and text in another case are `UNKNOWN`, as in the Java client: the
    /// registry hash counts them under that name.
    pub(super) fn from_wire(text: &str) -> Self {
        let all = [Self::Up, Self::Down, Self::Starting, Self::OutOfService];
        all.into_iter().find(|status| status.as_str() == text).unwrap_or_default()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
