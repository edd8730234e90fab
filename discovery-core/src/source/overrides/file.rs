//! The file of `DISCOVERY_OVERRIDES_FILE`, read again when it changes.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::entries::Overrides;
use crate::{
    Error,
    environment::{Stamp, read_file, stamp},
    error::Kind,
};

/// The shortest time between two looks at the file.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A file of overrides, shared by all lookups.
#[derive(Debug)]
pub(crate) struct OverridesFile {
    path: PathBuf,
    state: Mutex<FileState>,
}

#[derive(Debug)]
struct FileState {
    overrides: Arc<Overrides>,
    stamp: Stamp,
    checked_at: Instant,
    /// How often the overrides have changed.
    version: u64,
    /// Why the overrides in use are not those of the file.
    error: Option<String>,
}

impl OverridesFile {
    /// # Errors
    /// [`Error::is_config`] if the file is missing, cannot be read, or is malformed.
    pub(crate) fn open(path: PathBuf, now: Instant) -> Result<Self, Error> {
        let stamp = stamp(&path);
        let overrides = read(&path)?;
        let state = FileState { overrides: overrides.into(), stamp, checked_at: now, version: 0, error: None };
        Ok(Self { path, state: Mutex::new(state) })
    }

    /// The overrides in use and their version. Reads the file's metadata at most once a second.
    ///
    /// A file that becomes unreadable or malformed changes nothing: an editor may be writing it.
    pub(super) fn current(&self, now: Instant) -> (Arc<Overrides>, u64) {
        let mut state = self.lock();
        if now.saturating_duration_since(state.checked_at) >= CHECK_INTERVAL {
            state.checked_at = now;
            let stamp = stamp(&self.path);
            if stamp != state.stamp {
                state.stamp = stamp;
                self.read_again(&mut state);
            }
        }
        (state.overrides.clone(), state.version)
    }

    fn read_again(&self, state: &mut FileState) {
        match read(&self.path) {
            Ok(overrides) => {
                state.error = None;
                if *state.overrides != overrides {
                    let (path, count) = (self.path.display(), overrides.len());
                    tracing::info!(%path, count, "reloaded the overrides after a change");
                    state.overrides = overrides.into();
                    state.version += 1;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the overrides that were read before stay in use");
                state.error = Some(error.to_string());
            }
        }
    }

    /// What was read, as text for people.
    pub(super) fn describe(&self) -> String {
        let state = self.lock();
        let error = state.error.as_deref().map(|error| format!("; not read again: {error}")).unwrap_or_default();
        format!("{}, {} overrides{error}", self.path.display(), state.overrides.len())
    }

    fn lock(&self) -> MutexGuard<'_, FileState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<Overrides, Error> {
    let invalid = |rule: String| {
        let path = path.display();
        Error::new(Kind::Config, format!("`DISCOVERY_OVERRIDES_FILE` is `{path}`: {rule}"))
    };
    match read_file(path)? {
        Some(text) => Overrides::parse(&text).map_err(|error| invalid(error.to_string())),
        None => Err(invalid("the file does not exist; create it, or unset the variable".to_owned())),
    }
}
