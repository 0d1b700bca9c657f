//! The fuzz targets as ordinary tests: over random bytes, and over the corpus that a fuzzer starts from.

use std::path::Path;

use proptest::prelude::*;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let fuzzing = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    // The published package does not contain it.
    if !fuzzing.exists() {
        return Vec::new();
    }
    let files = fuzzing.join("corpus").join(target).read_dir().unwrap();
    let seeds: Vec<_> = files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect();
    assert!(!seeds.is_empty(), "{target} has no corpus");
    seeds
}

/// Random bytes, in which the protocol's own bytes are frequent.
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
    decoder: frames_do_not_depend_on_how_a_stream_is_split,
    encoder: a_command_arrives_with_its_arguments,
    notification: any_push_is_parsed_or_rejected,
    address: endpoints_survive_a_round_trip_and_passwords_are_never_printed,
    handshake: a_handshake_ends_or_waits_for_any_server_bytes,
    connection: each_caller_gets_one_true_result,
}
