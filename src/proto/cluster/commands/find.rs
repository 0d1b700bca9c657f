//! [`find`]: a command by its name.
//!
//! Every command of a cluster is looked up, so this neither allocates nor loops over the letters of most names. A name is
//! folded into 16 bytes, which are in lower case and hold every letter of a name of up to 16. A table that is built at compile
//! time leads from a hash of those bytes to the command.

use super::spec::CommandSpec;
use super::table::{COUNT, GROUPS};

/// The command with this name, in any case.
///
/// `subcommand` is the first argument behind the name. It matters only for containers such as `OBJECT`: with `None`, the
/// container itself is found. With a subcommand that the table does not know, nothing is found.
#[inline]
pub(crate) fn find(name: &[u8], subcommand: Option<&[u8]>) -> Option<&'static CommandSpec> {
    let spec = find_name(name)?;
    match subcommand {
        Some(subcommand) if !spec.subcommands.is_empty() => find_subcommand(spec, subcommand),
        _ => Some(spec),
    }
}

/// All commands and subcommands.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = &'static CommandSpec> {
    COMMANDS.iter().flat_map(|spec| std::iter::once(spec).chain(spec.subcommands))
}

fn find_name(name: &[u8]) -> Option<&'static CommandSpec> {
    let key = fold(name)?;
    let mut bucket = bucket(key, name.len());
    loop {
        let position = usize::from(*INDEX.get(bucket)?).checked_sub(1)?;
        if *KEYS.get(position)? == key {
            let spec = COMMANDS.get(position)?;
            // The folded name lacks letters in the middle of a long one.
            let is_it = spec.name.len() == name.len()
                && (name.len() <= 16 || spec.name.as_bytes().eq_ignore_ascii_case(name));
            if is_it {
                return Some(spec);
            }
        }
        bucket = (bucket + 1) % BUCKETS;
    }
}

#[inline(never)]
fn find_subcommand(container: &CommandSpec, subcommand: &[u8]) -> Option<&'static CommandSpec> {
    // Behind the container's name and a space.
    let behind = container.name.len() + 1;
    container.subcommands.iter().find(|spec| {
        spec.name.as_bytes().get(behind..).is_some_and(|name| name.eq_ignore_ascii_case(subcommand))
    })
}

/// The first and the last letters of a name, in lower case. Both halves overlap in names of fewer than 16 letters.
#[inline]
const fn fold(name: &[u8]) -> Option<u128> {
    let (first, last) = if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
    } else if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
        (u32::from_le_bytes(*first) as u64, u32::from_le_bytes(*last) as u64)
    } else {
        match name {
            [a] => (*a as u64, 0),
            [a, b] => (*a as u64, *b as u64),
            [a, b, c] => (*a as u64, *b as u64 | (*c as u64) << 8),
            _ => return None,
        }
    };
    Some((lower_case(first) as u128) << 64 | lower_case(last) as u128)
}

/// Eight letters in lower case at once. Bytes that are no upper-case letters stay as they are.
const fn lower_case(letters: u64) -> u64 {
    let low_bits = letters & repeat(0x7f);
    // The high bit of each byte says whether the byte is at least `A`, and whether it is beyond `Z`.
    let from_a = low_bits + repeat(0x80 - b'A');
    let beyond_z = low_bits + repeat(0x7f - b'Z');
    let upper = (from_a ^ beyond_z) & !letters & repeat(0x80);
    letters | upper >> 2
}

const fn repeat(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

#[inline]
const fn bucket(key: u128, length: usize) -> usize {
    let mixed = (key >> 64) as u64 ^ (key as u64).rotate_left(29) ^ length as u64;
    // A multiplication mixes into the high bits.
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BUCKETS.ilog2())) as usize
}

#[expect(
    clippy::indexing_slicing,
    reason = "at compile time, an index out of bounds is an error of the compiler"
)]
const fn commands() -> [CommandSpec; COUNT] {
    let mut commands = [GROUPS[0][0]; COUNT];
    let (mut group, mut position) = (0, 0);
    while group < GROUPS.len() {
        let mut next = 0;
        while next < GROUPS[group].len() {
            commands[position] = GROUPS[group][next];
            position += 1;
            next += 1;
        }
        group += 1;
    }
    assert!(position == COUNT);
    commands
}

#[expect(
    clippy::indexing_slicing,
    reason = "at compile time, an index out of bounds is an error of the compiler"
)]
const fn keys() -> [u128; COUNT] {
    let mut keys = [0; COUNT];
    let mut position = 0;
    while position < COUNT {
        if let Some(key) = fold(COMMANDS[position].name.as_bytes()) {
            keys[position] = key;
        }
        position += 1;
    }
    keys
}

#[expect(
    clippy::indexing_slicing,
    reason = "at compile time, an index out of bounds is an error of the compiler"
)]
const fn index() -> [u16; BUCKETS] {
    let mut index = [0; BUCKETS];
    let mut position = 0;
    while position < COUNT {
        let mut bucket = bucket(KEYS[position], COMMANDS[position].name.len());
        while index[bucket] != 0 {
            bucket = (bucket + 1) % BUCKETS;
        }
        position += 1;
        index[bucket] = position as u16;
    }
    index
}

static COMMANDS: [CommandSpec; COUNT] = commands();
/// The folded name of each command.
static KEYS: [u128; COUNT] = keys();
/// The position of a command, counted from 1, by the hash of its name: in its bucket or in the next free one.
static INDEX: [u16; BUCKETS] = index();

/// A power of two. At most half of the buckets are taken, so that searches are short and end.
const BUCKETS: usize = 1024;
const _: () = assert!(COUNT * 2 <= BUCKETS && BUCKETS.is_power_of_two());
