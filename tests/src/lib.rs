//! Helpers that the test programs share. `tests/README.md` maps the targets and says how to write a test.

mod backlog;
mod balancer;
mod black_hole;
pub mod log;
mod observe;
mod resolvers;
mod services;
mod wait;

pub use backlog::FullBacklog;
pub use balancer::Balancer;
pub use black_hole::BlackHole;
pub use observe::{addrs, error_texts, figure, ips, question, refusal};
pub use resolvers::{brisk, in_cluster, in_pod, in_pod_with};
pub use services::{ORDERS, many_orders, orders};
pub use wait::{LOAD_PATIENCE, PATIENCE, eventually, next_round, until, until_fresh, until_stale, within, within_load};
