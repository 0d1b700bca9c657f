//! HyperLogLog: about how many different elements there were.

macro_rules! hyperloglog {
    ($into:tt) => {
        $crate::command::typed::expand! { $into
            /// [`PFADD`](https://redis.io/docs/latest/commands/pfadd/): notes elements; says whether the
            /// estimate has changed.
            pfadd(key: one, elements: many) -> (bool) = "PFADD";
            /// [`PFCOUNT`](https://redis.io/docs/latest/commands/pfcount/): about how many different elements
            /// were noted under these keys together.
            pfcount(keys: many) -> (i64) = "PFCOUNT";
            /// [`PFMERGE`](https://redis.io/docs/latest/commands/pfmerge/): adds what was noted under other
            /// keys.
            pfmerge(destination: one, sources: many) -> (()) = "PFMERGE";
        }
    };
}

pub(crate) use hyperloglog;
