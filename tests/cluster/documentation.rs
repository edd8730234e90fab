//! Tables that tests measure and the documentation shows.

/// Puts a table into a file of `docs`, when it is asked for.
pub(crate) fn write(file: &str, table: &str) {
    if std::env::var("DISCOVERY_WRITE").is_err() {
        return;
    }
    let path = format!("{}/../docs/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = ("<!-- measured -->\n", "<!-- end of what is measured -->");
    let (head, rest) = text.split_once(begin).unwrap();
    let (_, tail) = rest.split_once(end).unwrap();
    std::fs::write(path, format!("{head}{begin}{table}{end}{tail}")).unwrap();
}
