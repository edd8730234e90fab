//! Any file is parsed, and each skipped line is reported with its number.

use std::net::SocketAddr;

use discovery_core::context::ResolvConf;

use crate::text::loggable;

pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let parsed = ResolvConf::parse(&text);
    assert!(parsed.nameservers.len() <= 3);
    assert!(parsed.nameservers.iter().all(|addr| addr.port() != 0));
    assert!(parsed.options.timeout.is_none_or(|timeout| (1..=30).contains(&timeout.as_secs())));
    assert!(parsed.options.attempts.is_none_or(|attempts| (1..=5).contains(&attempts)));
    for skipped in &parsed.skipped {
        assert!((1..=text.lines().count()).contains(&skipped.line) && !skipped.reason.is_empty());
        loggable(&skipped.to_string());
    }

    // The parsed settings, written as a file, parse to the same settings with nothing skipped.
    if parsed.nameservers.is_empty() {
        // Every `nameserver` line was skipped. A file without one would mean this machine.
        return;
    }
    let again = ResolvConf::parse(&written(&parsed));
    assert_eq!((&again.nameservers, &again.search), (&parsed.nameservers, &parsed.search));
    assert!(again.skipped.is_empty(), "{:?}", again.skipped);
}

fn written(parsed: &ResolvConf) -> String {
    let mut text = String::new();
    for addr in &parsed.nameservers {
        let addr = match addr {
            SocketAddr::V6(v6) if v6.port() == 53 && v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            addr if addr.port() == 53 => addr.ip().to_string(),
            addr => addr.to_string(),
        };
        text.push_str(&format!("nameserver {addr}\n"));
    }
    if !parsed.search.is_empty() {
        let search: Vec<String> = parsed.search.iter().map(ToString::to_string).collect();
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    text
}

pub(crate) fn corpus() -> Vec<Vec<u8>> {
    [
        // A pod with the default policy `ClusterFirst`.
        "search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n",
        // A node with systemd-resolved.
        "# a comment\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n",
        "nameserver fe80::1%2\nnameserver 2001:4860:4860::8888\nnameserver ::ffff:10.0.0.1\nnameserver 1.1.1.1\n",
        "domain example.com\nsortlist 130.155.160.0/255.255.240.0\noptions timeout:2 attempts:9 use-vc no-aaaa\n",
        "options timeout:99 ndots:16 single-request-reopen rotate ; a comment\n",
        "",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
