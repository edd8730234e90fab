//! Addresses and ranges.

use super::world::cidr;
use crate::{Cidr, object::*, parse_ip};

fn canonical(text: &str) -> String {
    parse_ip(text).map_or_else(String::new, |ip| ip.to_string())
}

/// TestBadIPs.
#[test]
fn leading_zeros_are_decimal() {
    assert_eq!(canonical("172.30.0.041"), "172.30.0.41");
    assert_eq!(canonical("203.0.113.000"), "203.0.113.0");
    assert_eq!(canonical("010.001.0000.00255"), "10.1.0.255");
    assert_eq!(cidr("203.0.113.000/025").to_string(), "203.0.113.0/25");
}

#[test]
fn rejects_text_that_is_not_an_address() {
    for text in ["", "10.0.0", "10.0.0.0.1", "10.0.0.256", "10.0.0.-1", "10.0.0.+1", "10.0.0.1 ", "a.b.c.d", "1::2::3"]
    {
        assert_eq!(parse_ip(text), None, "{text}");
    }
    for text in ["", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/8/8"] {
        assert_eq!(Cidr::parse(text), None, "{text}");
    }
}

#[test]
fn ipv4_mapped_address_is_ipv4() {
    assert_eq!(canonical("::ffff:10.0.0.01"), "10.0.0.1");
    assert_eq!(canonical("64:ff9b::10.0.0.1"), "64:ff9b::a00:1");
    assert_eq!(canonical("::ffff:0.0.0.0"), "0.0.0.0");
    assert_eq!(IpFamily::from_ip("::ffff:10.0.0.1".parse().unwrap()), IpFamily::V4);
}

/// Go's `net.ParseCIDR` and `IPNet.Contains`, which compare IPv4-mapped addresses as IPv4.
#[test]
fn ipv4_mapped_range_is_an_ipv4_range() {
    assert_eq!(cidr("::ffff:10.1.2.3/104").to_string(), "10.0.0.0/8");
    assert_eq!(cidr("::ffff:10.1.2.3/128").to_string(), "10.1.2.3/32");
    assert_eq!(cidr("::ffff:0.0.0.0/96").to_string(), "0.0.0.0/0");
    assert_eq!(cidr("::ffff:10.0.0.1/8").to_string(), "::/8", "of which the mapped ones are a small part");
    assert!(cidr("10.0.0.0/8").contains("::ffff:10.9.9.9".parse().unwrap()));
    assert!(!cidr("::/0").contains("::ffff:10.9.9.9".parse().unwrap()));
}

#[test]
fn range_contains_addresses_with_its_prefix() {
    assert!(cidr("10.244.3.4/16").contains([10, 244, 9, 9].into()));
    assert!(!cidr("10.244.0.0/16").contains([10, 245, 0, 0].into()));
    assert!(cidr("0.0.0.0/0").contains([1, 2, 3, 4].into()));
    assert!(!cidr("0.0.0.0/0").contains("::1".parse().unwrap()));
    assert!(cidr("::/0").contains("fd00::1".parse().unwrap()) && cidr("::/0").is_zero());
    assert!(cidr("10.0.0.1/32").contains([10, 0, 0, 1].into()));
}

/// Every enum of the API parses from its `Display`, and an unknown spelling is the API server's error.
#[test]
fn enums_parse_from_the_spelling_of_the_api() {
    fn spellings<T>(texts: &[&str], default: Option<&str>)
    where
        T: std::str::FromStr<Err = Unsupported> + std::fmt::Display + std::fmt::Debug,
    {
        for text in texts {
            assert_eq!(text.parse::<T>().unwrap().to_string(), *text);
            let error = text.to_lowercase().parse::<T>().unwrap_err();
            assert!(error.supported().contains(&format!("{text:?}")), "{error}");
        }
        let empty = "".parse::<T>();
        assert_eq!(empty.ok().map(|value| value.to_string()).as_deref(), default);
    }
    spellings::<Protocol>(&["TCP", "UDP", "SCTP"], Some("TCP"));
    spellings::<IpFamily>(&["IPv4", "IPv6"], None);
    spellings::<ServiceType>(&["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"], Some("ClusterIP"));
    spellings::<TrafficPolicy>(&["Cluster", "Local"], Some("Cluster"));
    spellings::<Affinity>(&["None", "ClientIP"], Some("None"));
    spellings::<IpMode>(&["VIP", "Proxy"], None);
    spellings::<AddressType>(&["IPv4", "IPv6", "FQDN"], None);
    let error = "Cluster".parse::<ServiceType>().unwrap_err().to_string();
    let supported = "supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\"";
    assert_eq!(error, format!("Unsupported value: \"Cluster\": {supported}"));
}
