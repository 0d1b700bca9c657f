//! Streams. An entry is `(id, fields)`; those of many streams are a map, or a list of pairs.

macro_rules! streams {
    ($into:tt) => {
        $crate::command::typed::expand! { $into
            /// [`XACK`](https://redis.io/docs/latest/commands/xack/): says that entries are done with; how many
            /// of them were pending.
            xack(key: one, group: one, ids: many) -> (i64) = "XACK";
            /// [`XADD`](https://redis.io/docs/latest/commands/xadd/): appends an entry, with the id `*` for one
            /// that the server makes; its id.
            xadd(key: one, id: one, fields: pairs) -> any = "XADD";
            /// [`XADD`](https://redis.io/docs/latest/commands/xadd/): the same, with what else is to be done;
            /// null if there is no such stream and none is to be made.
            xadd_with(key: one, options: (XaddOptions<'_>), id: one, fields: pairs) -> any = "XADD";
            /// [`XAUTOCLAIM`](https://redis.io/docs/latest/commands/xautoclaim/): takes over what others left
            /// pending: where to go on, the entries, and the ids of those that were deleted.
            xautoclaim(
                key: one, group: one, consumer: one, min_idle_ms: one, start: one, options: (XautoclaimOptions)
            ) -> any = "XAUTOCLAIM";
            /// [`XCLAIM`](https://redis.io/docs/latest/commands/xclaim/): takes over these pending entries.
            xclaim(
                key: one, group: one, consumer: one, min_idle_ms: one, ids: many, options: (XclaimOptions)
            ) -> any = "XCLAIM";
            /// [`XDEL`](https://redis.io/docs/latest/commands/xdel/): removes entries; says how many there
            /// were.
            xdel(key: one, ids: many) -> (i64) = "XDEL";
            /// [`XGROUP CREATE`](https://redis.io/docs/latest/commands/xgroup-create/): makes a group of
            /// consumers that begins behind an entry; `$` is the last.
            xgroup_create(
                key: one, group: one, id: one, options: (XgroupOptions)
            ) -> (()) = "XGROUP" "CREATE";
            /// [`XGROUP CREATECONSUMER`](https://redis.io/docs/latest/commands/xgroup-createconsumer/): makes a
            /// consumer; says whether it is new.
            xgroup_createconsumer(key: one, group: one, consumer: one) -> (bool) = "XGROUP" "CREATECONSUMER";
            /// [`XGROUP DELCONSUMER`](https://redis.io/docs/latest/commands/xgroup-delconsumer/): removes a
            /// consumer; how many entries were pending for it.
            xgroup_delconsumer(key: one, group: one, consumer: one) -> (i64) = "XGROUP" "DELCONSUMER";
            /// [`XGROUP DESTROY`](https://redis.io/docs/latest/commands/xgroup-destroy/): removes a group; says
            /// whether there was one.
            xgroup_destroy(key: one, group: one) -> (bool) = "XGROUP" "DESTROY";
            /// [`XGROUP SETID`](https://redis.io/docs/latest/commands/xgroup-setid/): has a group go on behind
            /// another entry.
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
            /// [`XREAD`](https://redis.io/docs/latest/commands/xread/): the entries of each stream behind the
            /// id that stands with its key; null if there are none.
            xread(options: (XreadOptions), streams: streams) -> any = "XREAD";
            /// [`XREADGROUP GROUP`](https://redis.io/docs/latest/commands/xreadgroup-group/): the same for a
            /// consumer of a group, with the id `>` for what nobody got yet; null if there are none.
            xreadgroup(
                group: one, consumer: one, options: (XreadGroupOptions), streams: streams
            ) -> any = "XREADGROUP" "GROUP";
            /// [`XREVRANGE`](https://redis.io/docs/latest/commands/xrevrange/): the entries from one id back to
            /// another, both included; `+` and `-` for all.
            xrevrange(key: one, last: one, first: one) -> any = "XREVRANGE";
            /// [`XREVRANGE`](https://redis.io/docs/latest/commands/xrevrange/): the first `count` of them.
            xrevrange_up_to(key: one, last: one, first: one, count: ["COUNT"]) -> any = "XREVRANGE";
            /// [`XTRIM`](https://redis.io/docs/latest/commands/xtrim/): drops old entries; says how many.
            xtrim(key: one, trim: (Trim<'_>)) -> (i64) = "XTRIM";
        }
    };
}

pub(crate) use streams;
