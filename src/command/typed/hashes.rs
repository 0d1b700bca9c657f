//! Hashes.

macro_rules! hashes {
    ($into:tt) => {
        $crate::command::typed::macros::expand! { $into
            /// [`HDEL`](https://redis.io/docs/latest/commands/hdel/): removes fields of a hash; returns how many
            /// existed.
            hdel(key: one, fields: many) -> (i64) = "HDEL";
            /// [`HEXISTS`](https://redis.io/docs/latest/commands/hexists/): whether a hash has a field.
            hexists(key: one, field: one) -> (bool) = "HEXISTS";
            /// [`HGET`](https://redis.io/docs/latest/commands/hget/): one field of a hash; null if it is
            /// absent.
            hget(key: one, field: one) -> any = "HGET";
            /// [`HGETALL`](https://redis.io/docs/latest/commands/hgetall/): all fields of a hash and their
            /// values.
            hgetall(key: one) -> any = "HGETALL";
            /// [`HINCRBY`](https://redis.io/docs/latest/commands/hincrby/): adds to a counter in a hash; returns
            /// its new value.
            hincrby(key: one, field: one, amount: one) -> (i64) = "HINCRBY";
            /// [`HINCRBYFLOAT`](https://redis.io/docs/latest/commands/hincrbyfloat/): adds to a floating-point
            /// number in a hash; returns its new value.
            hincrbyfloat(key: one, field: one, amount: one) -> (f64) = "HINCRBYFLOAT";
            /// [`HKEYS`](https://redis.io/docs/latest/commands/hkeys/): all fields of a hash.
            hkeys(key: one) -> any = "HKEYS";
            /// [`HLEN`](https://redis.io/docs/latest/commands/hlen/): how many fields a hash has.
            hlen(key: one) -> (i64) = "HLEN";
            /// [`HMGET`](https://redis.io/docs/latest/commands/hmget/): many fields of a hash; null for each
            /// that is absent.
            hmget(key: one, fields: many) -> any = "HMGET";
            /// [`HRANDFIELD`](https://redis.io/docs/latest/commands/hrandfield/): some field of a hash; null if
            /// there is none.
            hrandfield(key: one) -> any = "HRANDFIELD";
            /// [`HRANDFIELD`](https://redis.io/docs/latest/commands/hrandfield/): some fields of a hash; with
            /// repetitions if `count` is negative.
            hrandfield_many(key: one, count: one) -> any = "HRANDFIELD";
            /// [`HRANDFIELD`](https://redis.io/docs/latest/commands/hrandfield/): the same with their values.
            hrandfield_with_values(key: one, count: one) -> any = "HRANDFIELD" .. "WITHVALUES";
            /// [`HSET`](https://redis.io/docs/latest/commands/hset/): sets fields of a hash; returns how many are
            /// new.
            hset(key: one, fields: pairs) -> (i64) = "HSET";
            /// [`HSETNX`](https://redis.io/docs/latest/commands/hsetnx/): sets a field of a hash unless it
            /// exists; returns whether it did.
            hsetnx(key: one, field: one, value: one) -> (bool) = "HSETNX";
            /// [`HSTRLEN`](https://redis.io/docs/latest/commands/hstrlen/): the length of a field's value in
            /// bytes; 0 if it is absent.
            hstrlen(key: one, field: one) -> (i64) = "HSTRLEN";
            /// [`HVALS`](https://redis.io/docs/latest/commands/hvals/): the values of all fields of a hash.
            hvals(key: one) -> any = "HVALS";
        }
    };
}

pub(crate) use hashes;
