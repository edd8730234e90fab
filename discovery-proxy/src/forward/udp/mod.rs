//! UDP: an association for each client, with a socket of its own to its endpoint.
//!
//! | what | userspace kube-proxy | the kernel's modes | here |
//! |---|---|---|---|
//! | idle time | `--udp-timeout`, 250 ms | `nf_conntrack_udp_timeout`, 30 s | 30 s; `udp_idle_timeout` |
//! | kept alive by | both directions | both directions | both directions |
//! | size | 4096 bytes, the rest is cut | any | any |
//! | table full | no bound | dropped | dropped, and counted |
//! | nobody at the endpoint | the association ends | it stays until the change arrives | as the mode has it |
//! | endpoint gone | the idle time has to pass | conntrack entries are deleted | [`StaleFlows`](crate::StaleFlows) |

mod association;
mod serve;
mod table;

pub(super) use serve::serve;
pub(super) use table::Table;

use std::cell::RefCell;

/// The largest datagram there is.
const LARGEST: usize = 1 << 16;

thread_local! {
    /// All datagrams of a thread pass through this one.
    static SHARED: RefCell<Box<[u8]>> = RefCell::new(vec![0; LARGEST].into());
}

/// So many datagrams in a row, and others have their turn.
const BATCH: usize = 32;
