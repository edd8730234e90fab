use super::*;

#[test]
fn what_is_malformed_is_an_error_that_tells_what_would_be_right() {
    let host = ("ORDERS_SERVICE_HOST", "10.0.0.11");
    for (vars, said) in [
        (
            &[host, ("ORDERS_SERVICE_PORT", "abc")][..],
            "`ORDERS_SERVICE_PORT` is `abc`: a port is a number from 1 to 65535",
        ),
        (&[host, ("ORDERS_SERVICE_PORT", "0")], "`ORDERS_SERVICE_PORT` is `0`: a port"),
        (&[host, ("ORDERS_SERVICE_PORT", "70000")], "`ORDERS_SERVICE_PORT` is `70000`: a port"),
        (&[host, ("ORDERS_SERVICE_PORT", "+80")], "`ORDERS_SERVICE_PORT` is `+80`: a port"),
        (&[host, ("ORDERS_SERVICE_PORT_API", "x")], "`ORDERS_SERVICE_PORT_API` is `x`: a port"),
        (&[("ORDERS_SERVICE_HOST", "not an ip")], "`ORDERS_SERVICE_HOST` is `not an ip`: it is neither an IP address"),
        (&[("ORDERS_SERVICE_HOST", "[10.0.0.1]")], "`ORDERS_SERVICE_HOST` is `[10.0.0.1]`: it is neither"),
        (&[("ORDERS_SERVICE_PORT", "80")], "`ORDERS_SERVICE_PORT` is `80`: it names a port, and `ORDERS_SERVICE_HOST`"),
        (&[("ORDERS_SERVICE_PORT_API", "80")], "`ORDERS_SERVICE_PORT_API` is `80`: it names a port"),
        (&[("ORDERS_PORT_80_TCP_PROTO", "tcp")], "`ORDERS_PORT_80_TCP_PROTO` is `tcp`: it names a port"),
        (&[("ORDERS_PORT", "tcp://nonsense")], "`ORDERS_PORT` is `tcp://nonsense`: a Docker link is"),
        (&[("ORDERS_PORT", "tcp://fd00::1:80")], "`ORDERS_PORT` is `tcp://fd00::1:80`: a Docker link is"),
        (&[("ORDERS_PORT", "http://10.0.0.1:80")], "`ORDERS_PORT` is `http://10.0.0.1:80`: a Docker link is"),
        (
            &[("ORDERS_PORT_80_TCP", "tcp://10.0.0.1:81")],
            "`ORDERS_PORT_80_TCP` is `tcp://10.0.0.1:81`: its own name says",
        ),
        (
            &[("ORDERS_PORT_80_TCP", "udp://10.0.0.1:80")],
            "`ORDERS_PORT_80_TCP` is `udp://10.0.0.1:80`: its own name says",
        ),
        (&[("ORDERS_PORT_80_TCP_PORT", "81")], "`ORDERS_PORT_80_TCP_PORT` is `81`: its own name says 80/tcp"),
        (&[("ORDERS_PORT_80_TCP_PROTO", "udp")], "`ORDERS_PORT_80_TCP_PROTO` is `udp`: its own name says 80/tcp"),
        (&[("ORDERS_PORT_80_TCP_ADDR", "db")], "`ORDERS_PORT_80_TCP_ADDR` is `db`: it is neither"),
        (
            &[("ORDERS_PORT", "tcp://10.0.0.1:80"), ("ORDERS_PORT_80_TCP_ADDR", "10.0.0.2")],
            "`ORDERS_PORT_80_TCP_ADDR` is `10.0.0.2`: it contradicts `ORDERS_PORT`, which is `tcp://10.0.0.1:80`",
        ),
        (
            &[host, ("ORDERS_SERVICE_PORT", "81"), ("ORDERS_PORT", "tcp://10.0.0.11:80")],
            "`ORDERS_PORT` is `tcp://10.0.0.11:80`: it contradicts `ORDERS_SERVICE_PORT`, which is `81`",
        ),
    ] {
        let error = told(vars, "orders:80");
        assert!(error.starts_with(said) && error.contains("; "), "{error}");
        assert!(!asked(vars, "orders:80").evidence.is_empty(), "{vars:?}");
    }
}
