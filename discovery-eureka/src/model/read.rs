//! JSON to types.
//!
//! Servers of several ages write the same field in several shapes, and other clients put what they like into a record:
//! everything is read as a value first, and a field of a shape that makes no sense counts as absent.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::{
    Instance, InstancePort, Status,
    value::{list, number, text, text_of, truth},
};

/// What `GET apps`, `apps/delta` or `vips/…` answered.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// The hash of the whole registry, where the server gives one.
    pub(crate) hash: Option<String>,
    /// The instances in the order of the answer, with what has become of them.
    pub(crate) entries: Vec<(Action, Instance)>,
}

/// What has become of an instance, in a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Added or modified; also where nothing is said.
    Put,
    Deleted,
}

/// Why an answer is none.
#[derive(Debug)]
pub(crate) enum ReadError {
    Json(serde_json::Error),
    NoRoot(&'static str),
}

/// Reads `{"applications": …}`.
pub(crate) fn applications(body: &[u8]) -> Result<Page, ReadError> {
    let root = root(body, "applications")?;
    let mut page = Page { hash: text(&root["apps__hashcode"]), entries: Vec::new() };
    for application in list(&root["application"]) {
        let app = text_of(application, "name");
        for value in list(&application["instance"]) {
            let deleted = text_of(value, "actionType").is_some_and(|action| action == "DELETED");
            let action = if deleted { Action::Deleted } else { Action::Put };
            page.entries.push((action, read_instance(value, app.as_deref())));
        }
    }
    Ok(page)
}

/// Reads `{"instance": …}`.
pub(crate) fn instance(body: &[u8]) -> Result<Instance, ReadError> {
    Ok(read_instance(&root(body, "instance")?, None))
}

fn root(body: &[u8], name: &'static str) -> Result<Value, ReadError> {
    let mut all: Value = serde_json::from_slice(body).map_err(ReadError::Json)?;
    match all.get_mut(name) {
        Some(root) if root.is_object() => Ok(root.take()),
        _ => Err(ReadError::NoRoot(name)),
    }
}

fn read_instance(value: &Value, app: Option<&str>) -> Instance {
    let data_center = &value["dataCenterInfo"];
    let amazon = text_of(data_center, "name").is_some_and(|name| name == "Amazon");
    let of_amazon = |key| text_of(&data_center["metadata"], key).filter(|_| amazon);
    let host_name = text_of(value, "hostName").unwrap_or_default();
    let id = text_of(value, "instanceId").or_else(|| of_amazon("instance-id")).unwrap_or_else(|| host_name.clone());
    let mut metadata = metadata(&value["metadata"]);
    if let Some(zone) = of_amazon("availability-zone") {
        metadata.entry("availability-zone".to_owned()).or_insert(zone);
    }
    Instance {
        app: app.map(str::to_owned).or_else(|| text_of(value, "app")).unwrap_or_default(),
        id,
        host_name,
        ip_addr: text_of(value, "ipAddr"),
        status: text_of(value, "status").map_or(Status::Unknown, |status| Status::read(&status)),
        port: port(&value["port"], true),
        secure_port: port(&value["securePort"], false),
        vip_addresses: names(&value["vipAddress"]),
        secure_vip_addresses: names(&value["secureVipAddress"]),
        metadata,
        last_dirty: number(&value["lastDirtyTimestamp"]).and_then(|stamp| u64::try_from(stamp).ok()),
    }
}

/// `{"$": 8080, "@enabled": "true"}`, and what is left of it: by default the plain port is in use, the other one not.
fn port(value: &Value, enabled_by_default: bool) -> Option<InstancePort> {
    let (inner, enabled) = match value {
        Value::Object(port) => (port.get("$")?, port.get("@enabled").and_then(truth)),
        plain => (plain, None),
    };
    let number = number(inner).and_then(|number| u16::try_from(number).ok()).filter(|number| *number != 0)?;
    Some(InstancePort { number, enabled: enabled.unwrap_or(enabled_by_default) })
}

fn names(value: &Value) -> Vec<String> {
    let text = text(value).unwrap_or_default();
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Flat texts; `@class` is Java's, not the application's.
fn metadata(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().into_iter().flatten().filter(|(key, _)| *key != "@class");
    pairs.filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not JSON: {error}"),
            Self::NoRoot(name) => write!(f, "JSON without an object `{name}` at its top"),
        }
    }
}

#[cfg(test)]
mod tests;
