//! The defaults and fixed numbers, each with its reason. "Contract" is the contract of Kubernetes DNS; its F
//! numbers name failure modes.

use std::{ops::RangeInclusive, time::Duration};

/// No target is asked more often than this, except after a failure and on news: the ceiling of one question
/// per second and name (contract F4, F5, F9). A shorter `min_refresh` lowers it, for tests and local sources.
pub(super) const SPACING: Duration = Duration::from_secs(1);

/// A server may say TTL 0, and NodeLocal DNSCache counts its TTLs down to it; honoured, they would make a
/// loop (Envoy #7808). Contract F4.
pub(super) const MIN_REFRESH: Duration = Duration::from_secs(1);

/// An added pod is seen within this, whatever the TTL says (contract F3, F4). kubeadm sets 30 s as the TTL of
/// cluster names, so in most clusters it changes nothing.
pub(super) const MAX_REFRESH: Duration = Duration::from_secs(30);

/// Long enough for a restart or a rollout of CoreDNS, short enough that an address has rarely gone to another
/// pod (contract F6, F9).
pub(super) const MAX_STALE: Duration = Duration::from_secs(5 * 60);

/// CoreDNS replicas disagree for the latency of their watches, less than a second (contract F10).
pub(super) const REMOVAL_HOLD: Duration = Duration::from_secs(1);

/// A wrong NXDOMAIN comes from one replica or one moment; a second later another one answers (contract F6).
pub(super) const CONFIRM_AFTER: Duration = Duration::from_secs(1);

/// A new Service must not hide behind the negative TTL of its zone, 5 or 30 s (contract F5).
pub(super) const NEGATIVE_MAX: Duration = Duration::from_secs(5);

/// Somebody waits: as soon as the ceiling allows (contract F5).
pub(super) const NEGATIVE_MAX_WAITING: Duration = Duration::from_secs(1);

/// A lost packet or a server that is just being replaced is over within a few steps of this (contract F6).
pub(super) const BACKOFF_INITIAL: Duration = Duration::from_millis(100);

/// Recovery is noticed within one step, and a server that comes back is not overrun (contract F6; gRPC
/// goes to 120 s, which is why its users wait for minutes).
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// A connect failure says that an address may be gone. 1 s as the contract has it (F9); gRPC's 30 s is what
/// its users complain of (grpc-go #6718).
pub(super) const FAILURE_REFRESH_MIN: Duration = Duration::from_secs(1);

/// How long an endpoint is left out that could not be connected to while DNS is away: longer than a pod that is
/// restarted in place takes to listen again, and Envoy's `base_ejection_time` is 30 s. It comes back with the next
/// failed answer after that, at most [`BACKOFF_MAX`] later.
pub(super) const EJECT_FOR: Duration = Duration::from_secs(10);

/// Between two questions because of news: a source that pushes knows within 100 ms what it is asked for, and a rollout
/// of a thousand pods, each change of which makes a new set in two milliseconds, costs a tenth of a processor.
pub(super) const NEWS_SPACING: Duration = Duration::from_millis(20);

/// The part of the TTL after which an answer is refreshed: before it expires, and spread over more than a
/// tenth of the time between two questions (contract F4, F14).
pub(super) const REFRESH_PART: RangeInclusive<f64> = 0.80..=0.90;

/// The part of a backoff that is waited: downwards, so that the maximum is never exceeded (contract F5, F6:
/// "up to 5 s").
pub(super) const BACKOFF_PART: RangeInclusive<f64> = 0.80..=1.00;

/// Where a floor leaves no room downwards, jitter goes upwards, by up to this part of the floor: a tenth is
/// what the contract asks of a thousand watchers (F4), and the sample of a thousand falls short of its range.
pub(super) const ABOVE_FLOOR: f64 = 0.15;
