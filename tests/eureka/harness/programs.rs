//! The Java programs, and the message if they are missing.

use std::{
    env, io,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// The folder with `classes` and `lib`, or the reason why the tests cannot run.
pub(crate) fn find() -> &'static Result<PathBuf, String> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(|| {
        if !runs("java") {
            return Err("java is not installed; install version 17 or newer (Debian: default-jre-headless)".to_owned());
        }
        // `build` computes the folder from the sources.
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("eureka/build");
        let output = Command::new(&build).arg("--where").output();
        let folder = output.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
        match folder {
            Ok(folder) if folder.join("complete").is_file() => Ok(folder),
            Ok(_) => Err("the Java programs are not built; run `just eureka` (tests/eureka/build)".to_owned()),
            Err(error) => Err(format!("cannot run {}: {error}", build.display())),
        }
    })
}

/// Prints once, in one line, why the tests are skipped. Writes to standard error directly, so that the test runner does
/// not capture the line.
///
/// # Panics
/// With `DISCOVERY_EUREKA=required`, as in CI.
pub(crate) fn skip(reason: &str) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    assert!(env::var("DISCOVERY_EUREKA").as_deref() != Ok("required"), "the Eureka tests cannot run: {reason}");
    ONCE.call_once(|| {
        // A test does not fail because standard error is closed.
        writeln!(io::stderr(), "\nEureka tests skipped: {reason}").ok();
    });
}

fn runs(program: &str) -> bool {
    let run =
        Command::new(program).arg("-version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}
