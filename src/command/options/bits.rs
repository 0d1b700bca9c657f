//! Options of commands for bits.

use super::{Sink, ToArg, Write, words};

words! {
    /// The unit of the indices of [`BITCOUNT`](https://redis.io/docs/latest/commands/bitcount/) and
    /// [`BITPOS`](https://redis.io/docs/latest/commands/bitpos/).
    BitUnit {
        /// Indices of bytes.
        Byte = "BYTE",
        /// Indices of bits.
        Bit = "BIT",
    }
}

words! {
    /// The operation of [`BITOP`](https://redis.io/docs/latest/commands/bitop/).
    BitOperation {
        /// Bits that are set in all values.
        And = "AND",
        /// Bits that are set in at least one value.
        Or = "OR",
        /// Bits that are set in an odd number of values.
        Xor = "XOR",
        /// Bits that are not set in the one value.
        Not = "NOT",
    }
}

words! {
    /// How [`BITFIELD`](https://redis.io/docs/latest/commands/bitfield/) treats numbers that do not fit.
    BitOverflow {
        /// They wrap around.
        Wrap = "WRAP",
        /// They become the largest or the smallest number.
        Saturate = "SAT",
        /// The stored number stays unchanged, and the reply is null.
        Fail = "FAIL",
    }
}

/// Options of [`BITFIELD`](https://redis.io/docs/latest/commands/bitfield/): its operations, in order. Types are
/// `u8`, `i16` and so on, of any number of bits; offsets are in bits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct BitFieldOptions<'a> {
    operations: Vec<Operation<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation<'a> {
    Get(&'a str, u64),
    Set(&'a str, u64, i64),
    IncrBy(&'a str, u64, i64),
    Overflow(BitOverflow),
}

impl<'a> BitFieldOptions<'a> {
    /// No operation yet.
    pub fn new() -> Self {
        BitFieldOptions::default()
    }

    /// Returns a number.
    pub fn get(self, kind: &'a str, offset: u64) -> Self {
        self.and(Operation::Get(kind, offset))
    }

    /// Replaces a number, and returns its previous value.
    pub fn set(self, kind: &'a str, offset: u64, value: i64) -> Self {
        self.and(Operation::Set(kind, offset, value))
    }

    /// Adds to a number, and returns its new value.
    pub fn incrby(self, kind: &'a str, offset: u64, amount: i64) -> Self {
        self.and(Operation::IncrBy(kind, offset, amount))
    }

    /// How later operations treat numbers that do not fit.
    pub fn overflow(self, overflow: BitOverflow) -> Self {
        self.and(Operation::Overflow(overflow))
    }

    fn and(mut self, operation: Operation<'a>) -> Self {
        self.operations.push(operation);
        self
    }
}

impl Write for BitFieldOptions<'_> {
    fn write(&self, sink: &mut impl Sink) {
        for operation in &self.operations {
            let (word, kind, offset, value) = match *operation {
                Operation::Get(kind, offset) => ("GET", kind, offset, None),
                Operation::Set(kind, offset, value) => ("SET", kind, offset, Some(value)),
                Operation::IncrBy(kind, offset, amount) => ("INCRBY", kind, offset, Some(amount)),
                Operation::Overflow(overflow) => {
                    sink.named("OVERFLOW", overflow.word());
                    continue;
                }
            };
            sink.named(word, kind);
            sink.argument(offset.to_arg());
            if let Some(value) = value {
                sink.argument(value.to_arg());
            }
        }
    }
}
