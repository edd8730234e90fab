use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn search(text: &str) -> Vec<String> {
    ResolvConf::parse(text).search.iter().map(ToString::to_string).collect()
}

fn servers(text: &str) -> Vec<String> {
    ResolvConf::parse(text).nameservers.iter().map(ToString::to_string).collect()
}

fn skipped(text: &str) -> Vec<String> {
    ResolvConf::parse(text).skipped.iter().map(ToString::to_string).collect()
}

#[test]
fn parses_a_file_of_the_kubelet() {
    let text = "search shop.svc.cluster.local svc.cluster.local cluster.local eu.internal\n\
                nameserver 10.96.0.10\noptions ndots:5\n";
    let parsed = ResolvConf::parse(text);
    assert_eq!(search(text), ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "eu.internal"]);
    assert_eq!(servers(text), ["10.96.0.10:53"]);
    assert_eq!(parsed.options, ResolvOptions { ndots: Some(5), ..ResolvOptions::default() });
    assert!(parsed.skipped.is_empty(), "{:?}", parsed.skipped);
}

#[test]
fn ignores_comments_white_space_and_windows_line_ends() {
    let text =
        "# first\r\n; second\r\n\r\n \tnameserver\t10.0.0.1 # why\r\nsearch  a.b \tc.d. ;more\r\n#search x.y\r\n";
    assert_eq!(servers(text), ["10.0.0.1:53"]);
    assert_eq!(search(text), ["a.b", "c.d"]);
    assert!(skipped(text).is_empty(), "{:?}", skipped(text));
}

#[test]
fn the_last_search_or_domain_line_wins() {
    assert_eq!(search("search a.b c.d\ndomain e.f\n"), ["e.f"]);
    assert_eq!(search("domain e.f\nsearch A.B. c.d"), ["a.b", "c.d"]);
    assert_eq!(search("search a.b\nsearch\n"), ["a.b"], "an empty line has no effect");
    assert_eq!(skipped("search a.b\nsearch\n"), ["line 2, `search`: the domain is missing"]);
    assert_eq!(skipped("domain a.b c.d"), ["line 1, `c.d`: only one domain is allowed per `domain` line"]);
}

/// `--resolv-conf=""` makes the kubelet write `search .`.
#[test]
fn the_root_as_search_domain_is_an_empty_list() {
    let parsed = ResolvConf::parse("nameserver 127.0.0.1\nsearch .\n");
    assert!(parsed.search.is_empty() && parsed.skipped.is_empty(), "{parsed:?}");
    assert_eq!(search("search . a.b"), ["a.b"]);
}

#[test]
fn uses_the_first_three_nameservers() {
    let text =
        "nameserver 10.0.0.1\nnameserver fd00::a\nnameserver 10.0.0.1\nnameserver fe80::1%2\nnameserver 10.0.0.4";
    assert_eq!(servers(text), ["10.0.0.1:53", "[fd00::a]:53", "[fe80::1%2]:53"]);
    assert_eq!(
        skipped(text),
        [
            "line 3, `nameserver 10.0.0.1`: listed twice",
            "line 5, `nameserver 10.0.0.4`: only the first three nameservers are used",
        ]
    );
}

#[test]
fn lists_ignored_entries_with_a_reason() {
    for (line, expected) in [
        ("nameserver", "line 1, `nameserver`: the address is missing"),
        ("nameserver dns.corp", "line 1, `nameserver dns.corp`: a nameserver must be an IP address"),
        ("nameserver fe80::1%eth9", "line 1, `nameserver fe80::1%eth9`: the zone of an IPv6 address"),
        ("nameserver 10.0.0.1 10.0.0.2", "line 1, `10.0.0.2`: only one address is allowed per line"),
        ("search my!corp.local", "line 1, `my!corp.local`: `my!corp`: '!' is not allowed"),
        ("lookup file bind", "line 1, `lookup file bind`: not a keyword"),
        ("NAMESERVER 10.0.0.1", "line 1, `NAMESERVER 10.0.0.1`: not a keyword"),
        ("options timeout:x", "line 1, `timeout:x`: the value is not a number"),
        ("options attempts", "line 1, `attempts`: `:` and a number are missing"),
        ("options timeout:0", "line 1, `timeout:0`: the value must be at least 1"),
        ("options ndots:5 color:red", "line 1, `color:red`: unknown option"),
    ] {
        let skipped = skipped(line);
        assert!(skipped.len() == 1 && skipped[0].starts_with(expected), "{line}: {skipped:?}");
    }
}

