//! The summary.

use std::fmt;

use crate::measure::Cost;

/// What must be true of our figure.
#[derive(Clone, Copy, Debug)]
pub enum Line {
    /// At most so much, or on a machine slower than the one that the line was drawn on at most so many times
    /// the peer's figure: what the line was there. No allocation.
    NoAllocs { most: f64, ratio: f64 },
    /// The same; allocations are told and not judged.
    Cost { most: f64, ratio: f64 },
    /// At most so much.
    AtMost(f64),
    /// Told, not judged.
    None,
}

/// What a figure is.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    Nanos,
    Bytes,
    Percent,
    /// A bare number.
    Times,
}

/// One figure of ours beside the peer's.
#[derive(Debug)]
pub struct Row {
    pub name: String,
    pub unit: Unit,
    pub ours: f64,
    pub peer: Option<(&'static str, f64)>,
    /// Ours, the peer's.
    pub allocs: (Option<f64>, Option<f64>),
    pub line: Line,
}

impl Row {
    /// Costs in nanoseconds.
    pub fn costs(name: impl Into<String>, ours: Cost, peer: &'static str, theirs: Cost, line: Line) -> Self {
        let (ours, theirs) = ((ours.ns, ours.allocs), (theirs.ns, theirs.allocs));
        Self {
            name: name.into(),
            unit: Unit::Nanos,
            ours: ours.0,
            peer: Some((peer, theirs.0)),
            allocs: (ours.1, theirs.1),
            line,
        }
    }

    /// A figure without allocations.
    pub fn plain(
        name: impl Into<String>,
        unit: Unit,
        ours: f64,
        peer: Option<(&'static str, f64)>,
        line: Line,
    ) -> Self {
        Self { name: name.into(), unit, ours, peer, allocs: (None, None), line }
    }

    fn ratio(&self) -> Option<f64> {
        self.peer.map(|(_, theirs)| self.ours / theirs)
    }

    fn held(&self) -> &'static str {
        let below = |most: f64, ratio: f64| match self.ratio() {
            _ if self.ours <= most => "held",
            Some(is) if is <= ratio => "held as a ratio",
            _ => "NOT HELD",
        };
        match self.line {
            Line::None => "",
            Line::NoAllocs { .. } if self.allocs.0 != Some(0.0) => "NOT HELD",
            Line::NoAllocs { most, ratio } | Line::Cost { most, ratio } => below(most, ratio),
            Line::AtMost(most) => below(most, 0.0),
        }
    }

    fn cells(&self) -> [String; 7] {
        let unit = self.unit;
        let allocs = match self.allocs {
            (None, None) => String::new(),
            (ours, theirs) => {
                let show = |count: Option<f64>| count.map_or("-".to_owned(), |count| format!("{count}"));
                format!("{} / {}", show(ours), show(theirs))
            }
        };
        let line = match self.line {
            Line::None => String::new(),
            Line::NoAllocs { most, ratio } => format!("<= {} ({ratio:.3}), 0 allocs", unit.show(most)),
            Line::Cost { most, ratio } => format!("<= {} ({ratio:.3})", unit.show(most)),
            Line::AtMost(most) => format!("<= {}", unit.show(most)),
        };
        [
            self.name.clone(),
            unit.show(self.ours),
            self.peer.map_or(String::new(), |(name, theirs)| format!("{} ({name})", unit.show(theirs))),
            self.ratio().map_or(String::new(), |ratio| format!("{ratio:.3}")),
            allocs,
            line,
            self.held().to_owned(),
        ]
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        let scaled = |steps: &[(f64, &str)]| {
            let (size, name) = steps.iter().rev().find(|(size, _)| value.abs() >= *size).unwrap_or(&steps[0]);
            format!("{:.1} {name}", value / size)
        };
        match self {
            Self::Nanos => scaled(&[(1.0, "ns"), (1e3, "us"), (1e6, "ms"), (1e9, "s")]),
            Self::Bytes => scaled(&[(1.0, "B"), (1e3, "kB"), (1e6, "MB")]),
            Self::Percent => format!("{value:.1} %"),
            Self::Times => format!("{value:.2}"),
        }
    }
}

/// All figures of one run.
#[derive(Debug, Default)]
pub struct Table(Vec<Row>);

impl Table {
    pub fn add(&mut self, row: Row) {
        eprintln!("  {}", row.cells().join("  "));
        self.0.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const HEAD: [&str; 7] = ["name", "ours", "peer", "ours/peer", "allocs ours/peer", "line", ""];
        let rows: Vec<_> = std::iter::once(HEAD.map(str::to_owned)).chain(self.0.iter().map(Row::cells)).collect();
        let widths: Vec<usize> =
            (0..HEAD.len()).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
        for row in rows {
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, "{cell:<width$}  ")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
