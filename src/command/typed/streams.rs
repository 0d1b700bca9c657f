//! Streams. An entry is `(id, fields)`; the entries of several streams are a map, or a list of pairs.

macro_rules! streams {
    ($into:tt) => {
        $crate::command::typed::macros::expand! { $into
            /// [`XACK`](https://redis.io/docs/latest/commands/xack/): acknowledges entries; returns how many of
            /// them were pending.
            xack(key: one, group: one, ids: many) -> (i64) = "XACK";
            /// [`XADD`](https://redis.io/docs/latest/commands/xadd/): appends an entry; the id `*` lets the
            /// server choose one; returns the id.
            xadd(key: one, id: one, fields: pairs) -> any = "XADD";
            /// [`XADD`](https://redis.io/docs/latest/commands/xadd/): the same with options; null if there is no
            /// such stream and none shall be made.
            xadd_with(key: one, options: (XaddOptions<'_>), id: one, fields: pairs) -> any = "XADD";
            /// [`XAUTOCLAIM`](https://redis.io/docs/latest/commands/xautoclaim/): claims pending entries of other
            /// consumers; returns the next cursor, the entries, and the ids of deleted ones.
            xautoclaim(
                key: one, group: one, consumer: one, min_idle_ms: one, start: one, options: (XautoclaimOptions)
            ) -> any = "XAUTOCLAIM";
            /// [`XCLAIM`](https://redis.io/docs/latest/commands/xclaim/): claims these pending entries.
            xclaim(
                key: one, group: one, consumer: one, min_idle_ms: one, ids: many, options: (XclaimOptions)
            ) -> any = "XCLAIM";
            /// [`XDEL`](https://redis.io/docs/latest/commands/xdel/): removes entries; returns how many existed.
            xdel(key: one, ids: many) -> (i64) = "XDEL";
            /// [`XGROUP CREATE`](https://redis.io/docs/latest/commands/xgroup-create/): makes a consumer group
            /// that starts after this entry; `$` is the last one.
            xgroup_create(
                key: one, group: one, id: one, options: (XgroupOptions)
            ) -> (()) = "XGROUP" "CREATE";
            /// [`XGROUP CREATECONSUMER`](https://redis.io/docs/latest/commands/xgroup-createconsumer/): makes a
            /// consumer; returns whether it is new.
            xgroup_createconsumer(key: one, group: one, consumer: one) -> (bool) = "XGROUP" "CREATECONSUMER";
            /// [`XGROUP DELCONSUMER`](https://redis.io/docs/latest/commands/xgroup-delconsumer/): removes a
            /// consumer; returns how many entries were pending for it.
            xgroup_delconsumer(key: one, group: one, consumer: one) -> (i64) = "XGROUP" "DELCONSUMER";
            /// [`XGROUP DESTROY`](https://redis.io/docs/latest/commands/xgroup-destroy/): removes a group;
            /// returns whether there was one.
            xgroup_destroy(key: one, group: one) -> (bool) = "XGROUP" "DESTROY";
            /// [`XGROUP SETID`](https://redis.io/docs/latest/commands/xgroup-setid/): sets the entry after which
            /// a group continues.
            xgroup_setid(key: one, group: one, id: one) -> (()) = "XGROUP" "SETID";
            /// [`XINFO CONSUMERS`](https://redis.io/docs/latest/commands/xinfo-consumers/): a map about each
            /// consumer of a group.
            xinfo_consumers(key: one, group: one) -> any = "XINFO" "CONSUMERS";
            /// [`XINFO GROUPS`](https://redis.io/docs/latest/commands/xinfo-groups/): a map about each group of
            /// a stream.
            xinfo_groups(key: one) -> any = "XINFO" "GROUPS";
            /// [`XINFO STREAM`](https://redis.io/docs/latest/commands/xinfo-stream/): a map about a stream.
            xinfo_stream(key: one) -> any = "XINFO" "STREAM";
            /// [`XLEN`](https://redis.io/docs/latest/commands/xlen/): how many entries a stream has.
            xlen(key: one) -> (i64) = "XLEN";
            /// [`XPENDING`](https://redis.io/docs/latest/commands/xpending/): how many entries are pending, the
            /// lowest and the highest id, and how many each consumer has.
            xpending(key: one, group: one) -> any = "XPENDING";
            /// [`XPENDING`](https://redis.io/docs/latest/commands/xpending/): pending entries: id, consumer,
            /// milliseconds since it got it, and how often it was delivered.
            xpending_range(key: one, group: one, first: one, last: one, count: one) -> any = "XPENDING";
            /// [`XPENDING`](https://redis.io/docs/latest/commands/xpending/): the same for one consumer.
            xpending_of(
                key: one, group: one, first: one, last: one, count: one, consumer: one
            ) -> any = "XPENDING";
            /// [`XRANGE`](https://redis.io/docs/latest/commands/xrange/): the entries from one id to another,
            /// both included; `-` and `+` for all.
            xrange(key: one, first: one, last: one) -> any = "XRANGE";
            /// [`XRANGE`](https://redis.io/docs/latest/commands/xrange/): the first `count` of them.
            xrange_up_to(key: one, first: one, last: one, count: ["COUNT"]) -> any = "XRANGE";
            /// [`XREAD`](https://redis.io/docs/latest/commands/xread/): the entries of each stream after the id
            /// that is paired with its key; null if there are none.
            xread(options: (XreadOptions), streams: streams) -> any = "XREAD";
            /// [`XREADGROUP GROUP`](https://redis.io/docs/latest/commands/xreadgroup-group/): the same for a
            /// consumer of a group; the id `>` selects entries that were not delivered yet; null if there are
            /// none.
            xreadgroup(
                group: one, consumer: one, options: (XreadGroupOptions), streams: streams
            ) -> any = "XREADGROUP" "GROUP";
            /// [`XREVRANGE`](https://redis.io/docs/latest/commands/xrevrange/): the entries from one id back to
            /// another, both included; `+` and `-` for all.
            xrevrange(key: one, last: one, first: one) -> any = "XREVRANGE";
            /// [`XREVRANGE`](https://redis.io/docs/latest/commands/xrevrange/): the first `count` of them.
            xrevrange_up_to(key: one, last: one, first: one, count: ["COUNT"]) -> any = "XREVRANGE";
            /// [`XTRIM`](https://redis.io/docs/latest/commands/xtrim/): removes old entries; returns how many.
            xtrim(key: one, trim: (Trim<'_>)) -> (i64) = "XTRIM";
        }
    };
}

pub(crate) use streams;
