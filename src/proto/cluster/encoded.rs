//! [`Commands`]: encoded commands, read back, so that their keys can be found without a copy of them.

use std::cell::Cell;
use std::ops::Range;

use super::commands::Args;

/// The commands in a string of bytes, one behind the other, each an array of bulk strings.
///
/// It ends in front of the first command that is incomplete or malformed. [`position`](Self::position) then is not the end of the
/// bytes. Nothing is copied or allocated.
#[derive(Clone, Debug)]
pub(crate) struct Commands<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// One command of [`Commands`].
#[derive(Clone, Debug)]
pub(crate) struct EncodedCommand<'a> {
    /// Where the command is among the bytes.
    pub(crate) range: Range<usize>,
    pub(crate) args: EncodedArgs<'a>,
}

/// The arguments of an encoded command.
///
/// They are found one behind the other: reading all of them in their order takes one pass. Reading backwards starts again
/// at the first.
#[derive(Clone, Debug)]
pub(crate) struct EncodedArgs<'a> {
    /// The arguments, each with its length in front.
    bytes: &'a [u8],
    count: usize,
    /// The argument that was read last.
    last: Cell<Option<Found>>,
}

/// An argument, and where its bytes are.
#[derive(Clone, Copy, Debug)]
struct Found {
    index: usize,
    start: usize,
    end: usize,
}

impl<'a> Commands<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Commands { bytes, position: 0 }
    }

    /// How many bytes the commands so far have.
    #[cfg(test)]
    pub(crate) fn position(&self) -> usize {
        self.position
    }
}

impl<'a> Iterator for Commands<'a> {
    type Item = EncodedCommand<'a>;

    #[inline]
    fn next(&mut self) -> Option<EncodedCommand<'a>> {
        let start = self.position;
        let (count, first) = header(self.bytes, start, b'*').filter(|(count, _)| *count > 0)?;
        let mut end = first;
        for _ in 0..count {
            (_, end) = argument(self.bytes, end)?;
        }
        self.position = end;
        let args = EncodedArgs { bytes: self.bytes.get(first..end)?, count, last: Cell::new(None) };
        Some(EncodedCommand { range: start..end, args })
    }
}

impl<'a> EncodedArgs<'a> {
    /// The arguments of the command that these bytes begin with. Nothing is read but their number: if the command is incomplete
    /// or malformed, the arguments from there on are `None`. [`Commands`] reads each command twice, so this is cheaper.
    #[inline]
    pub(crate) fn of_first(bytes: &'a [u8]) -> Option<Self> {
        let (count, first) = header(bytes, 0, b'*')?;
        Some(EncodedArgs { bytes: bytes.get(first..)?, count, last: Cell::new(None) })
    }

    /// One argument, for as long as the bytes live.
    #[inline]
    pub(crate) fn argument(&self, index: usize) -> Option<&'a [u8]> {
        if index >= self.count {
            return None;
        }
        let (mut next, mut position) = match self.last.get() {
            Some(last) if last.index == index => return self.bytes.get(last.start..last.end),
            Some(last) if last.index < index => (last.index + 1, last.end + 2),
            _ => (0, 0),
        };
        loop {
            let (found, behind) = argument(self.bytes, position)?;
            if next == index {
                let end = behind - 2;
                self.last.set(Some(Found { index, start: end - found.len(), end }));
                return Some(found);
            }
            (next, position) = (next + 1, behind);
        }
    }
}

impl Args for EncodedArgs<'_> {
    #[inline]
    fn len(&self) -> usize {
        self.count
    }

    #[inline]
    fn get(&self, index: usize) -> Option<&[u8]> {
        self.argument(index)
    }
}

/// The argument at this position, and the position behind it.
#[inline]
fn argument(bytes: &[u8], position: usize) -> Option<(&[u8], usize)> {
    let (length, start) = header(bytes, position, b'$')?;
    let rest = bytes.get(start..)?;
    let (argument, rest) = rest.split_at_checked(length)?;
    (rest.first_chunk() == Some(b"\r\n")).then_some((argument, start + length + 2))
}

