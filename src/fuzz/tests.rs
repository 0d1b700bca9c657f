//! The same promises as ordinary tests: over random bytes, and over the corpus that a fuzzer begins with.

use std::path::Path;

use proptest::prelude::*;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let fuzzing = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    // The package comes without it.
    if !fuzzing.exists() {
        return Vec::new();
    }
    let files = fuzzing.join("corpus").join(target).read_dir().unwrap();
    let seeds: Vec<_> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    assert!(!seeds.is_empty(), "{target} has no corpus");
    seeds
}

/// Any bytes, with more of the wire's own than chance would have.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let wire = &b"$*+-:%~>|#_,(!=;.?\r\n0123456789-@/[]"[..];
    let byte = prop_oneof![2 => any::<u8>(), 2 => proptest::sample::select(wire), 1 => 0..16u8];
    proptest::collection::vec(byte, 0..400)
}

/// A seed of the corpus with some of its bytes replaced.
fn damaged(target: &str) -> impl Strategy<Value = Vec<u8>> {
    let spots = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let mut seeds = corpus(target);
    seeds.push(vec![0]);
    (proptest::sample::select(seeds), spots).prop_map(|(mut seed, spots)| {
        for (spot, byte) in spots {
            let length = seed.len().max(1);
            seed.resize(length, 0);
            seed[spot.index(length)] = byte;
        }
        seed
    })
}

macro_rules! promises {
    ($($target:ident: $name:ident,)*) => {
        $(
            #[test]
            fn $name() {
                for seed in corpus(stringify!($target)) {
                    super::$target(&seed);
                }
                let config = ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() };
                proptest!(config, |(data in prop_oneof![bytes(), damaged(stringify!($target))])| {
                    super::$target(&data);
                });
            }
        )*
    };
}

promises! {
    decoder: a_stream_means_the_same_however_it_is_cut,
    encoder: a_command_arrives_as_it_was_given,
    notification: a_notification_is_understood_or_not_whatever_it_holds,
    address: endpoints_are_printed_as_they_were_read_and_passwords_are_not,
    handshake: a_handshake_ends_or_waits_whatever_the_server_says,
    connection: everybody_hears_the_truth_once_whatever_happens_when,
}
