//! Any file is parsed, and each skipped line is reported with its number.
#![no_main]

use discovery_core::context::ResolvConf;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let parsed = ResolvConf::parse(&text);
    assert!(parsed.nameservers.len() <= 3);
    assert!(parsed.nameservers.iter().all(|addr| addr.port() != 0));
    assert!(parsed.options.timeout.is_none_or(|timeout| (1..=30).contains(&timeout.as_secs())));
    assert!(parsed.options.attempts.is_none_or(|attempts| (1..=5).contains(&attempts)));
    for skipped in &parsed.skipped {
        assert!((1..=text.lines().count()).contains(&skipped.line) && !skipped.reason.is_empty());
        assert!(skipped.to_string().chars().all(|c| !c.is_control()), "{skipped:?}");
    }

    // The parsed settings, written as a file, parse to the same settings with nothing skipped.
    let again = ResolvConf::parse(&written(&parsed));
    assert_eq!((&again.nameservers, &again.search), (&parsed.nameservers, &parsed.search));
    assert!(again.skipped.is_empty(), "{:?}", again.skipped);
});

fn written(parsed: &ResolvConf) -> String {
    let mut text = String::new();
    for addr in &parsed.nameservers {
        let addr = if addr.port() == 53 { addr.ip().to_string() } else { addr.to_string() };
        text.push_str(&format!("nameserver {addr}\n"));
    }
    if !parsed.search.is_empty() {
        let search: Vec<String> = parsed.search.iter().map(ToString::to_string).collect();
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    text
}
