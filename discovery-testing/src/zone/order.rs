use super::{Answer, Data, Record};

/// The order of address records: CoreDNS `plugin/loadbalance`, with a reproducible generator.
#[derive(Debug)]
pub(crate) struct Order {
    /// The state of the generator; `None` keeps the order of declaration.
    state: Option<u64>,
}

impl Order {
    pub(crate) fn shuffled(seed: u64) -> Self {
        Self { state: Some(seed) }
    }

    pub(crate) fn fixed() -> Self {
        Self { state: None }
    }

    /// Shuffles the addresses in the Answer and Additional sections. Other records keep their order and come first.
    pub(crate) fn apply(&mut self, answer: &mut Answer) {
        if self.state.is_none() {
            return;
        }
        for section in [&mut answer.answers, &mut answer.additionals] {
            let (mut addresses, mut rest): (Vec<Record>, Vec<Record>) =
                section.drain(..).partition(|r| matches!(r.data, Data::A(_) | Data::Aaaa(_)));
            for last in (1..addresses.len()).rev() {
                addresses.swap(last, self.below(last + 1));
            }
            rest.append(&mut addresses);
            *section = rest;
        }
    }

    /// Returns a number below `bound`, from SplitMix64 (Steele, Lea, Flood 2014).
    fn below(&mut self, bound: usize) -> usize {
        let state = self.state.get_or_insert(0);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = *state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        usize::try_from(bits % bound).unwrap_or(0)
    }
}
