//! The table: redrawn in place in a terminal, printed once for each scene anywhere else.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write as _, stdout},
    time::Duration,
};

use crate::load::PodStats;

/// The bar that shows a pod's share: the character, the percent that it stands for, and the longest bar.
const BAR: &str = "█";
const PERCENT_PER_BAR: f64 = 2.0;
const MAX_BARS: usize = 20;

/// The content of the table at one moment.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) requests: usize,
    pub(crate) failed: usize,
    pub(crate) retried: usize,
    pub(crate) questions: usize,
    pub(crate) elapsed: Duration,
}

/// One pod.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) stats: PodStats,
}

/// The state of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Serving,
    New,
    Slow,
    Killed,
    Gone,
}

impl Row {
    pub(crate) fn new(name: &str, state: State) -> Self {
        Self { name: name.to_owned(), state, stats: PodStats::default() }
    }

    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.state, State::Killed | State::Gone)
    }
}

impl State {
    /// The state as a word, and its ANSI color.
    fn look(self) -> (&'static str, u8) {
        match self {
            Self::Serving => ("serving", 32),
            Self::New => ("new", 36),
            Self::Slow => ("slow", 33),
            Self::Killed => ("killed", 31),
            Self::Gone => ("gone", 90),
        }
    }
}

/// Standard output, as a live table or as plain text.
#[derive(Debug)]
pub(crate) struct Screen {
    url: String,
    /// Whether standard output is a terminal that can be redrawn.
    live: bool,
    color: bool,
    /// The number of lines drawn last.
    drawn: usize,
    /// The result of each scene so far.
    notes: Vec<String>,
}

impl Screen {
    pub(crate) fn new(url: &str) -> Self {
        let is = |name: &str, value: &str| std::env::var_os(name).is_some_and(|found| found == value);
        let live = stdout().is_terminal() && !is("TERM", "dumb");
        let color = live && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if !live {
            print(&format!("GET {url}\n"));
        }
        Self { url: url.to_owned(), live, color, drawn: 0, notes: Vec::new() }
    }

    /// Redraws the table, if standard output is a terminal.
    pub(crate) fn draw(&mut self, frame: &Frame) {
        if !self.live {
            return;
        }
        let mut lines = vec![format!("GET {}", self.url), String::new(), self.paint(1, &frame.title)];
        lines.extend(self.table(frame));
        lines.extend([String::new(), totals(frame), String::new()]);
        lines.extend(self.notes.iter().cloned());

        // Move to the first line, then clear the rest of each line after its text, with line wrapping switched off.
        let up = if self.drawn > 0 { format!("\x1b[{}A", self.drawn) } else { String::new() };
        let text: String = lines.iter().map(|line| format!("{line}\x1b[K\n")).collect();
        print(&format!("{up}\r\x1b[?7l{text}\x1b[J\x1b[?7h"));
        self.drawn = lines.len();
    }

    /// Keeps the result of a scene, and prints the scene if standard output is not a terminal.
    pub(crate) fn end_of_scene(&mut self, frame: &Frame, note: String) {
        if !self.live {
            print(&format!("\n{}\n{}\n{note}\n", frame.title, self.table(frame).join("\n")));
        }
        self.notes.push(note);
        self.draw(frame);
    }

    /// Prints the totals of all scenes.
    pub(crate) fn summary(
        &self,
        frame: &Frame,
        stats: &BTreeMap<String, PodStats>,
        delays: &[String],
        failures: &[String],
    ) {
        let failed = match frame.failed {
            0 => self.paint(32, "0 failed"),
            failed => self.paint(31, &format!("{failed} FAILED")),
        };
        let shares: Vec<_> = stats.iter().map(|(pod, stats)| format!("{pod} {:.0} %", stats.share)).collect();
        let shares: Vec<_> = shares.chunks(4).map(|line| line.join("  ")).collect();
        let mut text = format!("\n{}\n", self.paint(1, "Summary"));
        for (label, value) in [
            ("requests", format!("{}, {failed}", frame.requests)),
            ("retried", format!("{}, each at another pod", frame.retried)),
            ("share", shares.join(&format!("\n{:15}", ""))),
            ("noticed after", delays.join(", ")),
            ("DNS questions", format!("{} in {:.0} s", frame.questions, frame.elapsed.as_secs_f64())),
        ] {
            text.push_str(&format!("{label:<15}{value}\n"));
        }
        failures.iter().take(5).for_each(|failure| text.push_str(&format!("failed: {failure}\n")));
        print(&text);
    }

    fn table(&self, frame: &Frame) -> Vec<String> {
        let head = format!(
            "{:<10} {:<8} {:>8}  {:<26} {:>9} {:>9}",
            "pod", "state", "requests", "share in this scene", "p50", "p99"
        );
        let row = |row: &Row| {
            let (word, color) = row.state.look();
            let stats = &row.stats;
            let bars = ((stats.share / PERCENT_PER_BAR).round() as usize).min(MAX_BARS);
            let bar = format!("{}{}", self.paint(color, &BAR.repeat(bars)), " ".repeat(MAX_BARS - bars));
            let state = self.paint(color, &format!("{word:<8}"));
            format!(
                "{:<10} {state} {:>8}  {bar} {:>3.0} % {} {}",
                row.name,
                stats.requests,
                stats.share,
                millis(stats.p50),
                millis(stats.p99)
            )
        };
        std::iter::once(self.paint(90, &head)).chain(frame.rows.iter().map(row)).collect()
    }

    fn paint(&self, color: u8, text: &str) -> String {
        if self.color { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn totals(frame: &Frame) -> String {
    format!(
        "{} requests, {} failed, {} retried; {} DNS questions; {:.0} s",
        frame.requests,
        frame.failed,
        frame.retried,
        frame.questions,
        frame.elapsed.as_secs_f64()
    )
}

fn millis(time: Duration) -> String {
    if time.is_zero() { format!("{:>9}", "-") } else { format!("{:>6.1} ms", time.as_secs_f64() * 1_000.0) }
}

/// Writes all of the text at once, so that no half-drawn table shows. Ignores errors: the reader may have closed the
/// pipe.
fn print(text: &str) {
    let mut out = stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
