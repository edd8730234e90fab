//! Variants of real inputs.

use discovery_core::policy::{Rng, SplitMix64};

/// Makes variants of a corpus, the same ones for the same seed: bits and bytes are changed, parts are removed, doubled,
/// moved between inputs, and numbers and addresses give way to those at the edges.
#[derive(Debug)]
pub struct Mutator {
    corpus: Vec<Vec<u8>>,
    rng: SplitMix64,
}

impl Mutator {
    /// Creates a mutator. `corpus` must not be empty.
    #[must_use]
    pub fn new(corpus: Vec<Vec<u8>>, seed: u64) -> Self {
        Self { corpus, rng: SplitMix64::with_seed(seed) }
    }

    /// Returns the next variant.
    #[must_use]
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.any_of_corpus();
        // One change mostly leaves valid input, and several reach further into the parser.
        for _ in 0..=self.below(4) {
            self.change(&mut input);
        }
        input.truncate(MAX_INPUT);
        input
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let (start, end) = self.range(input.len());
        match self.below(8) {
            0 if start < input.len() => input[start] ^= 1 << self.below(8),
            1 if start < input.len() => input[start] = EDGES[self.below(EDGES.len())],
            2 => drop(input.drain(start..end)),
            3 => {
                let part = input[start..end].to_vec();
                input.splice(start..start, part);
            }
            4 => {
                let other = self.any_of_corpus();
                let (from, to) = self.range(other.len());
                input.splice(start..end, other[from..to].iter().copied());
            }
            _ => self.replace_token(input, start),
        }
    }

    /// Replaces the number, address or word around `at` with another.
    fn replace_token(&mut self, input: &mut Vec<u8>, at: usize) {
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b".:-_".contains(byte);
        let Some(start) = input.iter().skip(at).position(is_token).map(|offset| at + offset) else { return };
        let start = input[..start].iter().rposition(|byte| !is_token(byte)).map_or(0, |before| before + 1);
        let end = input[start..].iter().position(|byte| !is_token(byte)).map_or(input.len(), |length| start + length);
        let text = TOKENS[self.below(TOKENS.len())];
        input.splice(start..end, text.bytes());
    }

    fn any_of_corpus(&mut self) -> Vec<u8> {
        let at = self.below(self.corpus.len());
        self.corpus[at].clone()
    }

    /// A range of at most 24 bytes, or rarely of any length.
    fn range(&mut self, length: usize) -> (usize, usize) {
        let start = self.below(length + 1);
        let longest = if self.below(8) == 0 { length } else { 24 };
        (start, (start + self.below(longest + 1)).min(length))
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.rng.next_u64() % bound as u64).expect("less than a usize")
    }
}

/// Longer inputs cost time and reach nothing new.
const MAX_INPUT: usize = 16 << 10;

const EDGES: &[u8] = &[0, 1, 0x0a, b' ', b'"', b'%', b'.', b'0', b':', b'[', b'_', 0x7f, 0x80, 0xc0, 0xff];

/// Words at the edges of what parsers accept.
const TOKENS: &[&str] = &[
    "",
    "0",
    "1",
    "8080",
    "65535",
    "65536",
    "-1",
    "2147483648",
    "18446744073709551616",
    "1e9",
    "true",
    "null",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "239.255.255.250",
    "127.0.0.1",
    "169.254.169.254",
    "10.244.0.7",
    "172.30.0.041",
    "::",
    "::1",
    "ff02::1",
    "fe80::1",
    "fd00::7",
    "::ffff:0.0.0.0",
    "::ffff:224.0.0.1",
    "0.0.0.0.",
    "224.0.0.1.",
    "localhost",
    "orders",
    "orders.shop.svc",
    "_8083._tcp.orders",
    "_http._tcp.orders.shop",
    "orders.",
    "a-",
    "-a",
    "xn--a",
    "UP",
    "IPv6",
    "None",
    "http",
];
