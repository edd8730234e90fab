//! Tables in the documentation that tests measure.

/// Replaces a measured table in a file of `docs`, if `DISCOVERY_WRITE` is set.
pub(crate) fn write(file: &str, name: &str, table: &str) {
    if std::env::var("DISCOVERY_WRITE").is_err() {
        return;
    }
    let path = format!("{}/../docs/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- measured: {name} -->\n"), "<!-- end of measurements -->");
    let (head, rest) = text.split_once(&begin).unwrap();
    let (_, tail) = rest.split_once(end).unwrap();
    std::fs::write(path, format!("{head}{begin}{table}{end}{tail}")).unwrap();
}
