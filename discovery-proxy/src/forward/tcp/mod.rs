//! TCP: accept, decide, dial, carry.

mod accept;
mod connect;
mod half;
#[cfg(not(target_os = "linux"))]
#[path = "no_pipe.rs"]
mod pipe;
#[cfg(target_os = "linux")]
mod pipe;
mod pump;

pub(super) use accept::serve;
pub(super) use connect::{Connected, Counted, connect};
use half::Half;
use pipe::Pipe;
