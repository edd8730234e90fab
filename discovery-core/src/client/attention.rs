//! Whether a standby is still needed.

#[cfg(not(all(test, discovery_loom)))]
use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(all(test, discovery_loom))]
use loom::sync::atomic::{AtomicU8, Ordering};

const UNUSED: u8 = 0;
const USED: u8 = 1;
const ENDED: u8 = 2;

/// Lets a standby end when its runtime no longer uses the target. A use at the same moment either keeps the standby or
/// learns that it has ended.
#[derive(Debug, Default)]
pub(super) struct Attention(AtomicU8);

impl Attention {
    /// Reports a use; `false` if the standby has ended.
    pub(super) fn renew(&self) -> bool {
        self.0.compare_exchange(UNUSED, USED, Ordering::AcqRel, Ordering::Acquire) != Err(ENDED)
    }

    /// Ends the standby, unless there was a use since the last call.
    pub(super) fn expire(&self) -> bool {
        if self.0.compare_exchange(USED, UNUSED, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            return false;
        }
        self.0.compare_exchange(UNUSED, ENDED, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(all(test, discovery_loom))]
mod models {
    use loom::{sync::Arc, thread};

    use super::*;

    /// A use that relies on the standby, and the standby's end at the same moment, exclude each other.
    #[test]
    fn a_use_and_the_end_of_the_standby_exclude_each_other() {
        loom::model(|| {
            let attention = Arc::new(Attention::default());
            let standby = thread::spawn({
                let attention = attention.clone();
                move || attention.expire()
            });
            let is_attended = attention.renew();
            let has_ended = standby.join().unwrap();
            assert!(!(is_attended && has_ended), "the use relies on a standby that has ended");
            assert!(is_attended || has_ended, "the use starts a second standby beside a running one");
        });
    }
}

#[cfg(all(test, not(discovery_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_use_keeps_a_standby_for_one_more_period() {
        let attention = Attention::default();
        assert!(attention.renew() && !attention.expire());
        assert!(attention.renew() && attention.renew() && !attention.expire());
        assert!(attention.expire());
        assert!(!attention.renew());
    }
}
