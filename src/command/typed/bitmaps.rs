//! Strings as bits and small integers.

macro_rules! bitmaps {
    ($into:tt) => {
        $crate::command::typed::macros::expand! { $into
            /// [`BITCOUNT`](https://redis.io/docs/latest/commands/bitcount/): how many bits are set.
            bitcount(key: one) -> (i64) = "BITCOUNT";
            /// [`BITCOUNT`](https://redis.io/docs/latest/commands/bitcount/): how many are from the index
            /// `first` to the index `last`, both included.
            bitcount_range(key: one, first: one, last: one, unit: (BitUnit)) -> (i64) = "BITCOUNT";
            /// [`BITFIELD`](https://redis.io/docs/latest/commands/bitfield/): reads and writes small integers;
            /// returns one element for each operation.
            bitfield(key: one, operations: (BitFieldOptions<'_>)) -> any = "BITFIELD";
            /// [`BITFIELD_RO`](https://redis.io/docs/latest/commands/bitfield_ro/): reads small numbers where
            /// only reading is allowed.
            bitfield_ro(key: one, operations: (BitFieldOptions<'_>)) -> any = "BITFIELD_RO";
            /// [`BITOP`](https://redis.io/docs/latest/commands/bitop/): combines values bit by bit; returns the
            /// length of the result in bytes.
            bitop(operation: (BitOperation), destination: one, keys: many) -> (i64) = "BITOP";
            /// [`BITPOS`](https://redis.io/docs/latest/commands/bitpos/): where the first 1 or 0 is; -1 if
            /// there is none.
            bitpos(key: one, bit: one) -> (i64) = "BITPOS";
            /// [`BITPOS`](https://redis.io/docs/latest/commands/bitpos/): where it is from the index `first` to
            /// the index `last`, both included.
            bitpos_range(key: one, bit: one, first: one, last: one, unit: (BitUnit)) -> (i64) = "BITPOS";
            /// [`GETBIT`](https://redis.io/docs/latest/commands/getbit/): one bit.
            getbit(key: one, offset: one) -> (bool) = "GETBIT";
            /// [`SETBIT`](https://redis.io/docs/latest/commands/setbit/): sets one bit to 0 or 1; returns its
            /// previous value.
            setbit(key: one, offset: one, bit: one) -> (bool) = "SETBIT";
        }
    };
}

pub(crate) use bitmaps;
