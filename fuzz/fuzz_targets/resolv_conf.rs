//! The body `resolv_conf` for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (fuzz_bodies::RESOLV_CONF.check)(bytes));
