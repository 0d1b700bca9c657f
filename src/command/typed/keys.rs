//! Keys of any type: their lives, names and order.

macro_rules! keys {
    ($into:tt) => {
        $crate::command::typed::expand! { $into
            /// [`COPY`](https://redis.io/docs/latest/commands/copy/): copies a key; says whether it did.
            copy(source: one, destination: one, options: (CopyOptions)) -> (bool) = "COPY";
            /// [`DEL`](https://redis.io/docs/latest/commands/del/): removes keys; says how many there were.
            del(keys: many) -> (i64) = "DEL";
            /// [`DUMP`](https://redis.io/docs/latest/commands/dump/): a key in the form that `RESTORE` takes:
            /// binary; null if there is none.
            dump(key: one) -> any = "DUMP";
            /// [`EXISTS`](https://redis.io/docs/latest/commands/exists/): how many of these keys exist.
            exists(keys: many) -> (i64) = "EXISTS";
            /// [`EXPIRE`](https://redis.io/docs/latest/commands/expire/): ends a key's life in some seconds;
            /// says whether there was such a key.
            expire(key: one, seconds: one) -> (bool) = "EXPIRE";
            /// [`EXPIRE`](https://redis.io/docs/latest/commands/expire/): the same on a condition; says whether
            /// it did.
            expire_with(key: one, seconds: one, condition: (ExpireCondition)) -> (bool) = "EXPIRE";
            /// [`EXPIREAT`](https://redis.io/docs/latest/commands/expireat/): ends a key's life at a second of
            /// Unix time; says whether there was such a key.
            expireat(key: one, second: one) -> (bool) = "EXPIREAT";
            /// [`EXPIREAT`](https://redis.io/docs/latest/commands/expireat/): the same on a condition; says
            /// whether it did.
            expireat_with(key: one, second: one, condition: (ExpireCondition)) -> (bool) = "EXPIREAT";
            /// [`EXPIRETIME`](https://redis.io/docs/latest/commands/expiretime/): the second of Unix time at
            /// which a key's life ends; -1 if it does not, -2 if there is no such key.
            expiretime(key: one) -> (i64) = "EXPIRETIME";
            /// [`KEYS`](https://redis.io/docs/latest/commands/keys/): all keys whose names match; it holds the
            /// server up: see `scan`.
            keys(pattern: one) -> any = "KEYS";
            /// [`OBJECT ENCODING`](https://redis.io/docs/latest/commands/object-encoding/): how a key's value
            /// is kept in the server's memory.
            object_encoding(key: one) -> any = "OBJECT" "ENCODING";
            /// [`OBJECT FREQ`](https://redis.io/docs/latest/commands/object-freq/): how often a key is used, on
            /// a logarithmic scale; under an LFU policy only.
            object_freq(key: one) -> (i64) = "OBJECT" "FREQ";
            /// [`OBJECT IDLETIME`](https://redis.io/docs/latest/commands/object-idletime/): for how many
            /// seconds a key was not used; not under an LFU policy.
            object_idletime(key: one) -> (i64) = "OBJECT" "IDLETIME";
            /// [`OBJECT REFCOUNT`](https://redis.io/docs/latest/commands/object-refcount/): how many references
            /// the server has to a key's value.
            object_refcount(key: one) -> (i64) = "OBJECT" "REFCOUNT";
            /// [`PERSIST`](https://redis.io/docs/latest/commands/persist/): lets a key live for ever; says
            /// whether it had an end before.
            persist(key: one) -> (bool) = "PERSIST";
            /// [`PEXPIRE`](https://redis.io/docs/latest/commands/pexpire/): ends a key's life in some
            /// milliseconds; says whether there was such a key.
            pexpire(key: one, milliseconds: one) -> (bool) = "PEXPIRE";
            /// [`PEXPIRE`](https://redis.io/docs/latest/commands/pexpire/): the same on a condition; says
            /// whether it did.
            pexpire_with(key: one, milliseconds: one, condition: (ExpireCondition)) -> (bool) = "PEXPIRE";
            /// [`PEXPIREAT`](https://redis.io/docs/latest/commands/pexpireat/): ends a key's life at a
            /// millisecond of Unix time; says whether there was such a key.
            pexpireat(key: one, millisecond: one) -> (bool) = "PEXPIREAT";
            /// [`PEXPIREAT`](https://redis.io/docs/latest/commands/pexpireat/): the same on a condition; says
            /// whether it did.
            pexpireat_with(key: one, millisecond: one, condition: (ExpireCondition)) -> (bool) = "PEXPIREAT";
            /// [`PEXPIRETIME`](https://redis.io/docs/latest/commands/pexpiretime/): the millisecond of Unix
            /// time at which a key's life ends; -1 if it does not, -2 if there is no such key.
            pexpiretime(key: one) -> (i64) = "PEXPIRETIME";
            /// [`PTTL`](https://redis.io/docs/latest/commands/pttl/): the milliseconds that a key has left; -1
            /// if it does not expire, -2 if it does not exist.
            pttl(key: one) -> (i64) = "PTTL";
            /// [`RANDOMKEY`](https://redis.io/docs/latest/commands/randomkey/): some key; null if there is
            /// none.
            randomkey() -> any = "RANDOMKEY";
            /// [`RENAME`](https://redis.io/docs/latest/commands/rename/): gives a key another name, in the
            /// place of whatever has it.
            rename(key: one, name: one) -> (()) = "RENAME";
            /// [`RENAMENX`](https://redis.io/docs/latest/commands/renamenx/): gives a key another name unless
            /// that is taken; says whether it did.
            renamenx(key: one, name: one) -> (bool) = "RENAMENX";
            /// [`RESTORE`](https://redis.io/docs/latest/commands/restore/): makes a key of what `DUMP` gave;
            /// for ever, if 0 milliseconds.
            restore(key: one, milliseconds: one, dump: one) -> (()) = "RESTORE";
            /// [`SORT`](https://redis.io/docs/latest/commands/sort/): the elements of a list, set or sorted set
            /// in order.
            sort(key: one, options: (SortOptions<'_>)) -> any = "SORT";
            /// [`SORT_RO`](https://redis.io/docs/latest/commands/sort_ro/): the same where only reading is
            /// allowed.
            sort_ro(key: one, options: (SortOptions<'_>)) -> any = "SORT_RO";
            /// [`SORT`](https://redis.io/docs/latest/commands/sort/): the same, kept as a list; its length.
            sort_store(key: one, options: (SortOptions<'_>), destination: ["STORE"]) -> (i64) = "SORT";
            /// [`TOUCH`](https://redis.io/docs/latest/commands/touch/): marks keys as used; says how many there
            /// are.
            touch(keys: many) -> (i64) = "TOUCH";
            /// [`TTL`](https://redis.io/docs/latest/commands/ttl/): the seconds that a key has left; -1 if it
            /// does not expire, -2 if it does not exist.
            ttl(key: one) -> (i64) = "TTL";
            /// [`TYPE`](https://redis.io/docs/latest/commands/type/): the type of a key, such as `string`;
            /// `none` if there is no such key.
            key_type(key: one) -> (String) = "TYPE";
            /// [`UNLINK`](https://redis.io/docs/latest/commands/unlink/): removes keys, and frees their memory
            /// later; says how many there were.
            unlink(keys: many) -> (i64) = "UNLINK";
        }
    };
}

pub(crate) use keys;
