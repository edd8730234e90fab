//! How many flows the descriptors of the process allow.

/// The fraction of RLIMIT_NOFILE that the forwarder leaves to the rest of the process.
const RESERVE: u64 = 8;

/// The least that it leaves.
const MIN_RESERVE: u64 = 32;

/// The descriptors of a TCP connection: the client's socket and the endpoint's.
const PER_CONNECTION: u64 = 2;

/// Clamps the bounds of connections and of associations to the descriptors of a process with this limit of open files.
/// Where both do not fit, each kind gets half of the descriptors, and what the other kind does not need.
pub(super) fn clamp(limit: u64, connections: u32, associations: u32) -> (u32, u32) {
    let budget = limit.saturating_sub((limit / RESERVE).max(MIN_RESERVE));
    let (tcp, udp) = (u64::from(connections) * PER_CONNECTION, u64::from(associations));
    if tcp.saturating_add(udp) <= budget {
        return (connections, associations);
    }
    let half = budget / 2;
    let tcp = tcp.min(half.max(budget.saturating_sub(udp)));
    let udp = udp.min(budget.saturating_sub(tcp));
    let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).max(1);
    (count(tcp / PER_CONNECTION), count(udp))
}

/// The soft limit of open files; `u64::MAX` where the system has none.
#[cfg(target_os = "linux")]
pub(super) fn limit() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn limit() -> u64 {
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_fit_into_the_limit_with_a_reserve() {
        for (limit, connections, associations, expected) in [
            (u64::MAX, 65_536, 65_536, (65_536, 65_536)),
            (1_048_576, 65_536, 65_536, (65_536, 65_536)),
            (1024, 65_536, 65_536, (224, 448)),
            (1024, 65_536, 10, (443, 10)),
            (1024, 10, 65_536, (10, 876)),
            (256, 1, 1, (1, 1)),
            (16, 65_536, 65_536, (1, 1)),
        ] {
            let clamped = clamp(limit, connections, associations);
            assert_eq!(clamped, expected, "{limit} {connections} {associations}");
        }
    }
}
