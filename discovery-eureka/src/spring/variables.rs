//! The variables of Spring, by the property that they set.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use super::value::Value;

/// The prefixes of the properties whose variables are reported if they are not read.
const PREFIXES: [&str; 2] = ["eurekaclient", "eurekainstance"];

/// The prefix of the metadata entries.
const METADATA: &str = "eurekainstancemetadatamap";

/// All variables that may set a property, by the form of their name in which case, `_`, `-` and `.` do not count.
///
/// Spring Boot's relaxed binding reads a property such as `eureka.client.service-url.defaultZone` from several spellings:
/// `EUREKA_CLIENT_SERVICEURL_DEFAULTZONE` without dashes, `EUREKA_CLIENT_SERVICE_URL_DEFAULTZONE` with `_` in their place
/// (`SystemEnvironmentPropertyMapper`), and the name of the property itself, which a container may have as a variable.
pub(super) struct Variables<'a> {
    all: BTreeMap<String, Vec<(&'a str, &'a str)>>,
    read: RefCell<BTreeSet<&'a str>>,
}

impl<'a> Variables<'a> {
    pub(super) fn new(variables: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut all = BTreeMap::<String, Vec<(&str, &str)>>::new();
        for (name, value) in variables {
            all.entry(uniform(name)).or_default().push((name, value));
        }
        Self { all, read: RefCell::default() }
    }

    /// Returns the value of a property, which is written as in Spring's documentation. The spelling that Spring
    /// recommends wins over the others, which are taken in the order of their names. An empty variable counts as absent.
    pub(super) fn get(&self, property: &str) -> Option<Value<'a>> {
        let recommended = property.replace('-', "").replace('.', "_").to_uppercase();
        let spellings = self.all.get(&uniform(property))?;
        self.read.borrow_mut().extend(spellings.iter().map(|(name, _)| *name));
        let set = || spellings.iter().filter(|(_, value)| !value.trim().is_empty());
        let (name, value) = set().find(|(name, _)| *name == recommended).or_else(|| set().next())?;
        Some(Value::new(name, value.trim()))
    }

    /// Returns the metadata entries, whose keys are case-sensitive.
    pub(super) fn metadata(&self) -> BTreeMap<String, Value<'a>> {
        let mut entries = BTreeMap::new();
        for (name, value) in self.all.values().flatten() {
            let Some(key) = metadata_key(name) else { continue };
            self.read.borrow_mut().insert(name);
            if !value.is_empty() {
                entries.entry(key).or_insert(Value::new(name, value));
            }
        }
        entries
    }

    /// Returns the names of Spring's variables that were not read, apart from those that the kubelet writes for a Service
    /// named `eureka-client` or `eureka-instance`.
    pub(super) fn unread(&self) -> Vec<String> {
        let read = self.read.borrow();
        let of_spring = self.all.iter().filter(|(form, _)| PREFIXES.iter().any(|prefix| form.starts_with(prefix)));
        let names = of_spring.flat_map(|(_, spellings)| spellings).map(|(name, _)| *name);
        let mut unread: Vec<_> =
            names.filter(|name| !read.contains(name) && !is_of_service(name)).map(str::to_owned).collect();
        unread.sort_unstable();
        unread
    }

    /// Returns whether the kubelet wrote this variable for a Service: `<SERVICE>_PORT` beside `<SERVICE>_SERVICE_HOST`.
    pub(super) fn is_kubelets(&self, value: &Value<'_>) -> bool {
        let Some(service) = value.name().strip_suffix("_PORT") else { return false };
        let has_scheme = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.text().starts_with(scheme));
        let host = format!("{service}_SERVICE_HOST");
        has_scheme && self.all.values().flatten().any(|(name, _)| *name == host)
    }
}

fn uniform(name: &str) -> String {
    name.chars().filter(|c| !is_separator(*c)).flat_map(char::to_lowercase).collect()
}

fn is_separator(c: char) -> bool {
    matches!(c, '_' | '-' | '.')
}

/// Returns the key of a metadata entry; `None` for another variable.
///
/// Spring lower-cases the name of a variable, and reads `_` as the end of an element: `..._METADATAMAP_MANAGEMENT_PORT` is
/// `management.port`. A name with dots keeps its key, `eureka.instance.metadata-map.Git-Commit`, in brackets if it likes.
fn metadata_key(name: &str) -> Option<String> {
    let mut rest = name;
    for wanted in METADATA.chars() {
        rest = rest.trim_start_matches(is_separator);
        let mut chars = rest.chars();
        if chars.next()?.to_ascii_lowercase() != wanted {
            return None;
        }
        rest = chars.as_str();
    }
    if let Some(key) = rest.strip_prefix('[').or_else(|| rest.strip_prefix(".[")) {
        return key.strip_suffix(']').filter(|key| !key.is_empty()).map(str::to_owned);
    }
    let key = match rest.strip_prefix('_') {
        Some(key) => key.to_lowercase().replace('_', "."),
        None => rest.strip_prefix('.')?.to_owned(),
    };
    Some(key).filter(|key| !key.is_empty())
}

