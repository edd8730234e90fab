//! Every form of a target in the documentation, and the errors of malformed ones.

use proptest::prelude::*;

use super::*;

fn ok(input: &str) -> Target {
    Target::new(input).unwrap_or_else(|error| panic!("{error}"))
}

fn parts(input: &str) -> (String, Option<u16>, String) {
    let target = ok(input);
    let name = match target.port() {
        Port::Name(name) => format!("{name}/{}", target.protocol()),
        _ => String::new(),
    };
    (target.host().to_string(), target.port().number().map(u16::from), name)
}

#[test]
fn parses_every_documented_form() {
    let plain = |host: &str, port| (host.to_owned(), port, String::new());
    for (input, expected) in [
        ("orders", plain("orders", None)),
        ("orders:8080", plain("orders", Some(8080))),
        ("orders.shop:http", ("orders.shop".to_owned(), None, "http/tcp".to_owned())),
        ("orders.shop.svc", plain("orders.shop.svc", None)),
        ("orders.shop.svc.cluster.local", plain("orders.shop.svc.cluster.local", None)),
        ("orders.shop.svc.cluster.local.", plain("orders.shop.svc.cluster.local.", None)),
        ("_http._tcp.orders.shop", ("orders.shop".to_owned(), None, "http/tcp".to_owned())),
        ("_dns._UDP.kube-dns.kube-system", ("kube-dns.kube-system".to_owned(), None, "dns/udp".to_owned())),
        ("web-0.nginx", plain("web-0.nginx", None)),
        ("web-0.nginx.default.svc.cluster.local", plain("web-0.nginx.default.svc.cluster.local", None)),
        (
            "http://rates-eureka.icg-msst-cv-rates-171832.svc:8080/eureka",
            plain("rates-eureka.icg-msst-cv-rates-171832.svc", Some(8080)),
        ),
        ("db.example.com:5432", plain("db.example.com", Some(5432))),
        ("10.0.0.1:80", plain("10.0.0.1", Some(80))),
        ("10.0.0.1", plain("10.0.0.1", None)),
        ("[2001:db8::1]:8080", plain("[2001:db8::1]", Some(8080))),
        ("2001:DB8::1", plain("[2001:db8::1]", None)),
        ("localhost", plain("localhost", None)),
        ("localhost:8080", plain("localhost", Some(8080))),
        ("api.localhost", plain("localhost", None)),
        ("ORDERS.Shop", plain("orders.shop", None)),
        ("http://user:secret@Orders.Shop/", plain("orders.shop", Some(80))),
        ("https://orders/", plain("orders", Some(443))),
        ("redis://Cache.shop", plain("cache.shop", Some(6379))),
        ("redis://10.0.0.7", plain("10.0.0.7", Some(6379))),
        ("grpc://rates", plain("rates", None)),
        ("bücher.example", plain("xn--bcher-kva.example", None)),
        ("http://_http._tcp.orders.shop/v1", ("orders.shop".to_owned(), None, "http/tcp".to_owned())),
        ("my_db.example.com", plain("my_db.example.com", None)),
        ("api_gateway:8080", plain("api_gateway", Some(8080))),
        ("foo-.example.com", plain("foo-.example.com", None)),
        ("http://API_Gateway:8080/v1", plain("api_gateway", Some(8080))),
        ("ORDER_SERVICE", plain("order_service", None)),
        ("_gateway", plain("_gateway", None)),
        ("_dmarc.example.com.", plain("_dmarc.example.com.", None)),
        ("orders_:http", ("orders_".to_owned(), None, "http/tcp".to_owned())),
        ("b\u{fc}cher_1.example", plain("xn--bcher_1-n2a.example", None)),
        ("1and1.example", plain("1and1.example", None)),
        ("_http._tcp.my_db.example.com", ("my_db.example.com".to_owned(), None, "http/tcp".to_owned())),
    ] {
        assert_eq!(parts(input), expected, "{input}");
    }
}

#[test]
fn a_scheme_gives_a_default_port_and_a_port_name() {
    let target = ok("http://orders");
    assert_eq!(target.port(), &Port::Default(NonZeroU16::new(80)));
    assert_eq!(target.scheme().and_then(Scheme::port_name), PortName::new("http").ok());
    assert_eq!(ok("http://orders:80").port(), &Port::Default(NonZeroU16::new(80)), "the default port is dropped");
}

#[test]
fn an_srv_name_is_another_target_where_its_host_could_be_a_pod() {
    for (srv, named, is_same) in [
        ("_http._tcp.orders", "orders:http", true),
        ("_http._tcp.orders.billing", "orders.billing:http", false),
        ("_http._tcp.orders.billing.svc", "orders.billing.svc:http", true),
        ("_http._tcp.web-0.nginx.shop", "web-0.nginx.shop:http", false),
        ("_http._tcp.web-0.nginx.shop.svc", "web-0.nginx.shop.svc:http", true),
        ("_http._tcp.orders.billing.", "orders.billing.:http", true),
    ] {
        assert_eq!(ok(srv) == ok(named), is_same, "{srv}");
        for text in [srv, named] {
            assert_eq!(ok(&ok(text).to_string()), ok(text), "{text}");
        }
    }
}

