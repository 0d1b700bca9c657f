//! Keys of any type: expiry, names and order.

macro_rules! keys {
    ($into:tt) => {
        $crate::command::typed::macros::expand! { $into
            /// [`COPY`](https://redis.io/docs/latest/commands/copy/): copies a key; returns whether it did.
            copy(source: one, destination: one, options: (CopyOptions)) -> (bool) = "COPY";
            /// [`DEL`](https://redis.io/docs/latest/commands/del/): removes keys; returns how many existed.
            del(keys: many) -> (i64) = "DEL";
            /// [`DUMP`](https://redis.io/docs/latest/commands/dump/): a key in the binary form that `RESTORE`
            /// takes; null if there is no such key.
            dump(key: one) -> any = "DUMP";
            /// [`EXISTS`](https://redis.io/docs/latest/commands/exists/): how many of these keys exist.
            exists(keys: many) -> (i64) = "EXISTS";
            /// [`EXPIRE`](https://redis.io/docs/latest/commands/expire/): sets a key to expire after some
            /// seconds; returns whether the key exists.
            expire(key: one, seconds: one) -> (bool) = "EXPIRE";
            /// [`EXPIRE`](https://redis.io/docs/latest/commands/expire/): the same under a condition; returns
            /// whether it did.
            expire_with(key: one, seconds: one, condition: (ExpireCondition)) -> (bool) = "EXPIRE";
            /// [`EXPIREAT`](https://redis.io/docs/latest/commands/expireat/): sets a key to expire at a second of
            /// Unix time; returns whether the key exists.
            expireat(key: one, second: one) -> (bool) = "EXPIREAT";
            /// [`EXPIREAT`](https://redis.io/docs/latest/commands/expireat/): the same under a condition; returns
            /// whether it did.
            expireat_with(key: one, second: one, condition: (ExpireCondition)) -> (bool) = "EXPIREAT";
            /// [`EXPIRETIME`](https://redis.io/docs/latest/commands/expiretime/): the second of Unix time at
            /// which a key expires; -1 if it does not expire, -2 if there is no such key.
            expiretime(key: one) -> (i64) = "EXPIRETIME";
            /// [`KEYS`](https://redis.io/docs/latest/commands/keys/): all keys whose names match. It blocks the
            /// server meanwhile: prefer `scan`.
            keys(pattern: one) -> any = "KEYS";
            /// [`OBJECT ENCODING`](https://redis.io/docs/latest/commands/object-encoding/): the encoding of a
            /// key's value in the server's memory.
            object_encoding(key: one) -> any = "OBJECT" "ENCODING";
            /// [`OBJECT FREQ`](https://redis.io/docs/latest/commands/object-freq/): how often a key is used, on a
            /// logarithmic scale; only under an LFU policy.
            object_freq(key: one) -> (i64) = "OBJECT" "FREQ";
            /// [`OBJECT IDLETIME`](https://redis.io/docs/latest/commands/object-idletime/): the seconds since a
            /// key was last used; not under an LFU policy.
            object_idletime(key: one) -> (i64) = "OBJECT" "IDLETIME";
            /// [`OBJECT REFCOUNT`](https://redis.io/docs/latest/commands/object-refcount/): how many references
            /// the server has to a key's value.
            object_refcount(key: one) -> (i64) = "OBJECT" "REFCOUNT";
            /// [`PERSIST`](https://redis.io/docs/latest/commands/persist/): removes the expiry of a key; returns
            /// whether it had one.
            persist(key: one) -> (bool) = "PERSIST";
            /// [`PEXPIRE`](https://redis.io/docs/latest/commands/pexpire/): sets a key to expire after some
            /// milliseconds; returns whether the key exists.
            pexpire(key: one, milliseconds: one) -> (bool) = "PEXPIRE";
            /// [`PEXPIRE`](https://redis.io/docs/latest/commands/pexpire/): the same under a condition; returns
            /// whether it did.
            pexpire_with(key: one, milliseconds: one, condition: (ExpireCondition)) -> (bool) = "PEXPIRE";
            /// [`PEXPIREAT`](https://redis.io/docs/latest/commands/pexpireat/): sets a key to expire at a
            /// millisecond of Unix time; returns whether the key exists.
            pexpireat(key: one, millisecond: one) -> (bool) = "PEXPIREAT";
            /// [`PEXPIREAT`](https://redis.io/docs/latest/commands/pexpireat/): the same under a condition;
            /// returns whether it did.
            pexpireat_with(key: one, millisecond: one, condition: (ExpireCondition)) -> (bool) = "PEXPIREAT";
            /// [`PEXPIRETIME`](https://redis.io/docs/latest/commands/pexpiretime/): the millisecond of Unix time
            /// at which a key expires; -1 if it does not expire, -2 if there is no such key.
            pexpiretime(key: one) -> (i64) = "PEXPIRETIME";
            /// [`PTTL`](https://redis.io/docs/latest/commands/pttl/): the milliseconds that a key has left; -1
            /// if it does not expire, -2 if it does not exist.
            pttl(key: one) -> (i64) = "PTTL";
            /// [`RANDOMKEY`](https://redis.io/docs/latest/commands/randomkey/): some key; null if there is
            /// none.
            randomkey() -> any = "RANDOMKEY";
            /// [`RENAME`](https://redis.io/docs/latest/commands/rename/): gives a key another name, and replaces
            /// the key that has this name.
            rename(key: one, name: one) -> (()) = "RENAME";
            /// [`RENAMENX`](https://redis.io/docs/latest/commands/renamenx/): gives a key another name, unless a
            /// key has this name; returns whether it did.
            renamenx(key: one, name: one) -> (bool) = "RENAMENX";
            /// [`RESTORE`](https://redis.io/docs/latest/commands/restore/): makes a key from the output of
            /// `DUMP`; with 0 milliseconds it does not expire.
            restore(key: one, milliseconds: one, dump: one) -> (()) = "RESTORE";
            /// [`SORT`](https://redis.io/docs/latest/commands/sort/): the elements of a list, set or sorted set
            /// in order.
            sort(key: one, options: (SortOptions<'_>)) -> any = "SORT";
            /// [`SORT_RO`](https://redis.io/docs/latest/commands/sort_ro/): the same where only reading is
            /// allowed.
            sort_ro(key: one, options: (SortOptions<'_>)) -> any = "SORT_RO";
            /// [`SORT`](https://redis.io/docs/latest/commands/sort/): stores the result as a list; returns its
            /// length.
            sort_store(key: one, options: (SortOptions<'_>), destination: ["STORE"]) -> (i64) = "SORT";
            /// [`TOUCH`](https://redis.io/docs/latest/commands/touch/): marks keys as used; returns how many
            /// exist.
            touch(keys: many) -> (i64) = "TOUCH";
            /// [`TTL`](https://redis.io/docs/latest/commands/ttl/): the seconds that a key has left; -1 if it
            /// does not expire, -2 if it does not exist.
            ttl(key: one) -> (i64) = "TTL";
            /// [`TYPE`](https://redis.io/docs/latest/commands/type/): the type of a key, such as `string`;
            /// `none` if there is no such key.
            key_type(key: one) -> (String) = "TYPE";
            /// [`UNLINK`](https://redis.io/docs/latest/commands/unlink/): removes keys, and frees their memory
            /// later; returns how many existed.
            unlink(keys: many) -> (i64) = "UNLINK";
        }
    };
}

pub(crate) use keys;
