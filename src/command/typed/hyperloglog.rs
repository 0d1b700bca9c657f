//! HyperLogLog: the approximate number of different elements.

macro_rules! hyperloglog {
    ($into:tt) => {
        $crate::command::typed::macros::expand! { $into
            /// [`PFADD`](https://redis.io/docs/latest/commands/pfadd/): adds elements; returns whether the
            /// estimate changed.
            pfadd(key: one, elements: many) -> (bool) = "PFADD";
            /// [`PFCOUNT`](https://redis.io/docs/latest/commands/pfcount/): the approximate number of different
            /// elements of these keys together.
            pfcount(keys: many) -> (i64) = "PFCOUNT";
            /// [`PFMERGE`](https://redis.io/docs/latest/commands/pfmerge/): merges other keys into one.
            pfmerge(destination: one, sources: many) -> (()) = "PFMERGE";
        }
    };
}

pub(crate) use hyperloglog;
