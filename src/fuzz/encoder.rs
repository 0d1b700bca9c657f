//! The encoder: what was given is what arrives, as exactly one command.

use super::decoder::decode;
use super::script::Script;
use super::wire;
use crate::command::cmd;
use crate::proto::resp::{Encoder, Frame, Limits};

/// Each command's arguments: a count, then a length in front of each.
///
/// # Panics
/// If arguments do not come back as they were given, from the decoder or from a stricter reader.
pub fn encoder(data: &[u8]) {
    let mut script = Script::new(data);
    let (mut out, mut expected) = (Vec::new(), Vec::new());
    while !script.is_over() {
        let count = script.below(ARGUMENTS_MAX) + 1;
        let arguments: Vec<Vec<u8>> = (0..count).map(|_| argument(&mut script)).collect();
        encode(script.coin(), &arguments, &mut out);
        expected.push(arguments);
    }
    let decoded = decode(Limits::default(), [&out[..]]);
    let bulk = |argument: &Vec<u8>| Frame::Bulk(argument.clone().into());
    let frames = expected.iter().map(|arguments| Frame::Array(arguments.iter().map(bulk).collect()));
    assert_eq!(decoded.frames, frames.collect::<Vec<_>>());
    assert_eq!(wire::read_commands(&mut out), expected);
    assert!(out.is_empty(), "nothing is left over");
}

fn encode(through_cmd: bool, arguments: &[Vec<u8>], out: &mut Vec<u8>) {
    match arguments {
        [name, rest @ ..] if through_cmd && std::str::from_utf8(name).is_ok() => {
            let command = cmd(&String::from_utf8_lossy(name)).args(rest.iter().map(Vec::as_slice));
            command.encode(out);
            assert!(name.starts_with(command.name().as_bytes()), "a name may be cut, and not changed");
        }
        _ => {
            let mut encoder = Encoder::command(out, arguments.len());
            for argument in arguments {
                encoder.bytes(argument);
            }
        }
    }
}

/// Short ones as they are, and now and then one whose length takes more digits.
fn argument(script: &mut Script<'_>) -> Vec<u8> {
    let length = script.below(LENGTHS);
    let times = if length == LENGTHS - 1 { LONG_TIMES } else { 1 };
    script.take(length).repeat(times)
}

const ARGUMENTS_MAX: usize = 12;
const LENGTHS: usize = 32;
const LONG_TIMES: usize = 400;
