//! Random numbers, as an argument.

/// A source of uniformly distributed random numbers. Policies draw no entropy themselves, so that a test can replay
/// them.
pub trait Rng {
    /// Returns the next 64 random bits.
    fn next_u64(&mut self) -> u64;

    /// Returns a number below `n`, which must be at least 1.
    ///
    /// Uses Lemire's multiply and shift without rejection: the probabilities of two numbers differ by at most
    /// `n / 2^64`.
    fn below(&mut self, n: usize) -> usize {
        scale(self.next_u64(), n as u64) as usize
    }
}

/// The SplitMix64 generator of Steele, Lea and Flood: one addition and a mix. Good enough to spread load, unsuitable
/// for secrets.
#[derive(Clone, Debug)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// Creates a generator. Equal seeds give equal numbers.
    #[must_use]
    pub const fn with_seed(seed: u64) -> Self {
        Self { state: seed }
    }
}

impl Rng for SplitMix64 {
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Maps 64 random bits to `0..n`.
pub(super) fn scale(bits: u64, n: u64) -> u64 {
    ((u128::from(bits) * u128::from(n)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers for seed 1234567, <https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64>.
    #[test]
    fn split_mix_64_gives_the_published_sequence() {
        let mut rng = SplitMix64::with_seed(1_234_567);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(expected.map(|_| rng.next_u64()), expected);
    }

    #[test]
    fn scale_stays_below_n() {
        assert_eq!(scale(u64::MAX, 3), 2);
        assert_eq!(scale(0, 3), 0);
        assert_eq!(scale(u64::MAX, u64::MAX), u64::MAX - 1);
    }
}
