//! A mean that forgets.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// A mean of samples and their weight, which decays over 10 s.
#[derive(Debug, Default)]
pub(super) struct Mean {
    /// The mean in the high half, the weight in the low half, both `f32`.
    packed: AtomicU64,
    /// The tick of the last sample.
    stamp: AtomicU32,
}

impl Mean {
    pub(super) fn is_known(&self) -> bool {
        self.packed.load(Relaxed) != 0
    }

    pub(super) fn load(&self) -> (f32, f32) {
        let packed = self.packed.load(Relaxed);
        (f32::from_bits((packed >> 32) as u32), f32::from_bits(packed as u32))
    }

    /// The mean, mixed with one sample of `prior`.
    pub(super) fn shrunk(&self, prior: f32, tick: u32) -> f32 {
        let (mean, weight) = self.load();
        let weight = weight * decay(TEN_SECONDS, tick.saturating_sub(self.stamp.load(Relaxed)));
        (mean * weight + prior) / (weight + 1.0)
    }

    /// Adds a sample. Earlier samples weigh at most `most` together; a weight above [`WINDOW`] decays faster.
    pub(super) fn add(&self, sample: f32, tick: u32, most: Option<f32>) {
        let (mean, weight) = self.load();
        let weight = decayed(weight, self.advance(tick));
        let weight = most.map_or(weight, |most| weight.min(most)) + 1.0;
        self.store(mean + (sample - mean) / weight, weight);
    }

    /// Moves the mean towards `usual`, by half in 1.4 s since the last call or sample.
    pub(super) fn fade(&self, usual: f32, tick: u32) {
        let ticks = self.advance(tick);
        if ticks > 0 {
            let (mean, weight) = self.load();
            self.store(usual + (mean - usual) * decay(TWO_SECONDS, ticks), decayed(weight, ticks));
        }
    }

    /// Sets the stamp, and returns the ticks since the last one.
    fn advance(&self, tick: u32) -> u32 {
        let ticks = tick.saturating_sub(self.stamp.load(Relaxed));
        if ticks > 0 {
            self.stamp.store(tick, Relaxed);
        }
        ticks
    }

    fn store(&self, mean: f32, weight: f32) {
        self.packed.store((u64::from(mean.to_bits()) << 32) | u64::from(weight.to_bits()), Relaxed);
    }
}

fn decayed(weight: f32, ticks: u32) -> f32 {
    let weight = weight * decay(TEN_SECONDS, ticks);
    if weight > WINDOW { (weight * decay(ONE_SECOND, ticks)).max(WINDOW) } else { weight }
}

/// The factor `e^(-ticks / time constant)`; `per_tick` is the factor of one tick.
fn decay(per_tick: f32, ticks: u32) -> f32 {
    if ticks == 0 { 1.0 } else { per_tick.powi(ticks.min(10_000) as i32) }
}

/// `e^(-10 ms / 10 s)`.
const TEN_SECONDS: f32 = 0.999_000_5;
/// `e^(-10 ms / 2 s)`.
const TWO_SECONDS: f32 = 0.995_012_5;
/// `e^(-10 ms / 1 s)`.
const ONE_SECOND: f32 = 0.990_049_8;

/// The weight of earlier samples beside a new one: with 20 samples, one pause does not poison an endpoint.
pub(super) const WINDOW: f32 = 19.0;
