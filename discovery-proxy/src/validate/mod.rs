//! The API server's validation, which rejects objects before kube-proxy sees them.
//!
//! Source: k/k pkg/apis/core/validation/validation.go (`ValidateService`, `validateServicePort`,
//! `ValidateEndpointIP`), pkg/apis/discovery/validation/validation.go, pkg/registry/core/service (the allocators of
//! addresses and node ports), and apimachinery
//! pkg/util/validation/field/errors.go, whose kinds and texts are used here.
//!
//! Validation is separate from the [`Proxier`](super::Proxier), which accepts any object, as kube-proxy does. A test may
//! pass it objects that an API server would reject. Only the fields that decide where traffic goes are checked.

mod endpoint_slice;
mod service;

use std::{error, fmt, ops::RangeInclusive};

use discovery_core::endpoint::SpecialAddress;

use super::{
    Cidr,
    object::{EndpointSlice, Service, Unsupported},
    parse_ip,
};

/// The settings of the API server that validation depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    node_ports: RangeInclusive<i32>,
    service_cidrs: Vec<Cidr>,
}

impl Default for Rules {
    /// Allows node ports from 30000 to 32767 and any cluster IP.
    fn default() -> Self {
        Self { node_ports: 30_000..=32_767, service_cidrs: Vec::new() }
    }
}

impl Rules {
    /// Sets the range of node ports (`--service-node-port-range`).
    #[must_use]
    pub fn with_node_ports(mut self, range: RangeInclusive<i32>) -> Self {
        self.node_ports = range;
        self
    }

    /// Sets the ranges of cluster IPs, one for each family (`--service-cluster-ip-range`).
    #[must_use]
    pub fn with_service_cidrs(mut self, ranges: impl IntoIterator<Item = Cidr>) -> Self {
        self.service_cidrs = ranges.into_iter().collect();
        self
    }

    /// Validates a Service; returns no errors if it is valid.
    #[must_use]
    pub fn service(&self, service: &Service) -> Vec<FieldError> {
        service::validate(service, self)
    }

    /// Validates an EndpointSlice; returns no errors if it is valid.
    #[must_use]
    pub fn endpoint_slice(&self, slice: &EndpointSlice) -> Vec<FieldError> {
        endpoint_slice::validate(slice)
    }
}

/// An invalid field of an API object. Its `Display` is the API server's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    field: String,
    kind: ErrorKind,
    /// The value as it is printed.
    value: String,
    detail: String,
}

/// The kind of a [`FieldError`], as in `field.Error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The field must be set.
    Required,
    /// The value is not allowed.
    Invalid,
    /// The value occurs more than once.
    Duplicate,
    /// The field must not be set.
    Forbidden,
    /// The list has too many items.
    TooMany,
    /// The value is not one of the supported values.
    NotSupported,
}

impl FieldError {
    /// Returns the path of the field, such as `spec.ports[0].nodePort`.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// Returns the kind of the error.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    fn required(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { field: field.into(), kind: ErrorKind::Required, value: String::new(), detail: detail.into() }
    }

    fn forbidden(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Forbidden, ..Self::required(field, detail) }
    }

    fn invalid(field: impl Into<String>, value: impl fmt::Debug, detail: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Invalid, value: format!("{value:?}"), ..Self::required(field, detail) }
    }

    fn duplicate(field: impl Into<String>, value: impl fmt::Debug) -> Self {
        Self { kind: ErrorKind::Duplicate, value: format!("{value:?}"), ..Self::required(field, "") }
    }

    fn too_many(field: impl Into<String>, count: usize, max: usize) -> Self {
        let detail = format!("must have at most {max} items");
        Self { kind: ErrorKind::TooMany, value: count.to_string(), ..Self::required(field, detail) }
    }

    /// Creates the error for a value that could not be parsed, for callers that parse manifests.
    #[must_use]
    pub fn unsupported(field: impl Into<String>, word: &Unsupported) -> Self {
        let detail = format!("supported values: {}", word.supported());
        Self { kind: ErrorKind::NotSupported, value: format!("{:?}", word.value()), ..Self::required(field, detail) }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ErrorKind::Required => "Required value",
            ErrorKind::Invalid => "Invalid value",
            ErrorKind::Duplicate => "Duplicate value",
            ErrorKind::Forbidden => "Forbidden",
            ErrorKind::TooMany => "Too many",
            ErrorKind::NotSupported => "Unsupported value",
        };
        write!(f, "{}: {kind}", self.field)?;
        for part in [&self.value, &self.detail] {
            if !part.is_empty() {
                write!(f, ": {part}")?;
            }
        }
        Ok(())
    }
}

