//! Whether a standby is still needed.

use std::sync::atomic::{AtomicU8, Ordering};

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

#[cfg(test)]
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