/// Kubernetes allows a port name without a letter in a `ServicePort` (`ServicePort.name` is a `DNS_LABEL`). After `:`
/// it would be a number.
#[test]
fn a_port_name_of_digits_prints_as_an_srv_name() {
    for srv in ["_8083._tcp.orders", "_8083._tcp.orders.", "_0._tcp.orders.shop.svc", "_8083._tcp.orders.shop"] {
        let target = ok(srv);
        assert_eq!(target.to_string(), srv);
        assert_eq!(ok(&target.to_string()), target);
    }
    assert_eq!(ok("_8083a._tcp.orders").to_string(), "orders:8083a");
}

#[test]
fn the_error_of_a_malformed_target_has_rule_and_remedy() {
    for (input, rule) in [
        ("", "the host is empty"),
        (":8080", "the host is empty"),
        ("orders:", "the port is empty"),
        ("orders:0", "port 0 is not in 1..=65535"),
        ("orders:65536", "port 65536 is not in 1..=65535"),
        ("orders:99999999999999999999", "port 99999999999999999999 is not in 1..=65535"),
        ("orders:80:90", "it has more than one `:`, but is not an IPv6 address"),
        ("orders:ht_tp", "`ht_tp`: '_' is not allowed in a label (RFC 1123)"),
        ("orders/v1", "'/' is not allowed in a host or a port"),
        ("user@orders", "'@' is not allowed in a host or a port"),
        ("orders shop", "' ' is not allowed in a host or a port"),
        ("or_ders.shop.svc", "`or_ders`: '_' is not allowed in a label (RFC 1123)"),
        ("web-.nginx.shop.svc", "`web-`: a label must start and end with a letter or a digit (RFC 1123)"),
        ("orders!.example.com", "`orders!`: '!' is not allowed in the name of a host"),
        ("orders..shop", "a label is empty"),
        ("-orders", "a name must not start with `-`"),
        ("_http._tcp", "an SRV name must have three or more labels (RFC 2782)"),
        ("_http._tcp.", "an SRV name must have three or more labels (RFC 2782)"),
        ("_h_t._tcp.orders", "`h_t`: '_' is not allowed in a label (RFC 1123)"),
        ("_http._quic.orders", "the second label of an SRV name must be `_tcp`, `_udp` or `_sctp`"),
        ("_http._tcp.orders:80", "the port is given twice, by the SRV labels and after `:`"),
        ("_http._tcp._orders", "the third label of an SRV name must not start with `_`"),
        ("[::1", "`[` has no matching `]`"),
        ("[::1]x", "only `:` and a port may follow `]`"),
        ("[10.0.0.1]:80", "`[10.0.0.1]` is not an IPv6 address in brackets"),
        ("fe80::1%eth0", "it has more than one `:`, but is not an IPv6 address"),
        ("[fe80::1%eth0]:80", "`fe80::1%eth0` is not an IPv6 address"),
        ("1234", "`1234` is a number, which URLs read as an IPv4 address"),
        ("localhost:http", "an address has no named ports"),
        ("http://orders:http/", "invalid port number"),
        ("http://", "empty host"),
        ("http://orders:0/", "port 0 is not in 1..=65535"),
        ("unix:///run/x.sock", "the URL has no host"),
        ("://orders", "relative URL without a base"),
    ] {
        let error = Target::new(input).expect_err(input);
        assert!(error.rule().ends_with(rule), "{input}: {error}");
        assert!(!error.remedy().is_empty(), "{input}");
    }
}

#[test]
fn errors_do_not_show_credentials() {
    for input in ["http://user:secret@or_ders.shop.svc/", "http://user:secret@orders:http/", "http://user:secret@a b/"]
    {
        let error = Target::new(input).expect_err(input).to_string();
        assert!(!error.contains("secret") && !error.contains("user"), "{error}");
    }
}

proptest! {
    /// Nothing panics, and every error has a rule and a remedy.
    #[test]
    fn any_text_is_a_target_or_an_error(input in "\\PC{0,80}") {
        if let Err(error) = Target::new(&input) {
            prop_assert!(!error.rule().is_empty() && !error.remedy().is_empty());
        }
    }

    /// Texts near the grammar: a target parses again from its `Display`.
    #[test]
    fn display_round_trips(
        input in "((http|redis|grpc)://)?(_[a-z0-9]{1,4}\\._(tcp|udp)\\.)?[a-zA-Z0-9_.\\[\\]:-]{1,30}(:[a-z0-9]{1,6})?"
    ) {
        if let Ok(target) = Target::new(&input) {
            prop_assert_eq!(Target::new(&target.to_string()), Ok(target));
        }
    }
}
