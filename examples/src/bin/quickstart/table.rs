//! The picture: redrawn in place in a terminal, one block of text for each scene elsewhere.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write as _, stdout},
    time::Duration,
};

use crate::load::Part;

/// What a bar is made of, how many percent one piece stands for, and how many there are at most.
const PIECE: &str = "█";
const PERCENT: f64 = 2.0;
const PIECES: usize = 20;

/// What there is to see at one moment.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
    pub(crate) requests: usize,
    pub(crate) failed: usize,
    pub(crate) sent_again: usize,
    pub(crate) questions: usize,
    pub(crate) elapsed: Duration,
}

/// One pod.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) part: Part,
}

/// How a pod is.
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
        Self { name: name.to_owned(), state, part: Part::default() }
    }

    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.state, State::Killed | State::Gone)
    }
}

impl State {
    /// The word, and the number of its colour.
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

/// Where the picture goes.
#[derive(Debug)]
pub(crate) struct Screen {
    url: String,
    /// A terminal, which can be drawn on.
    live: bool,
    colour: bool,
    /// How many lines the last picture has.
    drawn: usize,
    /// What the scenes so far have shown.
    notes: Vec<String>,
}

impl Screen {
    pub(crate) fn new(url: &str) -> Self {
        let is = |name: &str, value: &str| std::env::var_os(name).is_some_and(|found| found == value);
        let live = stdout().is_terminal() && !is("TERM", "dumb");
        let colour = live && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if !live {
            print(&format!("GET {url}\n"));
        }
        Self { url: url.to_owned(), live, colour, drawn: 0, notes: Vec::new() }
    }

    /// Draws over the last picture, in a terminal.
    pub(crate) fn draw(&mut self, frame: &Frame) {
        if !self.live {
            return;
        }
        let mut lines = vec![format!("GET {}", self.url), String::new(), self.paint(1, &frame.title)];
        lines.extend(self.table(frame));
        lines.extend([String::new(), totals(frame), String::new()]);
        lines.extend(self.notes.iter().cloned());

        // Up to the first line; then each line with whatever was behind it cleared, and not wrapped around.
        let up = if self.drawn > 0 { format!("\x1b[{}A", self.drawn) } else { String::new() };
        let text: String = lines.iter().map(|line| format!("{line}\x1b[K\n")).collect();
        print(&format!("{up}\r\x1b[?7l{text}\x1b[J\x1b[?7h"));
        self.drawn = lines.len();
    }

    /// Keeps what the scene has shown; a block of text where nothing is drawn.
    pub(crate) fn end_of_scene(&mut self, frame: &Frame, note: String) {
        if !self.live {
            print(&format!("\n{}\n{}\n{note}\n", frame.title, self.table(frame).join("\n")));
        }
        self.notes.push(note);
        self.draw(frame);
    }

    pub(crate) fn summary(&self, frame: &Frame, parts: &BTreeMap<String, Part>, seen: &[String], failures: &[String]) {
        let failed = match frame.failed {
            0 => self.paint(32, "0 failed"),
            failed => self.paint(31, &format!("{failed} FAILED")),
        };
        let shares: Vec<_> = parts.iter().map(|(pod, part)| format!("{pod} {:.0} %", part.share)).collect();
        let shares: Vec<_> = shares.chunks(4).map(|line| line.join("  ")).collect();
        let mut text = format!("\n{}\n", self.paint(1, "Summary"));
        for (what, value) in [
            ("requests", format!("{}, {failed}", frame.requests)),
            ("sent again", format!("{}, to a pod not tried yet", frame.sent_again)),
            ("share", shares.join(&format!("\n{:15}", ""))),
            ("changes seen", format!("after {}", seen.join(", "))),
            ("DNS questions", format!("{} in {:.0} s", frame.questions, frame.elapsed.as_secs_f64())),
        ] {
            text.push_str(&format!("{what:<15}{value}\n"));
        }
        failures.iter().take(5).for_each(|failure| text.push_str(&format!("failed: {failure}\n")));
        print(&text);
    }

    fn table(&self, frame: &Frame) -> Vec<String> {
        let head = format!(
            "{:<10} {:<8} {:>8}  {:<26} {:>9} {:>9}",
            "pod", "state", "requests", "share of this scene", "p50", "p99"
        );
        let row = |row: &Row| {
            let (word, colour) = row.state.look();
            let part = &row.part;
            let pieces = ((part.share / PERCENT).round() as usize).min(PIECES);
            let bar = format!("{}{}", self.paint(colour, &PIECE.repeat(pieces)), " ".repeat(PIECES - pieces));
            let state = self.paint(colour, &format!("{word:<8}"));
            format!(
                "{:<10} {state} {:>8}  {bar} {:>3.0} % {} {}",
                row.name,
                part.requests,
                part.share,
                millis(part.p50),
                millis(part.p99)
            )
        };
        std::iter::once(self.paint(90, &head)).chain(frame.rows.iter().map(row)).collect()
    }

    fn paint(&self, colour: u8, text: &str) -> String {
        if self.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn totals(frame: &Frame) -> String {
    format!(
        "{} requests, {} failed, {} sent again; {} DNS questions; {:.0} s",
        frame.requests,
        frame.failed,
        frame.sent_again,
        frame.questions,
        frame.elapsed.as_secs_f64()
    )
}

fn millis(time: Duration) -> String {
    if time.is_zero() { format!("{:>9}", "-") } else { format!("{:>6.1} ms", time.as_secs_f64() * 1_000.0) }
}

/// All at once, so that no half picture is seen. A reader that is gone has seen enough.
fn print(text: &str) {
    let mut out = stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
