//! The record that the registry holds for this pod, and its JSON.
//!
//! The JSON has exactly the fields that every server accepts, in the shapes that all of them accept. Servers respond
//! with 400 to a port as a plain number, an unknown object, nested metadata or a data center without a class, and some
//! respond with 500 to a record without `overriddenstatus` (Netflix #1541).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use super::{RecordSettings, pages::Urls, step::Step};
use crate::{Error, Instance, InstancePort, Status, identity::PodEnvironment, registry::Call};
use serde::Serialize;

/// A record without its status and the time of its latest change.
#[derive(Clone, Debug)]
pub(super) struct Record {
    id: String,
    /// Upper case.
    app: String,
    host_name: String,
    ip: IpAddr,
    port: Option<u16>,
    secure_port: Option<u16>,
    vip: String,
    secure_vip: String,
    urls: Urls,
    renewal: Duration,
    lease: Duration,
    metadata: BTreeMap<String, String>,
}

impl RecordSettings {
    /// Checks what can be checked before the address is known.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.app.is_empty() {
            return Err(Error::config(
                "no application name: pass one to `app`, or set SPRING_APPLICATION_NAME if the settings come from Spring's \
                 variables",
            ));
        }
        check_app(&self.app)?;
        if let Some(host) = &self.host_name {
            check_host(host)?;
        }
        self.check_pages()?;
        if self.port.is_none() && self.secure_port.is_none() {
            return Err(Error::config("no port: pass the listener's port to `port` or `secure_port`"));
        }
        if self.port == Some(0) || self.secure_port == Some(0) {
            return Err(Error::config("port 0 is not in 1..=65535: pass the port of the bound listener"));
        }
        if self.renewal.is_zero() || self.lease <= self.renewal {
            return Err(Error::config(format!(
                "invalid lease of {:?} renewed every {:?}: the interval must be above 0 and below the lease",
                self.lease, self.renewal
            )));
        }
        Ok(())
    }

    /// Completes the record with the pod's address and environment.
    pub(super) fn into_record(self, ip: IpAddr, environment: &PodEnvironment) -> Result<Record, Error> {
        let id = self.instance_id.clone().unwrap_or_else(|| self.default_id(ip, environment));
        check_id(&id)?;
        let host_name = match &self.host_name {
            Some(name) => name.parse().map_or_else(|_| name.clone(), |ip: IpAddr| url_host(ip.to_canonical())),
            None => url_host(ip),
        };
        let urls = self.urls(&host_name);
        let variables = environment.metadata().map(|(key, value)| (key.to_owned(), value.to_owned()));
        let mut metadata: BTreeMap<_, _> = variables.collect();
        metadata.extend(self.metadata);
        let vip = self.vip.unwrap_or_else(|| self.app.to_lowercase());
        Ok(Record {
            id,
            app: self.app.to_uppercase(),
            secure_vip: self.secure_vip.unwrap_or_else(|| vip.clone()),
            vip,
            host_name,
            ip,
            port: self.port,
            secure_port: self.secure_port,
            urls,
            renewal: self.renewal,
            lease: self.lease,
            metadata,
        })
    }

    fn default_id(&self, ip: IpAddr, environment: &PodEnvironment) -> String {
        let ip = ip.to_string();
        let name = environment.pod_name().unwrap_or(&ip);
        let port = self.port.or(self.secure_port).unwrap_or_default();
        format!("{name}:{}:{port}:{}", self.app.to_lowercase(), environment.variable("POD_UID").unwrap_or(&ip))
    }
}

/// Accepts the name of an application.
pub(crate) fn check_app(app: &str) -> Result<(), Error> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if app.is_empty() || !app.chars().all(is_plain) {
        let rule = "it is empty, or contains a character that does not belong in a name";
        return Err(Error::config(format!(
            "invalid application `{app}`: {rule}; use letters, digits, `-`, `_` and `.`"
        )));
    }
    Ok(())
}

/// Accepts a name or an address without a port.
pub(crate) fn check_host(host: &str) -> Result<(), Error> {
    let is_v6 = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    let in_brackets = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_name = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if is_name || is_v6(host) || in_brackets.is_some_and(is_v6) {
        return Ok(());
    }
    Err(Error::config(format!(
        "invalid host name `{host}`: it is neither a name nor an address; leave out scheme, port and path, and pass the \
         port to `port` or `secure_port`"
    )))
}

/// Accepts an id that a server can address as one segment of a path.
pub(crate) fn check_id(id: &str) -> Result<(), Error> {
    let bad = id.chars().find(|c| "/\\;".contains(*c) || c.is_whitespace() || c.is_control());
    let rule = match bad {
        Some(bad) => format!("a registry cannot address {bad:?} (Netflix #796)"),
        None if id.is_empty() || id == "." || id == ".." => "a registry cannot address it".to_owned(),
        None => return Ok(()),
    };
    Err(Error::config(format!("invalid instance id `{id}`: {rule}; use letters, digits, `:`, `-` and `.`")))
}

