//! Strings, and the counters that are kept in them.

macro_rules! strings {
    ($into:tt) => {
        $crate::command::typed::expand! { $into
            /// [`APPEND`](https://redis.io/docs/latest/commands/append/): puts text behind a key's value; its
            /// new length in bytes.
            append(key: one, value: one) -> (i64) = "APPEND";
            /// [`DECR`](https://redis.io/docs/latest/commands/decr/): takes 1 from a counter; its new value.
            decr(key: one) -> (i64) = "DECR";
            /// [`DECRBY`](https://redis.io/docs/latest/commands/decrby/): takes from a counter; its new value.
            decrby(key: one, amount: one) -> (i64) = "DECRBY";
            /// [`GET`](https://redis.io/docs/latest/commands/get/): a key's value; null if there is none.
            get(key: one) -> any = "GET";
            /// [`GETDEL`](https://redis.io/docs/latest/commands/getdel/): a key's value, which is removed; null
            /// if there is none.
            getdel(key: one) -> any = "GETDEL";
            /// [`GETEX`](https://redis.io/docs/latest/commands/getex/): a key's value, and a new end of its
            /// life; null if there is none.
            getex(key: one, options: (GetExOptions)) -> any = "GETEX";
            /// [`GETRANGE`](https://redis.io/docs/latest/commands/getrange/): the bytes of a value from the
            /// index `first` to the index `last`, both included; -1 is the last byte.
            getrange(key: one, first: one, last: one) -> any = "GETRANGE";
            /// [`INCR`](https://redis.io/docs/latest/commands/incr/): adds 1 to a counter; its new value.
            incr(key: one) -> (i64) = "INCR";
            /// [`INCRBY`](https://redis.io/docs/latest/commands/incrby/): adds to a counter; its new value.
            incrby(key: one, amount: one) -> (i64) = "INCRBY";
            /// [`INCRBYFLOAT`](https://redis.io/docs/latest/commands/incrbyfloat/): adds to a number with a
            /// fraction; its new value.
            incrbyfloat(key: one, amount: one) -> (f64) = "INCRBYFLOAT";
            /// [`LCS`](https://redis.io/docs/latest/commands/lcs/): the longest sequence that two values have
            /// in common.
            lcs(key: one, other: one) -> any = "LCS";
            /// [`LCS`](https://redis.io/docs/latest/commands/lcs/): how long that sequence is.
            lcs_len(key: one, other: one) -> (i64) = "LCS" .. "LEN";
            /// [`MGET`](https://redis.io/docs/latest/commands/mget/): the values of many keys.
            mget(keys: many) -> any = "MGET";
            /// [`MSET`](https://redis.io/docs/latest/commands/mset/): gives many keys their values, all at
            /// once.
            mset(entries: pairs) -> (()) = "MSET";
            /// [`MSETNX`](https://redis.io/docs/latest/commands/msetnx/): gives many keys their values unless
            /// one of them has one; says whether it did.
            msetnx(entries: pairs) -> (bool) = "MSETNX";
            /// [`PSETEX`](https://redis.io/docs/latest/commands/psetex/): gives a key a value for some
            /// milliseconds.
            psetex(key: one, milliseconds: one, value: one) -> (()) = "PSETEX";
            /// [`SET`](https://redis.io/docs/latest/commands/set/): gives a key a value.
            set(key: one, value: one) -> (()) = "SET";
            /// [`SETEX`](https://redis.io/docs/latest/commands/setex/): gives a key a value for some seconds.
            setex(key: one, seconds: one, value: one) -> (()) = "SETEX";
            /// [`SETNX`](https://redis.io/docs/latest/commands/setnx/): gives a key a value unless it has one;
            /// says whether it did.
            setnx(key: one, value: one) -> (bool) = "SETNX";
            /// [`SETRANGE`](https://redis.io/docs/latest/commands/setrange/): overwrites a part of a value,
            /// from a byte on; the new length.
            setrange(key: one, offset: one, value: one) -> (i64) = "SETRANGE";
            /// [`SET`](https://redis.io/docs/latest/commands/set/): gives a key a value on conditions, or for a
            /// time. Take `bool` to learn whether it did, or `Option<T>` for the value before, with
            /// [`get`](crate::options::SetOptions::get).
            set_with(key: one, value: one, options: (SetOptions)) -> any = "SET";
            /// [`STRLEN`](https://redis.io/docs/latest/commands/strlen/): the length of a value in bytes; 0 if
            /// there is none.
            strlen(key: one) -> (i64) = "STRLEN";
        }
    };
}

pub(crate) use strings;
