//! What is said through `tracing`, by all tests of a program.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// The lines: of events, and of spans as they are made.
#[derive(Clone, Debug)]
pub struct Said {
    lines: Arc<Mutex<Vec<String>>>,
    level: Level,
}

/// All that is said from the first call on, down to `level`; the first call decides.
///
/// # Panics
/// When the program has another subscriber.
pub fn listen(level: Level) -> &'static Said {
    static SAID: OnceLock<Said> = OnceLock::new();
    SAID.get_or_init(|| {
        let said = Said { lines: Arc::default(), level };
        if let Err(error) = tracing::subscriber::set_global_default(said.clone()) {
            panic!("{error}");
        }
        said
    })
}

impl Said {
    /// The lines with that text.
    #[must_use]
    pub fn containing(&self, text: &str) -> Vec<String> {
        self.lines().iter().filter(|line| line.contains(text)).cloned().collect()
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for Said {
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
        // A string takes all that is written to it.
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }
}