/// Formats an address as the host of a URL.
fn url_host(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    }
}

impl Record {
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn app(&self) -> &str {
        &self.app
    }

    pub(super) fn renewal(&self) -> Duration {
        self.renewal
    }

    pub(super) fn lease(&self) -> Duration {
        self.lease
    }

    /// Sets or removes a metadata entry; false if there was nothing to remove.
    pub(super) fn set_metadata(&mut self, key: &str, value: Option<String>) -> bool {
        match value {
            Some(value) => {
                self.metadata.insert(key.to_owned(), value);
                true
            }
            None => self.metadata.remove(key).is_some(),
        }
    }

    /// Returns whether the registry's record leads to this pod. An older record of the same id may stay in a registry
    /// that responds with 204: one written by a pod whose clock was ahead (Netflix #802).
    pub(super) fn matches(&self, held: &Instance) -> bool {
        let port = |port: Option<InstancePort>| port.and_then(InstancePort::in_use);
        held.ip() == Some(self.ip) && port(held.port) == self.port && port(held.secure_port) == self.secure_port
    }

    /// Returns the request of a step; `None` for a wait.
    pub(super) fn call(&self, step: &Step, status: Status) -> Option<Call> {
        let (app, id) = (self.app.clone(), self.id.clone());
        Some(match step {
            Step::Register { dirty } => Call::Register { app, body: self.to_json(status, *dirty).into() },
            Step::Heartbeat { dirty } => Call::Heartbeat { app, id, status, dirty: *dirty },
            Step::Verify => Call::FetchInstance { app, id },
            Step::PutOverride(status) => Call::PutOverride { app, id, status: *status },
            Step::RemoveOverride(status) => Call::RemoveOverride { app, id, status: *status },
            Step::Metadata(keys) => Call::SetMetadata { app, id, pairs: self.metadata_of(keys) },
            Step::Wait(_) => return None,
        })
    }

    fn metadata_of(&self, keys: &BTreeSet<String>) -> Vec<(String, String)> {
        let pairs = self.metadata.iter().filter(|(key, _)| keys.contains(*key));
        pairs.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn to_json(&self, status: Status, dirty: u64) -> Vec<u8> {
        let instance = WireInstance {
            instance_id: &self.id,
            host_name: &self.host_name,
            app: &self.app,
            ip_addr: self.ip.to_string(),
            status: status.as_str(),
            overriddenstatus: Status::Unknown.as_str(),
            port: WirePort::new(self.port, 80),
            secure_port: WirePort::new(self.secure_port, 443),
            country_id: 1,
            data_center_info: WireDataCenter::OWN,
            lease_info: WireLease {
                renewal_interval_in_secs: whole_secs(self.renewal),
                duration_in_secs: whole_secs(self.lease),
            },
            metadata: &self.metadata,
            urls: &self.urls,
            vip_address: &self.vip,
            secure_vip_address: &self.secure_vip,
            is_coordinating_discovery_server: "false",
            last_updated_timestamp: dirty.to_string(),
            last_dirty_timestamp: dirty.to_string(),
        };
        // Text, numbers and maps with text keys: serialization cannot fail.
        serde_json::to_vec(&WireBody { instance }).unwrap_or_default()
    }
}

/// Rounds up to whole seconds, the unit of the wire. A server replaces 0 with its default.
fn whole_secs(duration: Duration) -> u64 {
    let secs = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    secs.max(1)
}

#[derive(Serialize)]
struct WireBody<'a> {
    instance: WireInstance<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireInstance<'a> {
    instance_id: &'a str,
    host_name: &'a str,
    app: &'a str,
    ip_addr: String,
    status: &'static str,
    overriddenstatus: &'static str,
    port: WirePort,
    secure_port: WirePort,
    country_id: u8,
    data_center_info: WireDataCenter,
    lease_info: WireLease,
    metadata: &'a BTreeMap<String, String>,
    #[serde(flatten)]
    urls: &'a Urls,
    vip_address: &'a str,
    secure_vip_address: &'a str,
    is_coordinating_discovery_server: &'static str,
    last_updated_timestamp: String,
    last_dirty_timestamp: String,
}

#[derive(Serialize)]
struct WirePort {
    #[serde(rename = "$")]
    number: u16,
    #[serde(rename = "@enabled")]
    enabled: &'static str,
}

impl WirePort {
    /// A port that is not in use is sent as disabled: a server would replace an absent port with 7001 or 7002.
    fn new(number: Option<u16>, otherwise: u16) -> Self {
        let enabled = if number.is_some() { "true" } else { "false" };
        Self { number: number.unwrap_or(otherwise), enabled }
    }
}

#[derive(Serialize)]
struct WireDataCenter {
    #[serde(rename = "@class")]
    class: &'static str,
    name: &'static str,
}

impl WireDataCenter {
    const OWN: Self = Self { class: "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", name: "MyOwn" };
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireLease {
    renewal_interval_in_secs: u64,
    duration_in_secs: u64,
}

#[cfg(test)]
pub(super) mod tests;
