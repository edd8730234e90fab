//! Captures what is logged through `tracing`, for all tests of one program.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// The captured lines: one for each event and for each span when it is created.
#[derive(Clone, Debug)]
pub struct CapturedLog {
    lines: Arc<Mutex<Vec<String>>>,
    level: Level,
}

/// Captures everything that is logged from the first call on, down to the `level` of the first call.
///
/// # Panics
/// When the program has another subscriber.
pub fn capture(level: Level) -> &'static CapturedLog {
    static LOG: OnceLock<CapturedLog> = OnceLock::new();
    LOG.get_or_init(|| {
        let log = CapturedLog { lines: Arc::default(), level };
        if let Err(error) = tracing::subscriber::set_global_default(log.clone()) {
            panic!("{error}");
        }
        log
    })
}

impl CapturedLog {
    /// The lines that contain `text`.
    #[must_use]
    pub fn containing(&self, text: &str) -> Vec<String> {
        self.lines().iter().filter(|line| line.contains(text)).cloned().collect()
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for CapturedLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        let mut line = Line::default();
        attributes.record(&mut line);
        self.lines().push(line.0);
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        self.lines().push(line.0);
    }
}

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // A string takes everything that is written to it.
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}
