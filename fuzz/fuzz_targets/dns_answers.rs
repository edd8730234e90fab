//! The body `dns_answers` for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (fuzz_bodies::DNS_ANSWERS.check)(bytes));
