//! Strings, and the counters that they hold.

macro_rules! strings {
    ($into:tt) => {
        $crate::command::typed::macros::expand! { $into
            /// [`APPEND`](https://redis.io/docs/latest/commands/append/): appends text to a key's value; returns
            /// its new length in bytes.
            append(key: one, value: one) -> (i64) = "APPEND";
            /// [`DECR`](https://redis.io/docs/latest/commands/decr/): subtracts 1 from a counter; returns its new
            /// value.
            decr(key: one) -> (i64) = "DECR";
            /// [`DECRBY`](https://redis.io/docs/latest/commands/decrby/): subtracts from a counter; returns its
            /// new value.
            decrby(key: one, amount: one) -> (i64) = "DECRBY";
            /// [`GET`](https://redis.io/docs/latest/commands/get/): a key's value; null if there is none.
            get(key: one) -> any = "GET";
            /// [`GETDEL`](https://redis.io/docs/latest/commands/getdel/): removes a key, and returns its value;
            /// null if there is none.
            getdel(key: one) -> any = "GETDEL";
            /// [`GETEX`](https://redis.io/docs/latest/commands/getex/): a key's value, and changes its expiry;
            /// null if there is none.
            getex(key: one, options: (GetExOptions)) -> any = "GETEX";
            /// [`GETRANGE`](https://redis.io/docs/latest/commands/getrange/): the bytes of a value from the
            /// index `first` to the index `last`, both included; -1 is the last byte.
            getrange(key: one, first: one, last: one) -> any = "GETRANGE";
            /// [`INCR`](https://redis.io/docs/latest/commands/incr/): adds 1 to a counter; returns its new value.
            incr(key: one) -> (i64) = "INCR";
            /// [`INCRBY`](https://redis.io/docs/latest/commands/incrby/): adds to a counter; returns its new
            /// value.
            incrby(key: one, amount: one) -> (i64) = "INCRBY";
            /// [`INCRBYFLOAT`](https://redis.io/docs/latest/commands/incrbyfloat/): adds to a floating-point
            /// number; returns its new value.
            incrbyfloat(key: one, amount: one) -> (f64) = "INCRBYFLOAT";
            /// [`LCS`](https://redis.io/docs/latest/commands/lcs/): the longest sequence that two values have
            /// in common.
            lcs(key: one, other: one) -> any = "LCS";
            /// [`LCS`](https://redis.io/docs/latest/commands/lcs/): how long that sequence is.
            lcs_len(key: one, other: one) -> (i64) = "LCS" .. "LEN";
            /// [`MGET`](https://redis.io/docs/latest/commands/mget/): the values of many keys.
            mget(keys: many) -> any = "MGET";
            /// [`MSET`](https://redis.io/docs/latest/commands/mset/): sets the values of many keys, all at once.
            mset(entries: pairs) -> (()) = "MSET";
            /// [`MSETNX`](https://redis.io/docs/latest/commands/msetnx/): sets the values of many keys, unless
            /// one of the keys exists; returns whether it did.
            msetnx(entries: pairs) -> (bool) = "MSETNX";
            /// [`PSETEX`](https://redis.io/docs/latest/commands/psetex/): sets a key's value, to expire after
            /// some milliseconds.
            psetex(key: one, milliseconds: one, value: one) -> (()) = "PSETEX";
            /// [`SET`](https://redis.io/docs/latest/commands/set/): sets a key's value.
            set(key: one, value: one) -> (()) = "SET";
            /// [`SETEX`](https://redis.io/docs/latest/commands/setex/): sets a key's value, to expire after some
            /// seconds.
            setex(key: one, seconds: one, value: one) -> (()) = "SETEX";
            /// [`SETNX`](https://redis.io/docs/latest/commands/setnx/): sets a key's value unless it has one;
            /// returns whether it did.
            setnx(key: one, value: one) -> (bool) = "SETNX";
            /// [`SETRANGE`](https://redis.io/docs/latest/commands/setrange/): overwrites a part of a value, from
            /// a byte offset on; returns the new length.
            setrange(key: one, offset: one, value: one) -> (i64) = "SETRANGE";
            /// [`SET`](https://redis.io/docs/latest/commands/set/): sets a key's value under conditions, or with
            /// an expiry. The reply is `bool` for whether it did, or `Option<T>` for the previous value with
            /// [`get`](crate::options::SetOptions::get).
            set_with(key: one, value: one, options: (SetOptions)) -> any = "SET";
            /// [`STRLEN`](https://redis.io/docs/latest/commands/strlen/): the length of a value in bytes; 0 if
            /// there is none.
            strlen(key: one) -> (i64) = "STRLEN";
        }
    };
}

pub(crate) use strings;
