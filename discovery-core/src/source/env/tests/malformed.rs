//! Malformed and contradictory variables.

use super::*;

#[test]
fn a_malformed_variable_is_an_error_with_its_value_and_a_remedy() {
    let host = ("ORDERS_SERVICE_HOST", "10.0.0.11");
    for (vars, start) in [
        (
            &[host, ("ORDERS_SERVICE_PORT", "abc")][..],
            "`ORDERS_SERVICE_PORT` is `abc`: must be a port number from 1 to 65535",
        ),
        (&[host, ("ORDERS_SERVICE_PORT", "0")], "`ORDERS_SERVICE_PORT` is `0`: must be a port"),
        (&[host, ("ORDERS_SERVICE_PORT", "70000")], "`ORDERS_SERVICE_PORT` is `70000`: must be a port"),
        (&[host, ("ORDERS_SERVICE_PORT", "+80")], "`ORDERS_SERVICE_PORT` is `+80`: must be a port"),
        (&[host, ("ORDERS_SERVICE_PORT_API", "x")], "`ORDERS_SERVICE_PORT_API` is `x`: must be a port"),
        (&[("ORDERS_SERVICE_HOST", "not a host")], "`ORDERS_SERVICE_HOST` is `not a host`: must be an IP address or"),
        (&[("ORDERS_SERVICE_HOST", "10.0.0")], "`ORDERS_SERVICE_HOST` is `10.0.0`: must be an IP address or"),
        (&[("ORDERS_SERVICE_HOST", "db.corp:5432")], "`ORDERS_SERVICE_HOST` is `db.corp:5432`: must be an IP address"),
        (&[("ORDERS_SERVICE_HOST", "http://db.corp")], "`ORDERS_SERVICE_HOST` is `http://db.corp`: must be an IP"),
        (&[("ORDERS_SERVICE_HOST", "-db.corp")], "`ORDERS_SERVICE_HOST` is `-db.corp`: must be an IP address"),
        (&[("ORDERS_SERVICE_HOST", "db.corp"), ("ORDERS_SERVICE_PORT", "x")], "`ORDERS_SERVICE_PORT` is `x`: must be"),
        (&[("ORDERS_PORT", "tcp://10.0.0.1:80"), ("ORDERS_SERVICE_PORT", "x")], "`ORDERS_SERVICE_PORT` is `x`: must"),
        (&[("ORDERS_SERVICE_HOST", "[10.0.0.1]")], "`ORDERS_SERVICE_HOST` is `[10.0.0.1]`: must be an IP address"),
        (&[("ORDERS_PORT", "tcp://nonsense")], "`ORDERS_PORT` is `tcp://nonsense`: must be a Docker link"),
        (&[("ORDERS_PORT", "tcp://fd00::1:80")], "`ORDERS_PORT` is `tcp://fd00::1:80`: must be a Docker link"),
        (&[("ORDERS_PORT", "http://10.0.0.1:80")], "`ORDERS_PORT` is `http://10.0.0.1:80`: must be a Docker link"),
        (
            &[("ORDERS_PORT_80_TCP", "tcp://10.0.0.1:81")],
            "`ORDERS_PORT_80_TCP` is `tcp://10.0.0.1:81`: does not match the variable's own name",
        ),
        (
            &[("ORDERS_PORT_80_TCP", "udp://10.0.0.1:80")],
            "`ORDERS_PORT_80_TCP` is `udp://10.0.0.1:80`: does not match the variable's own name",
        ),
        (
            &[("ORDERS_PORT_80_TCP_PORT", "81")],
            "`ORDERS_PORT_80_TCP_PORT` is `81`: does not match the variable's own name, which says 80/tcp",
        ),
        (
            &[("ORDERS_PORT_80_TCP_PROTO", "udp")],
            "`ORDERS_PORT_80_TCP_PROTO` is `udp`: does not match the variable's own name, which says 80/tcp",
        ),
        (&[("ORDERS_PORT_80_TCP_ADDR", "db")], "`ORDERS_PORT_80_TCP_ADDR` is `db`: must be an IP address"),
        (
            &[("ORDERS_PORT", "tcp://10.0.0.1:80"), ("ORDERS_PORT_80_TCP_ADDR", "10.0.0.2")],
            "`ORDERS_PORT_80_TCP_ADDR` is `10.0.0.2`: contradicts `ORDERS_PORT`, which is `tcp://10.0.0.1:80`",
        ),
        (
            &[host, ("ORDERS_SERVICE_PORT", "81"), ("ORDERS_PORT", "tcp://10.0.0.11:80")],
            "`ORDERS_PORT` is `tcp://10.0.0.11:80`: contradicts `ORDERS_SERVICE_PORT`, which is `81`",
        ),
    ] {
        let error = outcome(vars, "orders:80");
        assert!(error.starts_with(start) && error.contains("; "), "{error}");
        assert!(!lookup(vars, "orders:80").evidence.is_empty(), "{vars:?}");
    }
}
