//! Commands that may wait on the server. Each has a connection for itself meanwhile.

macro_rules! blocking {
    ($into:tt) => {
        $crate::command::typed::macros::expand! { [blocking $into]
            /// [`BLMOVE`](https://redis.io/docs/latest/commands/blmove/): as `lmove`, and waits for an element for up
            /// to `timeout` seconds, without a limit if it is 0; null if none comes.
            blmove(
                source: one, destination: one, from: (ListEnd), to: (ListEnd), timeout: one
            ) -> any = "BLMOVE";
            /// [`BLMPOP`](https://redis.io/docs/latest/commands/blmpop/): as `lmpop`, and waits for an element for up
            /// to `timeout` seconds, without a limit if it is 0; null if none comes.
            blmpop(timeout: one, keys: counted, from: (ListEnd)) -> any = "BLMPOP";
            /// [`BLMPOP`](https://redis.io/docs/latest/commands/blmpop/): the same with up to `count` elements.
            blmpop_many(timeout: one, keys: counted, from: (ListEnd), count: ["COUNT"]) -> any = "BLMPOP";
            /// [`BLPOP`](https://redis.io/docs/latest/commands/blpop/): takes the element at the head of the first of
            /// these lists that has one, and waits for it for up to `timeout` seconds, without a limit if it is 0: the
            /// key and the element; null if none comes.
            ///
            /// To stop waiting without losing an element, call `cancel` on the reply instead of dropping it.
            blpop(keys: many, timeout: one) -> any = "BLPOP";
            /// [`BRPOP`](https://redis.io/docs/latest/commands/brpop/): the same at the tail.
            brpop(keys: many, timeout: one) -> any = "BRPOP";
            /// [`BZMPOP`](https://redis.io/docs/latest/commands/bzmpop/): as `zmpop`, and waits for a member for up to
            /// `timeout` seconds, without a limit if it is 0; null if none comes.
            bzmpop(timeout: one, keys: counted, from: (ZsetEnd)) -> any = "BZMPOP";
            /// [`BZPOPMAX`](https://redis.io/docs/latest/commands/bzpopmax/): takes the member with the highest score
            /// of the first of these sorted sets that has one, and waits for it for up to `timeout` seconds, without a
            /// limit if it is 0: the key, the member and the score; null if none comes.
            bzpopmax(keys: many, timeout: one) -> any = "BZPOPMAX";
            /// [`BZPOPMIN`](https://redis.io/docs/latest/commands/bzpopmin/): the same with the lowest score.
            bzpopmin(keys: many, timeout: one) -> any = "BZPOPMIN";
            /// [`WAIT`](https://redis.io/docs/latest/commands/wait/): how many replicas have acknowledged the writes of
            /// the connection, after up to `timeout_ms` milliseconds. It runs on a connection without writes.
            wait(replicas: one, timeout_ms: one) -> (i64) = "WAIT";
            /// [`WAITAOF`](https://redis.io/docs/latest/commands/waitaof/): the same for writes to the files of the
            /// server and of its replicas: the two counts.
            waitaof(local: one, replicas: one, timeout_ms: one) -> ((i64, i64)) = "WAITAOF";
            /// [`XREAD`](https://redis.io/docs/latest/commands/xread/): as `xread`, and waits for an entry for up to
            /// `timeout_ms` milliseconds, without a limit if it is 0; null if none comes.
            xread_blocking(
                timeout_ms: ["BLOCK"], options: (XreadOptions), streams: streams
            ) -> any = "XREAD";
            /// [`XREADGROUP GROUP`](https://redis.io/docs/latest/commands/xreadgroup-group/): as `xreadgroup`, and waits
            /// for an entry for up to `timeout_ms` milliseconds, without a limit if it is 0; null if none comes.
            xreadgroup_blocking(
                group: one, consumer: one, timeout_ms: ["BLOCK"], options: (XreadGroupOptions), streams: streams
            ) -> any = "XREADGROUP" "GROUP";
        }
    };
}

pub(crate) use blocking;
