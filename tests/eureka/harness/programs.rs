//! The Java programs, and what to say where they are missing.

use std::{
    env, io,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// The folder with `classes` and `lib`, or why there is none.
pub(crate) fn find() -> &'static Result<PathBuf, String> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(|| {
        if !runs("java") {
            return Err("no java; Debian package default-jre-headless, 17 or newer".to_owned());
        }
        // `build` alone knows which folder belongs to the sources.
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("eureka/build");
        let told = Command::new(&build).arg("--where").output();
        let folder = told.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
        match folder {
            Ok(folder) if folder.join("complete").is_file() => Ok(folder),
            Ok(_) => Err("the programs are not built; `just eureka` (tests/eureka/build) builds them".to_owned()),
            Err(error) => Err(format!("{} does not run: {error}", build.display())),
        }
    })
}

/// Says in one line, past the capture of a test's output, why the tests do nothing.
///
/// # Panics
/// When `DISCOVERY_EUREKA=required`, as in CI.
pub(crate) fn skip(reason: &str) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    assert!(env::var("DISCOVERY_EUREKA").as_deref() != Ok("required"), "the Eureka tests cannot run: {reason}");
    ONCE.call_once(|| {
        // A test's outcome does not hang on whether standard error can be written to.
        writeln!(io::stderr(), "\nEureka tests skipped: {reason}").ok();
    });
}

fn runs(program: &str) -> bool {
    let run =
        Command::new(program).arg("-version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}
