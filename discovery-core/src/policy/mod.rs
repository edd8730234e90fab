//! Policies: which endpoint the next request goes to.
//!
//! A [`Snapshot`] puts an [`EndpointSet`](crate::endpoint::EndpointSet), the [`Load`] of each endpoint and
//! the [`Picker`]s of a [`Policy`] together, immutable. Picking from it never blocks, takes no lock and
//! allocates nothing; each new set makes a new snapshot, and the load of an endpoint that stays goes along.
//! Nothing here reads a clock or asks for entropy: both are arguments, a [`Clock`] and an [`Rng`].
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
//! // The retry goes elsewhere, and so does all other traffic for the next 5 seconds.
//! let pick = snapshot.pick(&mut PickArgs::new(&now, &mut rng, &tried))?;
//! assert_ne!(pick.endpoint().addr(), first);
//! pick.complete(Outcome::Success, now);
//! # Ok::<(), discovery_core::policy::PickError>(())
//! ```
//!
//! # The family
//!
//! One file per policy, holding its [`Policy`] and its [`Picker`]; what several of them need is a file of
//! its own beside them.
//!
//! | policy | weights | load | failures | file |
//! |---|---|---|---|---|
//! | [`RoundRobin`] | no | no | no | `round_robin.rs` |
//! | [`Random`] | yes | no | no | `random.rs` |
//! | [`LeastRequest`] | yes | in flight | yes | `least_request.rs` |
//!
//! Where more belongs: a further way to choose (weighted round robin by static stride, peak EWMA, Maglev,
//! ring) is one more file with a `Policy` in it; what it measures is a field of [`Load`], which every
//! [`Pick`] feeds, and if that is a time, the policy asks [`PickArgs::now`] at each pick; what it wants to know of the request is a field of [`PickArgs`]. A way to leave endpoints
//! out (subsets, zones, ejection, slow start) is no policy: it decides at the update which slots a level of
//! the [`Snapshot`] has, as `level.rs` does for priority, readiness and weight 0.

mod budget;
mod contract;
mod error;
mod least_request;
mod level;
mod load;
mod loaded;
mod pick;
mod random;
pub mod retry;
mod rng;
mod round_robin;
mod sampler;
mod snapshot;
#[cfg(test)]
mod tests;
mod tried;

pub use budget::RetryBudget;
pub use contract::{Clock, Decision, PickArgs, Picker, Policy};
pub use error::PickError;
pub use least_request::LeastRequest;
pub use load::Load;
pub use loaded::{Listener, LoadedEndpoint, LoadedEndpoints};
pub use pick::{Outcome, Pick};
pub use random::Random;
pub use rng::{Rng, SplitMix64};
pub use round_robin::RoundRobin;
pub use snapshot::Snapshot;
pub use tried::Tried;
