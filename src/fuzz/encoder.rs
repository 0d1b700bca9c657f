//! The encoder: each command arrives as exactly one command with the same arguments.

use super::decoder::decode;
use super::script::Script;
use super::wire;
use crate::command::cmd;
use crate::proto::resp::{Encoder, Frame, Limits};

/// The input is a list of commands: the number of arguments, then each argument with its length in front.
///
/// # Panics
/// If the decoder, or the stricter reader of this folder, returns other arguments than were encoded.
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
    assert!(out.is_empty(), "bytes are left after the last command");
}

fn encode(through_cmd: bool, arguments: &[Vec<u8>], out: &mut Vec<u8>) {
    match arguments {
        [name, rest @ ..] if through_cmd && std::str::from_utf8(name).is_ok() => {
            let command = cmd(&String::from_utf8_lossy(name)).args(rest.iter().map(Vec::as_slice));
            command.encode(out);
            assert!(
                name.starts_with(command.name().as_bytes()),
                "a command name may be truncated but not changed"
            );
        }
        _ => {
            let mut encoder = Encoder::command(out, arguments.len());
            for argument in arguments {
                encoder.bytes(argument);
            }
        }
    }
}

/// A short argument, or now and then a long one whose length has more digits.
fn argument(script: &mut Script<'_>) -> Vec<u8> {
    let length = script.below(LENGTHS);
    let times = if length == LENGTHS - 1 { LONG_TIMES } else { 1 };
    script.take(length).repeat(times)
}

const ARGUMENTS_MAX: usize = 12;
const LENGTHS: usize = 32;
const LONG_TIMES: usize = 400;
