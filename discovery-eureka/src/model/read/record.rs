//! The fields of one record that are used, as a JSON value.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::allowance::Allowance;

/// Reads a value without what is not used: an array is null, and an object has only the fields that its kind names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pruned<'a> {
    pub(super) kind: Kind,
    pub(super) allowance: &'a Allowance,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Instance,
    DataCenter,
    Metadata,
    /// A port, a lease, or the metadata of a data center: an object of scalars.
    Part,
    /// Not an object.
    Scalar,
}

/// The scalars of an instance.
const INSTANCE: [&str; 19] = [
    "actionType",
    "app",
    "appGroupName",
    "healthCheckUrl",
    "homePageUrl",
    "hostName",
    "instanceId",
    "ipAddr",
    "lastDirtyTimestamp",
    "lastUpdatedTimestamp",
    "overriddenStatus",
    "overriddenstatus",
    "secureHealthCheckUrl",
    "secureVipAddress",
    "status",
    "statusPageUrl",
    "vipAddress",
    "port",
    "securePort",
];

/// The scalars of a port, a lease, and the metadata of a data center.
const PART: [&str; 11] = [
    "$",
    "@enabled",
    "availability-zone",
    "durationInSecs",
    "evictionTimestamp",
    "instance-id",
    "lastRenewalTimestamp",
    "registrationTimestamp",
    "renewalIntervalInSecs",
    "renewalTimestamp",
    "serviceUpTimestamp",
];

impl Kind {
    /// Returns the kind of a field; `None` for a field that is not used.
    fn field(self, name: &str) -> Option<Self> {
        match (self, name) {
            (Self::Instance, "port" | "securePort" | "leaseInfo") | (Self::DataCenter, "metadata") => Some(Self::Part),
            (Self::Instance, "dataCenterInfo") => Some(Self::DataCenter),
            (Self::Instance, "metadata") => Some(Self::Metadata),
            (Self::Instance, name) => INSTANCE.contains(&name).then_some(Self::Scalar),
            (Self::Part, name) => PART.contains(&name).then_some(Self::Scalar),
            (Self::DataCenter, "name") | (Self::Metadata, _) => Some(Self::Scalar),
            (Self::DataCenter | Self::Scalar, _) => None,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Pruned<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Pruned<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            let Some(kind) = self.kind.field(&name) else {
                fields.next_value::<IgnoredAny>()?;
                continue;
            };
            if self.kind == Kind::Metadata {
                self.allowance.take_texts(1)?;
            }
            object.insert(name, fields.next_value_seed(Self { kind, ..self })?);
        }
        Ok(if self.kind == Kind::Scalar { Value::Null } else { object.into() })
    }
}
