//! Random variables.

use proptest::prelude::*;

use super::*;

const NAMES: &[&str] = &[
    "A_SERVICE_HOST",
    "A_SERVICE_PORT",
    "A_SERVICE_PORT_HTTP",
    "A_SERVICE_PORT_80_TCP",
    "A_PORT",
    "A_PORT_80_TCP",
    "A_PORT_80_TCP_ADDR",
    "A_PORT_80_TCP_PORT",
    "A_PORT_80_TCP_PROTO",
    "A_PORT_53_UDP",
];

proptest! {
    #[test]
    fn random_values_do_not_cause_a_panic_or_port_0(
        vars in prop::collection::btree_map(
            prop::sample::select(NAMES),
            ".{0,20}|(tcp|udp)://(10.0.0.[0-9]|\\[::[0-9]\\]):(80|53|[0-9]{1,6})|[0-9]{1,6}|10.0.0.[0-9]|tcp",
            0..8,
        ),
        target in prop::sample::select(&["a", "a:80", "http://a", "a:http", "_dns._udp.a"][..]),
    ) {
        let vars: Vec<(&str, &str)> = vars.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = outcome(&vars, target);
        prop_assert!(!answer.ends_with(":0"), "{}", answer);
    }

    #[test]
    fn random_names_do_not_cause_a_panic(
        rest in prop::collection::btree_map("(SERVICE_|PORT_|_|[A-Z0-9]){0,6}", "[0-9a-z:/.]{0,12}", 0..6),
    ) {
        let names: Vec<(String, String)> = rest.into_iter().map(|(rest, value)| (format!("A_{rest}"), value)).collect();
        let vars: Vec<(&str, &str)> = names.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        outcome(&vars, "a:80");
    }
}
