//! Each body, with variants of real inputs: the same ones in every run, and a number of cases rather than of seconds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use fuzz_bodies::{Body, Mutator};

/// Checks the corpus itself, then `cases` variants of it. `FUZZ_CASES` multiplies them, for a longer run by hand.
fn run(body: Body, cases: usize) {
    let corpus = (body.corpus)();
    let factor = std::env::var("FUZZ_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut mutator = Mutator::new(corpus.clone(), 1);
    let variants = std::iter::repeat_with(|| mutator.next_input()).take(cases * factor);
    for (at, input) in corpus.into_iter().chain(variants).enumerate() {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (body.check)(&input))) {
            eprintln!("case {at} of {}: {:?}", body.name, String::from_utf8_lossy(&input));
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn names() {
    run(fuzz_bodies::NAMES, 20_000);
}

#[test]
fn resolv_conf() {
    run(fuzz_bodies::RESOLV_CONF, 5_000);
}

#[test]
fn dns_answers() {
    run(fuzz_bodies::DNS_ANSWERS, 400);
}

#[test]
fn eureka() {
    run(fuzz_bodies::EUREKA, 300);
}

#[test]
fn slices() {
    run(fuzz_bodies::SLICES, 80);
}

#[test]
fn manifests() {
    run(fuzz_bodies::MANIFESTS, 1_000);
}