impl error::Error for FieldError {}

// The checks that several objects share. Source: apimachinery pkg/util/validation/validation.go (`IsDNS1035Label`,
// `IsDNS1123Label`, `IsValidPortNum`), k/k `ValidateEndpointIP` (`ValidateNonSpecialIP`).

/// Checks that a name is there at all.
fn missing(field: &str, text: &str, detail: &str) -> Option<FieldError> {
    text.is_empty().then(|| FieldError::required(field, detail))
}

/// What the API server says of an object without a name.
const NAME_REQUIRED: &str = "name or generateName is required";

/// Checks `metadata.name` of a Service: RFC 1035, where a label does not begin with a digit.
fn dns_1035_label(field: &str, text: &str) -> Option<FieldError> {
    const RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                        alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', \
                        regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
    let starts_well = text.starts_with(|first: char| first.is_ascii_lowercase());
    label(field, text, starts_well, RULE)
}

/// Checks names of ports: RFC 1123.
fn dns_1123_label(field: &str, text: &str) -> Option<FieldError> {
    const RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                        start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for \
                        validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
    let starts_well = text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    label(field, text, starts_well, RULE)
}

fn label(field: &str, text: &str, starts_well: bool, rule: &str) -> Option<FieldError> {
    let is_part = |part: char| part.is_ascii_lowercase() || part.is_ascii_digit() || part == '-';
    if text.len() > 63 {
        return Some(FieldError::invalid(field, text, "must be no more than 63 characters"));
    }
    let is_label = starts_well && text.chars().all(is_part) && !text.ends_with('-');
    (!is_label).then(|| FieldError::invalid(field, text, rule))
}

/// Checks a host name: RFC 1123 (`IsDNS1123Subdomain`).
fn dns_1123_subdomain(field: &str, text: &str) -> Option<FieldError> {
    const RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', \
                        and must start and end with an alphanumeric character (e.g. 'example.com', regex used for \
                        validation is \
                        '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    if text.len() > 253 {
        return Some(FieldError::invalid(field, text, "must be no more than 253 characters"));
    }
    let is_end = |end: Option<char>| end.is_some_and(|end| end.is_ascii_lowercase() || end.is_ascii_digit());
    let is_part = |part: char| part.is_ascii_lowercase() || part.is_ascii_digit() || part == '-';
    let is_label =
        |label: &str| is_end(label.chars().next()) && is_end(label.chars().next_back()) && label.chars().all(is_part);
    (!text.split('.').all(is_label)).then(|| FieldError::invalid(field, text, RULE))
}

/// Checks a port that is a number or a name (`ValidatePortNumOrName`, `IsValidPortName`; RFC 6335).
fn port_number_or_name(field: &str, text: &str) -> Vec<FieldError> {
    if let Ok(number) = text.parse() {
        return port_number(field, number).into_iter().collect();
    }
    let is_allowed = |part: char| part.is_ascii_lowercase() || part.is_ascii_digit() || part == '-';
    let has_letter = text.contains(|part: char| part.is_ascii_lowercase());
    let rules = [
        (text.len() <= 15, "must be no more than 15 characters"),
        (text.chars().all(is_allowed), "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"),
        (has_letter, "must contain at least one letter (a-z)"),
        (!text.contains("--"), "must not contain consecutive hyphens"),
        (!text.starts_with('-') && !text.ends_with('-'), "must not begin or end with a hyphen"),
    ];
    let broken = rules.into_iter().filter(|(is_kept, _)| !is_kept);
    broken.map(|(_, rule)| FieldError::invalid(field, text, rule)).collect()
}

/// Checks that a port can be dialed.
fn port_number(field: &str, number: i32) -> Option<FieldError> {
    let is_valid = (1..=65_535).contains(&number);
    (!is_valid).then(|| FieldError::invalid(field, number, "must be between 1 and 65535, inclusive"))
}

/// Checks that pods on other nodes can have the address.
fn non_special_ip(field: &str, text: &str) -> Option<FieldError> {
    let Some(ip) = parse_ip(text) else { return Some(not_an_ip(field, text)) };
    let detail = match SpecialAddress::of(ip)? {
        SpecialAddress::Unspecified => format!("may not be unspecified ({ip})"),
        SpecialAddress::Loopback => "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned(),
        SpecialAddress::LinkLocal => "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned(),
        SpecialAddress::LinkLocalMulticast => {
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned()
        }
        // Kubernetes accepts the others.
        _ => return None,
    };
    Some(FieldError::invalid(field, text, detail))
}

fn not_an_ip(field: &str, text: &str) -> FieldError {
    FieldError::invalid(field, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
}
