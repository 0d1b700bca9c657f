//! Bytes for `hitless::fuzz::encoder`, which says what it expects of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hitless::fuzz::encoder(data));
