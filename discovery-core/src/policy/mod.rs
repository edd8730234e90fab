//! Policies: which endpoint the next request goes to.
//!
//! A [`Snapshot`] is immutable. It holds an [`EndpointSet`](crate::endpoint::EndpointSet), the [`Load`] of each
//! endpoint, and the [`Picker`]s that a [`Policy`] built. Picking from it never blocks, takes no lock and does not
//! allocate. Each new set makes a new snapshot, and endpoints that stay keep their load. Nothing here reads a clock or
//! draws entropy: both are arguments, a [`Clock`] and an [`Rng`].
//!
//! ```
//! use std::{sync::Arc, time::Instant};
//!
//! use discovery_core::{
//!     endpoint::{Endpoint, EndpointSet},
//!     policy::{LeastRequest, Outcome, PickArgs, Snapshot, SplitMix64, Tried},
//! };
//!
//! let set: EndpointSet = (1..=3).map(|last| Endpoint::new(([10, 0, 0, last], 80).into())).collect();
//! let now = Instant::now();
//! let snapshot = Snapshot::new(Arc::new(set), &LeastRequest::new(), now, 1, None);
//!
//! let (mut rng, mut tried) = (SplitMix64::with_seed(2), Tried::new());
//! let pick = snapshot.pick(&mut PickArgs::new(&now, &mut rng, &tried))?;
//! let first = pick.endpoint().addr();
//! tried.add(pick.endpoint().identity());
//! pick.complete(Outcome::Failure, now);
//!
//! // The retry goes to another endpoint. For 5 seconds, the failure counts as one more request in flight at the first.
//! let pick = snapshot.pick(&mut PickArgs::new(&now, &mut rng, &tried))?;
//! assert_ne!(pick.endpoint().addr(), first);
//! pick.complete(Outcome::Success, now);
//! # Ok::<(), discovery_core::policy::PickError>(())
//! ```
//!
//! # The policies
//!
//! Each policy is one file with its [`Policy`] and its [`Picker`]. Code that several of them share has a file of its
//! own.
//!
//! | policy | respects weights | compares | avoids failing endpoints | file |
//! |---|---|---|---|---|
//! | [`RoundRobin`] | no | nothing | no | `round_robin.rs` |
//! | [`Random`] | yes | nothing | no | `random.rs` |
//! | [`LeastRequest`] | yes | requests in flight | yes | `least_request.rs` |
//! | [`LeastExpectedWait`] | yes | latency and requests in flight | yes | `least_expected_wait.rs` |
//!
//! An application sets a policy with `ResolverBuilder::policy`: one of these, or its own implementation of [`Policy`].
//!
//! # Endpoints that cannot be connected to
//!
//! Whatever the policy, an endpoint whose last connection could not be established ([`Outcome::Unreachable`]) gets no
//! request while another one of its priority is usable ([`Reachability`]). If fewer than half of a priority are usable,
//! all of them are used. The snapshot lets the policy choose again, so a policy need not know of this (`avoid.rs`).
//!
//! # Adding a policy to this crate
//!
//! Another way to choose (weighted round robin by static stride, peak EWMA, Maglev, ring hash) is one more file that
//! implements `Policy`. What it measures becomes a field of [`Load`], which every [`Pick`] updates; if it measures
//! time, the policy calls [`PickArgs::now`] at each pick. What it needs to know about the request becomes a field of
//! [`PickArgs`].
//!
//! A way to exclude endpoints (subsets, zones, ejection, slow start) is not a policy. It decides at the update which
//! endpoints a level of the [`Snapshot`] has, as `level.rs` does for priority, readiness and weight 0, and
//! `connected.rs` for endpoints that are retained.

mod avoid;
mod budget;
mod connected;
mod contract;
mod error;
mod least_expected_wait;
mod least_request;
mod level;
mod load;
mod loaded;
mod pick;
mod random;
mod reach;
pub mod retry;
mod rng;
mod round_robin;
mod sampler;
mod snapshot;
#[cfg(test)]
mod tests;
mod tried;
mod wait;

pub use budget::RetryBudget;
pub use contract::{Clock, Decision, PickArgs, Picker, Policy};
pub use error::PickError;
pub use least_expected_wait::LeastExpectedWait;
pub use least_request::LeastRequest;
pub use load::Load;
#[cfg(feature = "resolver")]
pub(crate) use load::Probing;
pub use loaded::{Listener, LoadedEndpoint, LoadedEndpoints};
pub use pick::{Outcome, Pick};
pub use random::Random;
pub use reach::Reachability;
#[cfg(feature = "resolver")]
pub(crate) use reach::{BACKOFF_MAX, backoff};
pub use rng::{Rng, SplitMix64};
pub use round_robin::RoundRobin;
pub use snapshot::Snapshot;
pub use tried::Tried;
