use proptest::prelude::*;

use super::*;

/// The addresses of a name with their lines; `own` marks a line of the pod itself.
fn found(text: &str, name: &str) -> Vec<String> {
    let own = |entry: &Entry| if entry.own { " own" } else { "" };
    let file = HostsFile::parse(text, Some("web-0"));
    file.get(&DomainName::new(name).unwrap()).iter().map(|e| format!("{}: {}{}", e.line, e.ip, own(e))).collect()
}

fn skipped(text: &str) -> Vec<String> {
    HostsFile::parse(text, None).skipped().iter().map(ToString::to_string).collect()
}

#[test]
fn several_names_and_lines_add_up() {
    let text = "# a comment\r\n\r\n 10.0.0.1\tdb DB.Example.com. # primary\r\nfd00::1 db\n10.0.0.2 my_db db#x\n\
                ::ffff:10.0.0.3 mapped\n#10.0.0.9 db\n";
    assert_eq!(found(text, "db"), ["3: 10.0.0.1", "4: fd00::1", "5: 10.0.0.2"]);
    assert_eq!(found(text, "db.example.com"), ["3: 10.0.0.1"]);
    assert_eq!(found(text, "my_db"), ["5: 10.0.0.2"]);
    assert_eq!(found(text, "mapped"), ["6: 10.0.0.3"]);
    assert!(skipped(text).is_empty(), "{:?}", skipped(text));
}

#[test]
fn malformed_lines_are_skipped_with_a_reason() {
    for (line, expected) in [
        ("10.0.0.300 db", "line 1, `10.0.0.300 db`: a line must start with an IPv4 or IPv6 address"),
        ("db 10.0.0.1", "line 1, `db 10.0.0.1`: a line must start with an IPv4 or IPv6 address"),
        ("10.0.0.1", "line 1, `10.0.0.1`: the name is missing"),
        ("10.0.0.1 # db", "line 1, `10.0.0.1`: the name is missing"),
        ("fe80::1%lo0 db", "line 1, `fe80::1%lo0 db`: an address with a zone is not supported"),
        ("10.0.0.1 d!b db", "line 1, `d!b`: '!' is not allowed"),
    ] {
        let skipped = skipped(line);
        assert!(skipped.len() == 1 && skipped[0].starts_with(expected), "{line}: {skipped:?}");
    }
    assert_eq!(found("10.0.0.1 d!b db", "db"), ["1: 10.0.0.1"]);
}

/// `managedHostsFileContent` in the kubelet's `pkg/kubelet/kubelet_pods.go`.
#[test]
fn the_lines_of_the_pod_itself_are_kept_apart() {
    let body = "127.0.0.1\tlocalhost\nfe00::0\tip6-localnet\n10.244.1.5\tweb-1.nginx.shop.svc.cluster.local\tweb-1\n\n\
                # Entries added by HostAliases.\n10.1.2.3\tfoo.local\tbar.local\n";
    let managed = format!("# Kubernetes-managed hosts file.\n{body}");
    assert_eq!(found(&managed, "web-1.nginx.shop.svc.cluster.local"), ["4: 10.244.1.5 own"]);
    assert_eq!(found(&managed, "web-1"), ["4: 10.244.1.5 own"]);
    assert_eq!(found(&managed, "foo.local"), ["7: 10.1.2.3"]);
    assert_eq!(found(&managed, "bar.local"), ["7: 10.1.2.3"]);
    let on_host = format!("# Kubernetes-managed hosts file (host network).\n{body}10.1.2.4\tweb-0\n");
    assert_eq!(found(&on_host, "web-1"), ["4: 10.244.1.5"], "a line of the node's file");
    assert_eq!(found(&on_host, "web-0"), ["8: 10.1.2.4"], "an alias");
    assert_eq!(found("10.0.0.5 web-0.example.com WEB-0\n", "web-0.example.com"), ["1: 10.0.0.5 own"]);
}

proptest! {
    #[test]
    fn any_text_is_parsed(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        HostsFile::parse(&String::from_utf8_lossy(&bytes), Some("web-0"));
    }

    /// Every line has entries, or a reason.
    #[test]
    fn no_line_is_lost(lines in prop::collection::vec("[0-9a-f.:%]{1,12}[ \t][a-z_.!-]{1,12}\r?", 0..12)) {
        let file = HostsFile::parse(&lines.join("\n"), None);
        let entries: usize = file.names.values().map(Vec::len).sum();
        prop_assert_eq!(entries + file.skipped().len(), lines.len());
    }
}