/// The number behind a type byte, and the position behind its line.
#[inline]
fn header(bytes: &[u8], position: usize, kind: u8) -> Option<(usize, usize)> {
    let line = bytes.get(position..)?;
    // Most counts and lengths have one digit. The whole line is compared at once, and then its digit.
    let short = u32::from_le_bytes(*line.first_chunk()?);
    let digit = (short >> 8) as u8;
    if short & 0xffff_00ff == u32::from_le_bytes([kind, 0, b'\r', b'\n']) && digit.is_ascii_digit() {
        return Some((usize::from(digit - b'0'), position + 4));
    }
    match line.split_first()? {
        (first, [tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', b'\n', ..]) if *first == kind => {
            Some((usize::from(tens - b'0') * 10 + usize::from(ones - b'0'), position + 5))
        }
        (first, line) if *first == kind => {
            long_number(line).map(|(number, length)| (number, position + 1 + length))
        }
        _ => None,
    }
}

/// A number and its line break, with their length.
#[cold]
fn long_number(line: &[u8]) -> Option<(usize, usize)> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = line
        .get(..digits)
        .filter(|digits| !digits.is_empty())?
        .iter()
        .try_fold(0_usize, |number, digit| number.checked_mul(10)?.checked_add(usize::from(digit - b'0')))?;
    (line.get(digits..)?.first_chunk() == Some(b"\r\n")).then_some((number, digits + 2))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::proto::resp::Encoder;

    type Command = Vec<Vec<u8>>;

    fn encoded(commands: &[Command]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for command in commands {
            let mut encoder = Encoder::command(&mut bytes, command.len());
            command.iter().for_each(|argument| encoder.bytes(argument));
        }
        bytes
    }

    fn decoded(bytes: &[u8]) -> Vec<Command> {
        let all = |args: EncodedArgs| (0..args.len()).map(|at| args.get(at).unwrap().to_vec()).collect();
        Commands::new(bytes).map(|command| all(command.args)).collect()
    }

    fn any_commands() -> impl Strategy<Value = Vec<Command>> {
        let argument = prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..12),
            proptest::collection::vec(proptest::sample::select(&b"\r\n$*019"[..]), 0..12),
            proptest::collection::vec(any::<u8>(), 95..105),
        ];
        proptest::collection::vec(proptest::collection::vec(argument, 1..14), 0..4)
    }

    proptest! {
        #[test]
        fn what_the_encoder_wrote_is_read_back(commands in any_commands()) {
            let bytes = encoded(&commands);
            prop_assert_eq!(&decoded(&bytes), &commands);
            let mut read = Commands::new(&bytes);
            let mut end = 0;
            for command in read.by_ref() {
                prop_assert_eq!(command.range.start, end);
                end = command.range.end;
                let first = EncodedArgs::of_first(&bytes[command.range.start..]).unwrap();
                for index in 0..=command.args.len() {
                    prop_assert_eq!(first.argument(index), command.args.argument(index));
                }
                prop_assert_eq!(decoded(&bytes[command.range]).len(), 1);
            }
            prop_assert_eq!((end, read.position()), (bytes.len(), bytes.len()));
        }

        #[test]
        fn arguments_are_found_in_any_order(command in any_commands(), order: Vec<prop::sample::Index>) {
            let bytes = encoded(&command);
            for (encoded, command) in Commands::new(&bytes).zip(&command) {
                for index in order.iter().map(|index| index.index(command.len())) {
                    prop_assert_eq!(encoded.args.argument(index), Some(&command[index][..]));
                }
                prop_assert_eq!(encoded.args.argument(command.len()), None);
            }
        }

        #[test]
        fn incomplete_command_is_not_read(commands in any_commands(), cut: prop::sample::Index) {
            let bytes = encoded(&commands);
            let cut = if bytes.is_empty() { 0 } else { cut.index(bytes.len()) };
            let mut read = Commands::new(&bytes[..cut]);
            prop_assert!(read.by_ref().count() < commands.len().max(1));
            prop_assert!(read.position() <= cut);
            prop_assert!(bytes.is_empty() || read.next().is_none());
        }

        #[test]
        fn no_bytes_panic(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), proptest::sample::select(&b"\r\n$*0129"[..])], 0..64,
            )
        ) {
            let mut read = Commands::new(&bytes);
            for command in read.by_ref() {
                for index in (0..=command.args.len()).rev() {
                    prop_assert_eq!(command.args.get(index).is_some(), index < command.args.len());
                }
            }
            prop_assert!(read.position() <= bytes.len());
            if let Some(first) = EncodedArgs::of_first(&bytes) {
                (0..first.len().min(9)).rev().for_each(|index| _ = first.get(index));
            }
        }
    }

    #[test]
    fn malformed_commands_end_the_iteration() {
        for bytes in [
            "*0\r\n",
            "*\r\n",
            "*-1\r\n",
            "*1\r\n$-1\r\n",
            "*1\r\n:1\r\n",
            "*1\r\n$1\r\nxx\r\n",
            "*1\n$1\nx\n",
            "GET a\r\n",
            "*1\r\n$99999999999999999999\r\nx\r\n",
            "*1\r\n$18446744073709551615\r\nx\r\n",
            "*99999999999999999999\r\n$1\r\nx\r\n",
            "*2\r\n$1\r\nx\r\n",
        ] {
            let good = "*1\r\n$4\r\nPING\r\n";
            let bytes = format!("{good}{bytes}");
            let mut read = Commands::new(bytes.as_bytes());
            assert_eq!((read.by_ref().count(), read.position()), (1, good.len()), "{bytes:?}");
        }
    }
}
