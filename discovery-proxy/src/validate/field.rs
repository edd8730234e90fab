//! Checks that several objects share. Source: apimachinery pkg/util/validation/validation.go (`IsDNS1035Label`,
//! `IsDNS1123Label`, `IsValidPortNum`), k/k `ValidateEndpointIP` (`ValidateNonSpecialIP`).

use std::net::IpAddr;

use super::FieldError;
use crate::parse_ip;

/// `metadata.name` of a Service: RFC 1035, so that no label begins with a digit.
pub(super) fn dns_1035_label(field: &str, text: &str) -> Option<FieldError> {
    const RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                        alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', \
                        regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
    let starts_well = text.starts_with(|first: char| first.is_ascii_lowercase());
    label(field, text, starts_well, RULE)
}

/// Names of ports: RFC 1123.
pub(super) fn dns_1123_label(field: &str, text: &str) -> Option<FieldError> {
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

/// A port that can be dialled.
pub(super) fn port_number(field: &str, number: i32) -> Option<FieldError> {
    let is_valid = (1..=65_535).contains(&number);
    (!is_valid).then(|| FieldError::invalid(field, number, "must be between 1 and 65535, inclusive"))
}

/// An address that a pod elsewhere may have.
pub(super) fn special_ip(field: &str, text: &str) -> Option<FieldError> {
    let Some(ip) = parse_ip(text) else { return Some(not_an_ip(field, text)) };
    let is_link_local_multicast = match ip {
        IpAddr::V4(ip) => ip.octets().starts_with(&[224, 0, 0]),
        IpAddr::V6(ip) => matches!(ip.segments(), [0xff02 | 0xff12, ..]),
    };
    let is_link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let detail = match () {
        () if ip.is_unspecified() => format!("may not be unspecified ({ip})"),
        () if ip.is_loopback() => "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned(),
        () if is_link_local => "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned(),
        () if is_link_local_multicast => {
            "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned()
        }
        () => return None,
    };
    Some(FieldError::invalid(field, text, detail))
}

pub(super) fn not_an_ip(field: &str, text: &str) -> FieldError {
    FieldError::invalid(field, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")
}
