//! Reads a page from its JSON, record by record.
//!
//! A tree of all values would take a multiple of the body in memory. What is not used is skipped.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::{
    Action, Page,
    allowance::Allowance,
    read_instance,
    record::{Kind, Pruned},
    text, text_of,
};

/// Reads a part of a page. Returns whether that part is an object.
#[derive(Debug)]
pub(super) struct Part<'a> {
    pub(super) kind: PartKind,
    pub(super) page: &'a mut Page,
    pub(super) allowance: &'a Allowance,
}

/// Which part of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartKind {
    /// The whole document, of which one field counts.
    Document(&'static str),
    Applications,
    /// An array of applications, or one application: XStream servers omit the brackets around one element.
    ApplicationList,
    Application,
    /// An array of instances, or one instance.
    InstanceList,
    Instance,
}

impl PartKind {
    /// The kind of a field; `None` for a field that is not used.
    fn field(self, name: &str) -> Option<Self> {
        match (self, name) {
            (Self::Document("applications"), "applications") => Some(Self::Applications),
            (Self::Document("application"), "application") => Some(Self::Application),
            (Self::Document("instance"), "instance") => Some(Self::Instance),
            (Self::Applications, "application") => Some(Self::ApplicationList),
            (Self::ApplicationList | Self::Application, "instance") => Some(Self::InstanceList),
            _ => None,
        }
    }
}

impl Part<'_> {
    fn part(&mut self, kind: PartKind) -> Part<'_> {
        Part { kind, page: self.page, allowance: self.allowance }
    }

    fn scalar(&self) -> Pruned<'_> {
        Pruned { kind: Kind::Scalar, allowance: self.allowance }
    }

    /// Adds an instance. A record of an unexpected shape is an instance without fields.
    fn add<E: de::Error>(&mut self, record: &Value) -> Result<(), E> {
        self.allowance.take_instance()?;
        for vips in ["vipAddress", "secureVipAddress"] {
            let vips = record[vips].as_str().map_or(0, |vips| vips.split(',').count());
            self.allowance.take_texts(vips)?;
        }
        let deleted = text_of(record, "actionType").is_some_and(|action| action == "DELETED");
        let action = if deleted { Action::Deleted } else { Action::Put };
        self.page.entries.push((action, read_instance(record)));
        Ok(())
    }

    /// A value that is neither an array nor an object.
    fn leaf<E: de::Error>(mut self) -> Result<bool, E> {
        if self.kind == PartKind::Instance {
            self.add(&Value::Null)?;
        }
        Ok(false)
    }

    /// Reads an application, or an object that contains some.
    fn fields<'de, A: MapAccess<'de>>(mut self, mut fields: A) -> Result<bool, A::Error> {
        let (start, mut app, mut found) = (self.page.entries.len(), None, false);
        while let Some(name) = fields.next_key::<String>()? {
            if let Some(kind) = self.kind.field(&name) {
                // Of a field that is repeated, the last value counts.
                self.page.entries.truncate(start);
                found = fields.next_value_seed(self.part(kind))?;
            } else if name == "name" && matches!(self.kind, PartKind::Application | PartKind::ApplicationList) {
                app = text(&fields.next_value_seed(self.scalar())?).filter(|app| !app.is_empty());
            } else if name == "apps__hashcode" && self.kind == PartKind::Applications {
                let hash = text(&fields.next_value_seed(self.scalar())?);
                self.page.hash = hash;
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        if let Some(app) = app {
            for (_, instance) in self.page.entries.iter_mut().skip(start) {
                instance.app.clone_from(&app);
            }
        }
        Ok(found || !matches!(self.kind, PartKind::Document(_)))
    }
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<bool, E> {
        self.leaf()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<bool, E> {
        self.leaf()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<bool, E> {
        self.leaf()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<bool, E> {
        self.leaf()
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<bool, E> {
        self.leaf()
    }

    fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
        self.leaf()
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<bool, A::Error> {
        let element = match self.kind {
            PartKind::ApplicationList => PartKind::Application,
            PartKind::InstanceList => PartKind::Instance,
            _ => {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                return self.leaf();
            }
        };
        while list.next_element_seed(self.part(element))?.is_some() {}
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(mut self, fields: A) -> Result<bool, A::Error> {
        if !matches!(self.kind, PartKind::Instance | PartKind::InstanceList) {
            return self.fields(fields);
        }
        let record = Pruned { kind: Kind::Instance, allowance: self.allowance }.visit_map(fields)?;
        self.add(&record)?;
        Ok(true)
    }
}
