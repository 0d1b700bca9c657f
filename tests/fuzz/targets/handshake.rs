//! Feeds the fuzzer's bytes to `hitless::fuzz::handshake`, which asserts what must hold.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hitless::fuzz::handshake(data));
