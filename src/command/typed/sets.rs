//! Sets.

macro_rules! sets {
    ($into:tt) => {
        $crate::command::typed::macros::expand! { $into
            /// [`SADD`](https://redis.io/docs/latest/commands/sadd/): adds members to a set; returns how many are
            /// new.
            sadd(key: one, members: many) -> (i64) = "SADD";
            /// [`SCARD`](https://redis.io/docs/latest/commands/scard/): how many members a set has.
            scard(key: one) -> (i64) = "SCARD";
            /// [`SDIFF`](https://redis.io/docs/latest/commands/sdiff/): the members of the first set that are
            /// in no other.
            sdiff(keys: many) -> any = "SDIFF";
            /// [`SDIFFSTORE`](https://redis.io/docs/latest/commands/sdiffstore/): stores the result as a set;
            /// returns their number.
            sdiffstore(destination: one, keys: many) -> (i64) = "SDIFFSTORE";
            /// [`SINTER`](https://redis.io/docs/latest/commands/sinter/): the members that are in all of these
            /// sets.
            sinter(keys: many) -> any = "SINTER";
            /// [`SINTERCARD`](https://redis.io/docs/latest/commands/sintercard/): the number of members that are
            /// in all of these sets.
            sintercard(keys: counted) -> (i64) = "SINTERCARD";
            /// [`SINTERCARD`](https://redis.io/docs/latest/commands/sintercard/): the number of members that are
            /// in all of these sets, counted up to `limit`.
            sintercard_up_to(keys: counted, limit: ["LIMIT"]) -> (i64) = "SINTERCARD";
            /// [`SINTERSTORE`](https://redis.io/docs/latest/commands/sinterstore/): stores the result of `sinter`
            /// as a set; returns their number.
            sinterstore(destination: one, keys: many) -> (i64) = "SINTERSTORE";
            /// [`SISMEMBER`](https://redis.io/docs/latest/commands/sismember/): whether a set has a member.
            sismember(key: one, member: one) -> (bool) = "SISMEMBER";
            /// [`SMEMBERS`](https://redis.io/docs/latest/commands/smembers/): all members of a set.
            smembers(key: one) -> any = "SMEMBERS";
            /// [`SMISMEMBER`](https://redis.io/docs/latest/commands/smismember/): whether a set has each of
            /// these members.
            smismember(key: one, members: many) -> (Vec<bool>) = "SMISMEMBER";
            /// [`SMOVE`](https://redis.io/docs/latest/commands/smove/): moves a member from one set to another;
            /// returns whether it was a member of the first.
            smove(source: one, destination: one, member: one) -> (bool) = "SMOVE";
            /// [`SPOP`](https://redis.io/docs/latest/commands/spop/): takes some member from a set; null if
            /// there is none.
            spop(key: one) -> any = "SPOP";
            /// [`SPOP`](https://redis.io/docs/latest/commands/spop/): takes up to `count` members from a set.
            spop_many(key: one, count: one) -> any = "SPOP";
            /// [`SRANDMEMBER`](https://redis.io/docs/latest/commands/srandmember/): some member of a set; null
            /// if there is none.
            srandmember(key: one) -> any = "SRANDMEMBER";
            /// [`SRANDMEMBER`](https://redis.io/docs/latest/commands/srandmember/): some members of a set; with
            /// repetitions if `count` is negative.
            srandmember_many(key: one, count: one) -> any = "SRANDMEMBER";
            /// [`SREM`](https://redis.io/docs/latest/commands/srem/): removes members from a set; returns how
            /// many existed.
            srem(key: one, members: many) -> (i64) = "SREM";
            /// [`SUNION`](https://redis.io/docs/latest/commands/sunion/): the members that are in at least one of
            /// these sets.
            sunion(keys: many) -> any = "SUNION";
            /// [`SUNIONSTORE`](https://redis.io/docs/latest/commands/sunionstore/): stores the result as a set;
            /// returns their number.
            sunionstore(destination: one, keys: many) -> (i64) = "SUNIONSTORE";
        }
    };
}

pub(crate) use sets;
