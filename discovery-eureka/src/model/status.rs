//! The status of an instance.

use std::fmt;

/// The status of an instance, as `com.netflix.appinfo.InstanceInfo.InstanceStatus` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Takes traffic.
    Up,
    /// Is there and does not work: the health check says so.
    Down,
    /// Is on its way.
    Starting,
    /// Taken out of traffic by an operator.
    OutOfService,
    /// Anything else that a registry says.
    #[default]
    Unknown,
}

impl Status {
    /// The text on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "UP",
            Self::Down => "DOWN",
            Self::Starting => "STARTING",
            Self::OutOfService => "OUT_OF_SERVICE",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// A text that is none, or of another case, is `UNKNOWN`, as in the Java client: the hash of the registry counts it
    /// under that name.
    pub(super) fn read(text: &str) -> Self {
        let all = [Self::Up, Self::Down, Self::Starting, Self::OutOfService];
        all.into_iter().find(|status| status.as_str() == text).unwrap_or_default()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
