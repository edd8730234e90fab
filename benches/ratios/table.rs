//! The table that the benchmarks print at the end.

use std::fmt;

use crate::measure::Cost;

/// The limit of a figure of ours.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// At most `most`, without allocations. On a slower machine than the one on which the limit was set, at most
    /// `ratio` times the peer's figure.
    NoAllocs { most: f64, ratio: f64 },
    /// The same limits for the cost, with any number of allocations.
    Cost { most: f64, ratio: f64 },
    /// At most this value.
    AtMost(f64),
    /// No limit: the figure is informational.
    None,
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    Nanos,
    Bytes,
    Percent,
    /// A plain number.
    Times,
}

/// One row: a figure of ours beside the peer's.
#[derive(Debug)]
pub struct Row {
    pub name: String,
    pub unit: Unit,
    pub ours: f64,
    pub peer: Option<(&'static str, f64)>,
    /// Our allocations and the peer's.
    pub allocs: (Option<f64>, Option<f64>),
    pub limit: Limit,
}

impl Row {
    /// A row of two costs, in nanoseconds.
    pub fn costs(name: impl Into<String>, ours: Cost, peer: &'static str, theirs: Cost, limit: Limit) -> Self {
        let (ours, theirs) = ((ours.ns, ours.allocs), (theirs.ns, theirs.allocs));
        Self {
            name: name.into(),
            unit: Unit::Nanos,
            ours: ours.0,
            peer: Some((peer, theirs.0)),
            allocs: (ours.1, theirs.1),
            limit,
        }
    }

    /// A row without allocations.
    pub fn plain(
        name: impl Into<String>,
        unit: Unit,
        ours: f64,
        peer: Option<(&'static str, f64)>,
        limit: Limit,
    ) -> Self {
        Self { name: name.into(), unit, ours, peer, allocs: (None, None), limit }
    }

    fn ratio(&self) -> Option<f64> {
        self.peer.map(|(_, theirs)| self.ours / theirs)
    }

    /// Whether the figure meets its limit, in words.
    fn result(&self) -> &'static str {
        let compare = |most: f64, ratio: f64| match self.ratio() {
            _ if self.ours <= most => "met",
            Some(is) if is <= ratio => "met as a ratio",
            _ => "NOT MET",
        };
        match self.limit {
            Limit::None => "",
            Limit::NoAllocs { .. } if self.allocs.0 != Some(0.0) => "NOT MET",
            Limit::NoAllocs { most, ratio } | Limit::Cost { most, ratio } => compare(most, ratio),
            Limit::AtMost(most) => compare(most, 0.0),
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
        let limit = match self.limit {
            Limit::None => String::new(),
            Limit::NoAllocs { most, ratio } => format!("<= {} ({ratio:.3}), 0 allocs", unit.show(most)),
            Limit::Cost { most, ratio } => format!("<= {} ({ratio:.3})", unit.show(most)),
            Limit::AtMost(most) => format!("<= {}", unit.show(most)),
        };
        [
            self.name.clone(),
            unit.show(self.ours),
            self.peer.map_or(String::new(), |(name, theirs)| format!("{} ({name})", unit.show(theirs))),
            self.ratio().map_or(String::new(), |ratio| format!("{ratio:.3}")),
            allocs,
            limit,
            self.result().to_owned(),
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
        const HEAD: [&str; 7] = ["name", "ours", "peer", "ours/peer", "allocs ours/peer", "limit", ""];
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
