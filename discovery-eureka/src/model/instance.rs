//! One instance of an application.

use std::{collections::BTreeMap, net::IpAddr};

use super::Status;

/// One instance of an application, as the registry knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Instance {
    /// The application, in upper case by convention.
    pub app: String,
    /// The id, unique within the application.
    pub id: String,
    /// What other clients dial: a name, or an address.
    pub host_name: String,
    /// The address, as a text that need not be one.
    pub ip_addr: Option<String>,
    /// The status, with any override in it.
    pub status: Status,
    /// The port without TLS; `None` where the record has none.
    pub port: Option<InstancePort>,
    /// The port with TLS; `None` where the record has none.
    pub secure_port: Option<InstancePort>,
    /// The names that it is found by.
    pub vip_addresses: Vec<String>,
    /// The names that its port with TLS is found by.
    pub secure_vip_addresses: Vec<String>,
    /// What the application says of itself.
    pub metadata: BTreeMap<String, String>,
    /// When the application last changed its record, in milliseconds since 1970.
    pub last_dirty: Option<u64>,
}

/// A port of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct InstancePort {
    /// The number; never 0.
    pub number: u16,
    /// Whether it is in use.
    pub enabled: bool,
}

impl Instance {
    /// The zone: `metadata.zone`, else the availability zone of an Amazon record.
    #[must_use]
    pub fn zone(&self) -> Option<&str> {
        let zone = self.metadata.get("zone").or_else(|| self.metadata.get("availability-zone"));
        zone.map(String::as_str).filter(|zone| !zone.is_empty())
    }

    /// The address: `ipAddr`, or the host name where that is an address.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        let text = |text: &str| text.trim_matches(['[', ']']).parse().ok();
        self.ip_addr.as_deref().and_then(text).or_else(|| text(&self.host_name))
    }
}

impl InstancePort {
    /// The number, where the port is in use.
    #[must_use]
    pub fn in_use(self) -> Option<u16> {
        self.enabled.then_some(self.number)
    }
}
