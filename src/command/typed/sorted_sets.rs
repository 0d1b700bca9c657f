//! Sorted sets.

macro_rules! sorted_sets {
    ($into:tt) => {
        $crate::command::typed::macros::expand! { $into
            /// [`ZADD`](https://redis.io/docs/latest/commands/zadd/): adds members, each with its score before
            /// it, to a sorted set; returns how many are new.
            zadd(key: one, entries: pairs) -> (i64) = "ZADD";
            /// [`ZADD`](https://redis.io/docs/latest/commands/zadd/): the same under conditions. With
            /// [`incr`](crate::options::ZaddOptions::incr), it returns the member's new score, or null.
            zadd_with(key: one, options: (ZaddOptions), entries: pairs) -> any = "ZADD";
            /// [`ZCARD`](https://redis.io/docs/latest/commands/zcard/): how many members a sorted set has.
            zcard(key: one) -> (i64) = "ZCARD";
            /// [`ZCOUNT`](https://redis.io/docs/latest/commands/zcount/): how many members have a score from
            /// `min` to `max`; `(` in front excludes one.
            zcount(key: one, min: one, max: one) -> (i64) = "ZCOUNT";
            /// [`ZDIFF`](https://redis.io/docs/latest/commands/zdiff/): the members of the first sorted set
            /// that are in no other.
            zdiff(keys: counted) -> any = "ZDIFF";
            /// [`ZDIFF`](https://redis.io/docs/latest/commands/zdiff/): the same with their scores.
            zdiff_with_scores(keys: counted) -> any = "ZDIFF" .. "WITHSCORES";
            /// [`ZDIFFSTORE`](https://redis.io/docs/latest/commands/zdiffstore/): stores the result as a sorted
            /// set; returns their number.
            zdiffstore(destination: one, keys: counted) -> (i64) = "ZDIFFSTORE";
            /// [`ZINCRBY`](https://redis.io/docs/latest/commands/zincrby/): adds to a member's score; returns its
            /// new score.
            zincrby(key: one, amount: one, member: one) -> (f64) = "ZINCRBY";
            /// [`ZINTER`](https://redis.io/docs/latest/commands/zinter/): the members that are in all of these
            /// sorted sets.
            zinter(keys: counted, options: (ZcombineOptions<'_>)) -> any = "ZINTER";
            /// [`ZINTERCARD`](https://redis.io/docs/latest/commands/zintercard/): the number of members that are
            /// in all of these sets.
            zintercard(keys: counted) -> (i64) = "ZINTERCARD";
            /// [`ZINTERCARD`](https://redis.io/docs/latest/commands/zintercard/): the number of members that are
            /// in all of these sets, counted up to `limit`.
            zintercard_up_to(keys: counted, limit: ["LIMIT"]) -> (i64) = "ZINTERCARD";
            /// [`ZINTERSTORE`](https://redis.io/docs/latest/commands/zinterstore/): the same as `zinter`, kept as
            /// a sorted set; returns their number.
            zinterstore(
                destination: one, keys: counted, options: (ZcombineOptions<'_>)
            ) -> (i64) = "ZINTERSTORE";
            /// [`ZLEXCOUNT`](https://redis.io/docs/latest/commands/zlexcount/): how many members are between
            /// two others, where all scores are equal; such as `[a`, `(b`, `-` and `+`.
            zlexcount(key: one, min: one, max: one) -> (i64) = "ZLEXCOUNT";
            /// [`ZMPOP`](https://redis.io/docs/latest/commands/zmpop/): takes a member from the first of these
            /// sorted sets that has one: the key, and members with their scores; null if none has.
            zmpop(keys: counted, from: (ZsetEnd)) -> any = "ZMPOP";
            /// [`ZMPOP`](https://redis.io/docs/latest/commands/zmpop/): the same with up to `count` members.
            zmpop_many(keys: counted, from: (ZsetEnd), count: ["COUNT"]) -> any = "ZMPOP";
            /// [`ZMSCORE`](https://redis.io/docs/latest/commands/zmscore/): the scores of members.
            zmscore(key: one, members: many) -> (Vec<Option<f64>>) = "ZMSCORE";
            /// [`ZPOPMAX`](https://redis.io/docs/latest/commands/zpopmax/): takes the member with the highest
            /// score, as a list of pairs that is empty or has one pair.
            zpopmax(key: one) -> any = "ZPOPMAX";
            /// [`ZPOPMAX`](https://redis.io/docs/latest/commands/zpopmax/): takes up to `count` members with
            /// the highest scores, with these.
            zpopmax_many(key: one, count: one) -> any = "ZPOPMAX";
            /// [`ZPOPMIN`](https://redis.io/docs/latest/commands/zpopmin/): takes the member with the lowest
            /// score, as a list of pairs that is empty or has one pair.
            zpopmin(key: one) -> any = "ZPOPMIN";
            /// [`ZPOPMIN`](https://redis.io/docs/latest/commands/zpopmin/): takes up to `count` members with
            /// the lowest scores, with these.
            zpopmin_many(key: one, count: one) -> any = "ZPOPMIN";
            /// [`ZRANDMEMBER`](https://redis.io/docs/latest/commands/zrandmember/): some member of a sorted
            /// set; null if there is none.
            zrandmember(key: one) -> any = "ZRANDMEMBER";
            /// [`ZRANDMEMBER`](https://redis.io/docs/latest/commands/zrandmember/): some members of a sorted
            /// set; with repetitions if `count` is negative.
            zrandmember_many(key: one, count: one) -> any = "ZRANDMEMBER";
            /// [`ZRANDMEMBER`](https://redis.io/docs/latest/commands/zrandmember/): the same with their scores.
            zrandmember_with_scores(key: one, count: one) -> any = "ZRANDMEMBER" .. "WITHSCORES";
            /// [`ZRANGE`](https://redis.io/docs/latest/commands/zrange/): the members from the rank `first` to
            /// the rank `last`, both included; -1 is the last.
            zrange(key: one, first: one, last: one) -> any = "ZRANGE";
            /// [`ZRANGE`](https://redis.io/docs/latest/commands/zrange/): the same with their scores.
            zrange_with_scores(key: one, first: one, last: one) -> any = "ZRANGE" .. "WITHSCORES";
            /// [`ZRANGE`](https://redis.io/docs/latest/commands/zrange/): the members of a range by rank, score
            /// or name.
            zrange_with(key: one, first: one, last: one, options: (ZrangeOptions)) -> any = "ZRANGE";
            /// [`ZRANGESTORE`](https://redis.io/docs/latest/commands/zrangestore/): stores the result as a sorted
            /// set; returns their number.
            zrangestore(
                destination: one, source: one, first: one, last: one, options: (ZrangeOptions)
            ) -> (i64) = "ZRANGESTORE";
            /// [`ZRANK`](https://redis.io/docs/latest/commands/zrank/): a member's rank, from the lowest score,
            /// which is 0.
            zrank(key: one, member: one) -> (Option<i64>) = "ZRANK";
            /// [`ZREM`](https://redis.io/docs/latest/commands/zrem/): removes members; returns how many existed.
            zrem(key: one, members: many) -> (i64) = "ZREM";
            /// [`ZREMRANGEBYLEX`](https://redis.io/docs/latest/commands/zremrangebylex/): removes the members
            /// between two others, where all scores are equal; returns how many.
            zremrangebylex(key: one, min: one, max: one) -> (i64) = "ZREMRANGEBYLEX";
            /// [`ZREMRANGEBYRANK`](https://redis.io/docs/latest/commands/zremrangebyrank/): removes the members
            /// of a range by rank; returns how many.
            zremrangebyrank(key: one, first: one, last: one) -> (i64) = "ZREMRANGEBYRANK";
            /// [`ZREMRANGEBYSCORE`](https://redis.io/docs/latest/commands/zremrangebyscore/): removes the members
            /// of a range by score; returns how many.
            zremrangebyscore(key: one, min: one, max: one) -> (i64) = "ZREMRANGEBYSCORE";
            /// [`ZREVRANK`](https://redis.io/docs/latest/commands/zrevrank/): a member's rank, from the highest
            /// score, which is 0.
            zrevrank(key: one, member: one) -> (Option<i64>) = "ZREVRANK";
            /// [`ZSCORE`](https://redis.io/docs/latest/commands/zscore/): a member's score.
            zscore(key: one, member: one) -> (Option<f64>) = "ZSCORE";
            /// [`ZUNION`](https://redis.io/docs/latest/commands/zunion/): the members that are in at least one of
            /// these sorted sets.
            zunion(keys: counted, options: (ZcombineOptions<'_>)) -> any = "ZUNION";
            /// [`ZUNIONSTORE`](https://redis.io/docs/latest/commands/zunionstore/): stores the result as a sorted
            /// set; returns their number.
            zunionstore(
                destination: one, keys: counted, options: (ZcombineOptions<'_>)
            ) -> (i64) = "ZUNIONSTORE";
        }
    };
}

pub(crate) use sorted_sets;