/// Returns whether the kubelet writes a variable of this name for one of the Services `eureka-client` and
/// `eureka-instance`.
fn is_of_service(name: &str) -> bool {
    let rest = ["EUREKA_CLIENT_", "EUREKA_INSTANCE_"].iter().find_map(|prefix| name.strip_prefix(prefix));
    rest.is_some_and(|rest| {
        rest == "PORT" || ["PORT_", "SERVICE_HOST", "SERVICE_PORT"].iter().any(|begin| rest.starts_with(begin))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "eureka.client.service-url.defaultZone";

    fn get(vars: &[(&str, &str)], property: &str) -> Option<String> {
        Variables::new(vars.iter().copied()).get(property).map(|value| value.text().to_owned())
    }

    #[test]
    fn reads_every_spelling_of_a_property() {
        for name in [
            "EUREKA_CLIENT_SERVICEURL_DEFAULTZONE",
            "EUREKA_CLIENT_SERVICE_URL_DEFAULTZONE",
            "EUREKA_CLIENT_SERVICE_URL_DEFAULT_ZONE",
            "eureka_client_serviceUrl_defaultZone",
            "eureka.client.serviceUrl.defaultZone",
            "eureka.client.service-url.defaultZone",
            "eureka.client.service-url.default-zone",
        ] {
            assert_eq!(get(&[(name, " x ")], URL).as_deref(), Some("x"), "{name}");
        }
        for name in ["EUREKA_CLIENT_SERVICEURL", "EUREKA_CLIENT_SERVICEURL_ZONE1", "EUREKA_URL"] {
            assert_eq!(get(&[(name, "x")], URL), None, "{name}");
        }
    }

    #[test]
    fn the_recommended_spelling_wins_unless_it_is_empty() {
        let other = ("EUREKA_CLIENT_SERVICE_URL_DEFAULTZONE", "other");
        let recommended = "EUREKA_CLIENT_SERVICEURL_DEFAULTZONE";
        assert_eq!(get(&[other, (recommended, "first")], URL).as_deref(), Some("first"));
        assert_eq!(get(&[other, (recommended, " ")], URL).as_deref(), Some("other"));
        assert_eq!(get(&[(recommended, "")], URL), None);
    }

    #[test]
    fn metadata_keys_are_read_as_spring_reads_them() {
        for (name, key) in [
            ("EUREKA_INSTANCE_METADATAMAP_VERSION", Some("version")),
            ("EUREKA_INSTANCE_METADATA_MAP_VERSION", Some("version")),
            ("EUREKA_INSTANCE_METADATA_MAP_MANAGEMENT_PORT", Some("management.port")),
            ("eureka.instance.metadata-map.Git-Commit", Some("Git-Commit")),
            ("eureka.instance.metadataMap.management.port", Some("management.port")),
            ("eureka.instance.metadata-map[a_b.C]", Some("a_b.C")),
            ("eureka.instance.metadata-map.[a_b]", Some("a_b")),
            ("EUREKA_INSTANCE_METADATAMAP", None),
            ("EUREKA_INSTANCE_METADATAMAP_", None),
            ("eureka.instance.metadata-map[]", None),
            ("EUREKA_INSTANCE_METADATAMAPVERSION", None),
            ("EUREKA_INSTANCE_APPNAME", None),
            ("É", None),
        ] {
            assert_eq!(metadata_key(name).as_deref(), key, "{name}");
        }
    }

    #[test]
    fn reports_what_it_did_not_read() {
        let vars = [
            ("EUREKA_CLIENT_SERVICEURL_DEFAULTZONE", "a"),
            ("EUREKA_CLIENT_SERVICE_URL_DEFAULTZONE", "b"),
            ("EUREKA_CLIENT_REGION", "eu"),
            ("EUREKA_INSTANCE_METADATAMAP_A", "b"),
            ("EUREKA_INSTANCE_ASGNAME", "x"),
            ("EUREKA_CLIENT_SERVICE_HOST", "10.0.0.1"),
            ("EUREKA_CLIENT_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("EUREKA_SERVER_PORT", "8761"),
            ("HOME", "/"),
        ];
        let variables = Variables::new(vars.into_iter());
        variables.get(URL).unwrap();
        variables.metadata();
        assert_eq!(variables.unread(), ["EUREKA_CLIENT_REGION", "EUREKA_INSTANCE_ASGNAME"]);
    }
}
