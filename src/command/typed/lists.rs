//! Lists.

macro_rules! lists {
    ($into:tt) => {
        $crate::command::typed::macros::expand! { $into
            /// [`LINDEX`](https://redis.io/docs/latest/commands/lindex/): one element of a list; -1 is the
            /// last, null if there is none.
            lindex(key: one, index: one) -> any = "LINDEX";
            /// [`LINSERT`](https://redis.io/docs/latest/commands/linsert/): inserts an element before another
            /// one; returns the list's new length, or -1 if the other is absent.
            linsert_before(key: one, pivot: ["BEFORE"], element: one) -> (i64) = "LINSERT";
            /// [`LINSERT`](https://redis.io/docs/latest/commands/linsert/): inserts an element after another one;
            /// returns the list's new length, or -1 if the other is absent.
            linsert_after(key: one, pivot: ["AFTER"], element: one) -> (i64) = "LINSERT";
            /// [`LLEN`](https://redis.io/docs/latest/commands/llen/): the length of a list.
            llen(key: one) -> (i64) = "LLEN";
            /// [`LMOVE`](https://redis.io/docs/latest/commands/lmove/): moves an element from the end of one
            /// list to the end of another, and returns it; null if there is none.
            lmove(source: one, destination: one, from: (ListEnd), to: (ListEnd)) -> any = "LMOVE";
            /// [`LMPOP`](https://redis.io/docs/latest/commands/lmpop/): takes an element from the first of
            /// these lists that has one: the key and the elements; null if none has.
            lmpop(keys: counted, from: (ListEnd)) -> any = "LMPOP";
            /// [`LMPOP`](https://redis.io/docs/latest/commands/lmpop/): the same with up to `count` elements.
            lmpop_many(keys: counted, from: (ListEnd), count: ["COUNT"]) -> any = "LMPOP";
            /// [`LPOP`](https://redis.io/docs/latest/commands/lpop/): takes the element at the head of a list;
            /// null if there is none.
            lpop(key: one) -> any = "LPOP";
            /// [`LPOP`](https://redis.io/docs/latest/commands/lpop/): takes up to `count` elements from the
            /// head of a list; null if there is no list.
            lpop_many(key: one, count: one) -> any = "LPOP";
            /// [`LPOS`](https://redis.io/docs/latest/commands/lpos/): the index of an element.
            lpos(key: one, element: one) -> (Option<i64>) = "LPOS";
            /// [`LPOS`](https://redis.io/docs/latest/commands/lpos/): the index of an element, or the indices
            /// if a count is given.
            lpos_with(key: one, element: one, options: (LposOptions)) -> any = "LPOS";
            /// [`LPUSH`](https://redis.io/docs/latest/commands/lpush/): adds elements at the head of a list, one
            /// after the other; returns its new length.
            lpush(key: one, elements: many) -> (i64) = "LPUSH";
            /// [`LPUSHX`](https://redis.io/docs/latest/commands/lpushx/): the same if there is such a list;
            /// otherwise 0.
            lpushx(key: one, elements: many) -> (i64) = "LPUSHX";
            /// [`LRANGE`](https://redis.io/docs/latest/commands/lrange/): the elements of a list from the index
            /// `first` to the index `last`, both included; -1 is the last element.
            lrange(key: one, first: one, last: one) -> any = "LRANGE";
            /// [`LREM`](https://redis.io/docs/latest/commands/lrem/): removes an element up to `count` times,
            /// from the tail if negative, everywhere if 0; returns how often.
            lrem(key: one, count: one, element: one) -> (i64) = "LREM";
            /// [`LSET`](https://redis.io/docs/latest/commands/lset/): replaces one element of a list.
            lset(key: one, index: one, element: one) -> (()) = "LSET";
            /// [`LTRIM`](https://redis.io/docs/latest/commands/ltrim/): keeps the elements from the index
            /// `first` to the index `last` and no others.
            ltrim(key: one, first: one, last: one) -> (()) = "LTRIM";
            /// [`RPOP`](https://redis.io/docs/latest/commands/rpop/): takes the element at the tail of a list;
            /// null if there is none.
            rpop(key: one) -> any = "RPOP";
            /// [`RPOP`](https://redis.io/docs/latest/commands/rpop/): takes up to `count` elements from the
            /// tail of a list, the last first; null if there is no list.
            rpop_many(key: one, count: one) -> any = "RPOP";
            /// [`RPUSH`](https://redis.io/docs/latest/commands/rpush/): adds elements at the tail of a list, one
            /// after the other; returns its new length.
            rpush(key: one, elements: many) -> (i64) = "RPUSH";
            /// [`RPUSHX`](https://redis.io/docs/latest/commands/rpushx/): the same if there is such a list;
            /// otherwise 0.
            rpushx(key: one, elements: many) -> (i64) = "RPUSHX";
        }
    };
}

pub(crate) use lists;