/// resolv.conf(5), as systemd-networkd and routers write it.
#[test]
fn the_zone_of_a_nameserver_is_the_name_or_index_of_an_interface() {
    let interfaces = |name: &str| (name == "eth0").then_some(7);
    let text = "nameserver fe80::1%eth0\nnameserver [fe80::2%eth0]:5353\nnameserver fe80::1%7\nnameserver fe80::3%2";
    let parsed = ResolvConf::parse_of(text, &interfaces);
    let servers: Vec<String> = parsed.nameservers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["[fe80::1%7]:53", "[fe80::2%7]:5353", "[fe80::3%2]:53"]);
    assert_eq!(parsed.skipped.len(), 1, "the third one is the first one: {:?}", parsed.skipped);
}

/// resolv.conf(5): "If no nameserver entries are present, the default is to use the name server on the local machine."
#[test]
fn without_a_nameserver_line_the_nameserver_is_this_machine() {
    for text in ["", "# nameserver 10.0.0.1\n", "search a.b\noptions ndots:2\n", "nameservers 10.0.0.1"] {
        assert_eq!(servers(text), ["127.0.0.1:53", "[::1]:53"], "{text:?}");
    }
    for text in ["nameserver", "nameserver dns.corp\n"] {
        assert!(servers(text).is_empty(), "{text:?}: an error in the line is not an absent line");
    }
    assert!(ResolvConf::default().nameservers.is_empty(), "no file is not an empty file");
}

#[test]
fn a_text_of_comments_has_no_entries() {
    for text in ["", " \n\r\n", "# Generated by NetworkManager\n", "; a\n  # nameserver 10.0.0.1\n"] {
        assert!(!ResolvConf::has_entries(text), "{text:?}");
    }
    for text in ["search a.b", "# a\nnameserver 10.0.0.1", "options ndots:5 # b", "nonsense"] {
        assert!(ResolvConf::has_entries(text), "{text:?}");
    }
}

#[test]
fn reads_no_aaaa() {
    assert!(ResolvConf::parse("options ndots:5 no-aaaa").options.no_aaaa);
    assert!(!ResolvConf::parse("options ndots:5").options.no_aaaa);
    assert_eq!(skipped("options no-aaaa:1"), ["line 1, `no-aaaa:1`: unknown option"]);
}

#[test]
fn options_are_capped_as_in_glibc() {
    let options = |text: &str| ResolvConf::parse(text).options;
    let read = options("options timeout:2 attempts:3 use-vc\n");
    assert_eq!((read.timeout, read.attempts, read.use_vc), (Some(Duration::from_secs(2)), Some(3), true));
    let read = options("options timeout:31\noptions attempts:99999999999999999999\n");
    assert_eq!((read.timeout, read.attempts, read.use_vc), (Some(Duration::from_secs(30)), Some(5), false));
    for (text, ndots) in [("ndots:0", Some(0)), ("ndots:5", Some(5)), ("ndots:99", Some(15)), ("rotate", None)] {
        assert_eq!(options(&format!("options {text}")).ndots, ndots, "{text}");
    }
    let known =
        "options ndots:5 edns0 rotate single-request single-request-reopen trust-ad no-aaaa\nsortlist 10.0.0.0\n";
    assert!(skipped(known).is_empty(), "{:?}", skipped(known));
}

proptest! {
    #[test]
    fn any_text_is_parsed(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let parsed = ResolvConf::parse(&String::from_utf8_lossy(&bytes));
        prop_assert!(parsed.nameservers.len() <= 3);
    }

    #[test]
    fn any_text_of_keywords_is_parsed(
        lines in prop::collection::vec("(nameserver|search|domain|options|) ?[ a-z0-9.:%_#\\[\\]-]{0,30}\r?", 0..12),
    ) {
        let parsed = ResolvConf::parse(&lines.join("\n"));
        prop_assert!(parsed.nameservers.len() <= 3);
        prop_assert!(parsed.options.timeout.is_none_or(|t| (1..=30).contains(&t.as_secs())));
        prop_assert!(parsed.options.attempts.is_none_or(|a| (1..=5).contains(&a)));
        prop_assert!(parsed.skipped.iter().all(|s| (1..=lines.len()).contains(&s.line) && !s.reason.is_empty()));
    }
}
