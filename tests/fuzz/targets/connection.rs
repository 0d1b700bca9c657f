//! Feeds the fuzzer's bytes to `hitless::fuzz::connection`, which asserts what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hitless::fuzz::connection(data));
