//! Feeds the fuzzer's bytes to `hitless::fuzz::notification`, which asserts what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hitless::fuzz::notification(data));
