//! JSON to types.
//!
//! Servers write the same field in a different shape from version to version, and other clients register arbitrary
//! content. The fields of a record that are used are therefore read as a JSON value first, and a field of an unexpected
//! shape counts as absent.

mod allowance;
mod record;
mod stream;

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::de::DeserializeSeed as _;
use serde_json::Value;

use self::{
    allowance::Allowance,
    stream::{Part, PartKind},
};

use super::{Instance, InstancePort, InstanceUrls, Lease, Status};

/// One instance alone may have eight times as many VIPs and metadata entries.
const MAX_TEXTS: usize = 1000;

/// The response to `GET apps`, `apps/delta` or `vips/…`.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// The hash of the whole registry, if the server sent one.
    pub(crate) hash: Option<String>,
    /// The instances in the order of the response.
    pub(crate) entries: Vec<(Action, Instance)>,
}

/// What a delta does to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Adds or modifies; also the action of an entry without one.
    Put,
    Deleted,
}

/// Why a body could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    Json(serde_json::Error),
    NoRoot(&'static str),
    /// There are more instances than this, or more than they may contain.
    TooMany(usize),
}

/// Reads `{"applications": …}` of at most `max` instances.
pub(crate) fn applications(body: &[u8], max: usize) -> Result<Page, ReadError> {
    document(body, "applications", max)
}

/// Reads `{"application": …}` of at most `max` instances.
pub(crate) fn application(body: &[u8], max: usize) -> Result<Page, ReadError> {
    document(body, "application", max)
}

/// Reads `{"instance": …}`.
pub(crate) fn instance(body: &[u8]) -> Result<Instance, ReadError> {
    let mut page = document(body, "instance", MAX_TEXTS)?;
    page.entries.pop().map(|(_, instance)| instance).ok_or(ReadError::NoRoot("instance"))
}

fn document(body: &[u8], name: &'static str, max: usize) -> Result<Page, ReadError> {
    let (mut page, allowance) = (Page::default(), Allowance::new(max));
    let mut json = serde_json::Deserializer::from_slice(body);
    let part = Part { kind: PartKind::Document(name), page: &mut page, allowance: &allowance };
    let read = part.deserialize(&mut json).and_then(|found| json.end().map(|()| found));
    match read {
        Ok(true) => Ok(page),
        Ok(false) => Err(ReadError::NoRoot(name)),
        Err(_) if allowance.is_exceeded() => Err(ReadError::TooMany(max)),
        Err(error) => Err(ReadError::Json(error)),
    }
}

fn read_instance(value: &Value) -> Instance {
    let data_center = &value["dataCenterInfo"];
    let amazon = text_of(data_center, "name").is_some_and(|name| name == "Amazon");
    let amazon_text = |key| text_of(&data_center["metadata"], key).filter(|_| amazon);
    let host_name = text_of(value, "hostName").unwrap_or_default();
    let id = text_of(value, "instanceId").or_else(|| amazon_text("instance-id")).unwrap_or_else(|| host_name.clone());
    let mut metadata = metadata(&value["metadata"]);
    if let Some(zone) = amazon_text("availability-zone") {
        metadata.entry("availability-zone".to_owned()).or_insert(zone);
    }
    Instance {
        app: text_of(value, "app").unwrap_or_default(),
        id,
        host_name,
        ip_addr: text_of(value, "ipAddr"),
        status: text_of(value, "status").map_or(Status::Unknown, |status| Status::from_wire(&status)),
        port: port(&value["port"], true),
        secure_port: port(&value["securePort"], false),
        has_port_0: is_port_0(&value["port"]) || is_port_0(&value["securePort"]),
        vip_addresses: names(&value["vipAddress"]),
        secure_vip_addresses: names(&value["secureVipAddress"]),
        metadata,
        overridden_status: overridden_status(value),
        lease: lease(&value["leaseInfo"]),
        urls: InstanceUrls {
            home_page: text_of(value, "homePageUrl"),
            status_page: text_of(value, "statusPageUrl"),
            health_check: text_of(value, "healthCheckUrl"),
            secure_health_check: text_of(value, "secureHealthCheckUrl"),
        },
        data_center: text_of(data_center, "name"),
        app_group: text_of(value, "appGroupName"),
        last_dirty: unsigned(&value["lastDirtyTimestamp"]),
        last_updated: unsigned(&value["lastUpdatedTimestamp"]),
    }
}

/// Servers of different versions write the field with or without a capital `S`; UNKNOWN stands for no override.
fn overridden_status(value: &Value) -> Option<Status> {
    let text = text_of(value, "overriddenStatus").or_else(|| text_of(value, "overriddenstatus"))?;
    Some(Status::from_wire(&text)).filter(|status| *status != Status::Unknown)
}

/// A time of 0 is absent. `renewalTimestamp` is an older name of `lastRenewalTimestamp`.
fn lease(value: &Value) -> Option<Lease> {
    let lease = value.as_object()?;
    let at = |field: &str| lease.get(field).and_then(unsigned).filter(|number| *number != 0);
    Some(Lease {
        renewal_interval: at("renewalIntervalInSecs").map(Duration::from_secs),
        duration: at("durationInSecs").map(Duration::from_secs),
        registered_at: at("registrationTimestamp"),
        renewed_at: at("lastRenewalTimestamp").or_else(|| at("renewalTimestamp")),
        evicted_at: at("evictionTimestamp"),
        up_since: at("serviceUpTimestamp"),
    })
}

/// Reads `{"$": 8080, "@enabled": "true"}` or a part of it. By default the plain port is enabled, and the TLS port is
/// not.
fn port(value: &Value, enabled_by_default: bool) -> Option<InstancePort> {
    let (inner, enabled) = match value {
        Value::Object(port) => (port.get("$")?, port.get("@enabled").and_then(boolean)),
        plain => (plain, None),
    };
    let number = number(inner).and_then(|number| u16::try_from(number).ok()).filter(|number| *number != 0)?;
    Some(InstancePort { number, enabled: enabled.unwrap_or(enabled_by_default) })
}

/// Returns whether the port is registered as 0, and is not disabled.
fn is_port_0(value: &Value) -> bool {
    let enabled = value.get("@enabled").and_then(boolean).unwrap_or(true);
    enabled && number(value.get("$").unwrap_or(value)) == Some(0)
}

fn names(value: &Value) -> Vec<String> {
    let text = text(value).unwrap_or_default();
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Reads flat text values. `@class` comes from Java, not from the application.
fn metadata(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten().filter(|(key, _)| *key != "@class");
    pairs.filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()
}

/// Converts any scalar to text; `None` for null, objects and arrays.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(boolean) => Some(boolean.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Returns the text of a field that is present and not empty.
fn text_of(object: &Value, field: &str) -> Option<String> {
    text(&object[field]).filter(|text| !text.is_empty())
}

/// Reads a number, or text that contains one.
fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// Reads a number that is not negative, or text that contains one.
fn unsigned(value: &Value) -> Option<u64> {
    number(value).and_then(|number| u64::try_from(number).ok())
}

/// Reads a boolean, or text that contains one.
fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(boolean) => Some(*boolean),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not JSON: {error}"),
            Self::TooMany(max) => write!(
                f,
                "more than `max_instances` of {max} instances, or more than eight VIPs and metadata entries for each of \
                 {max} instances: raise it if the registry is that large"
            ),
            Self::NoRoot(name) => write!(f, "no object `{name}` at the top level of the JSON"),
        }
    }
}

#[cfg(test)]
mod tests;
