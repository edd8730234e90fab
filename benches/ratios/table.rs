//! The summary.

use std::fmt;

use crate::measure::Cost;

/// What must be true of our figure.
#[derive(Clone, Copy, Debug)]
pub enum Line {
    /// At most so much, and no allocation.
    AtMost(f64),
    /// At most so much; allocations are told and not judged.
    AtMostAllocating(f64),
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
        let held = match self.line {
            Line::None => return "",
            Line::AtMost(most) => self.ours <= most && self.allocs.0.unwrap_or(0.0) == 0.0,
            Line::AtMostAllocating(most) => self.ours <= most,
        };
        if held { "held" } else { "NOT HELD" }
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
            Line::AtMost(most) if self.allocs.0.is_some() => format!("<= {}, 0 allocs", unit.show(most)),
            Line::AtMost(most) | Line::AtMostAllocating(most) => format!("<= {}", unit.show(most)),
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
        let widths: Vec<usize> = (0..HEAD.len())
            .map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0))
            .collect();
        for row in rows {
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, "{cell:<width$}  ")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
