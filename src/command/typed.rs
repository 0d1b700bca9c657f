//! The commonest commands as methods, written once for everything that can send a command.
//!
//! A type takes part by having a method `send(name, arguments, write) -> Reply<T>` and calling
//! [`typed_commands!`] inside an `impl` block, with the name of its own reply type; or with the word `batch`, where
//! commands are only gathered and `send` returns `&Self`.

/// Expands to one method per command. In the table, an argument is `one` value, `many` of them, or `pairs`; a
/// reply is `any` type that the caller asks for, or the type that it always has.
macro_rules! typed_commands {
    ($reply:ident) => {
        $crate::command::typed::typed_commands! { @table $reply
            /// [`GET`](https://redis.io/docs/latest/commands/get/): a key's value; null if there is none.
            get(key: one) -> any = "GET";
            /// [`SET`](https://redis.io/docs/latest/commands/set/): gives a key a value.
            set(key: one, value: one) -> (()) = "SET";
            /// [`SETEX`](https://redis.io/docs/latest/commands/setex/): gives a key a value for some seconds.
            set_ex(key: one, seconds: one, value: one) -> (()) = "SETEX";
            /// [`SETNX`](https://redis.io/docs/latest/commands/setnx/): gives a key a value unless it has one;
            /// says whether it did.
            set_nx(key: one, value: one) -> (bool) = "SETNX";
            /// [`MGET`](https://redis.io/docs/latest/commands/mget/): the values of many keys.
            mget(keys: many) -> any = "MGET";
            /// [`MSET`](https://redis.io/docs/latest/commands/mset/): gives many keys their values, all at once.
            mset(entries: pairs) -> (()) = "MSET";
            /// [`DEL`](https://redis.io/docs/latest/commands/del/): removes keys; says how many there were.
            del(keys: many) -> (i64) = "DEL";
            /// [`EXISTS`](https://redis.io/docs/latest/commands/exists/): how many of these keys exist.
            exists(keys: many) -> (i64) = "EXISTS";
            /// [`EXPIRE`](https://redis.io/docs/latest/commands/expire/): ends a key's life in some seconds;
            /// says whether there was such a key.
            expire(key: one, seconds: one) -> (bool) = "EXPIRE";
            /// [`TTL`](https://redis.io/docs/latest/commands/ttl/): the seconds that a key has left; -1 if it
            /// does not expire, -2 if it does not exist.
            ttl(key: one) -> (i64) = "TTL";
            /// [`INCR`](https://redis.io/docs/latest/commands/incr/): adds 1 to a counter; its new value.
            incr(key: one) -> (i64) = "INCR";
            /// [`INCRBY`](https://redis.io/docs/latest/commands/incrby/): adds to a counter; its new value.
            incr_by(key: one, amount: one) -> (i64) = "INCRBY";
            /// [`HGET`](https://redis.io/docs/latest/commands/hget/): one field of a hash; null if it is absent.
            hget(key: one, field: one) -> any = "HGET";
            /// [`HSET`](https://redis.io/docs/latest/commands/hset/): sets fields of a hash; says how many are new.
            hset(key: one, fields: pairs) -> (i64) = "HSET";
            /// [`HGETALL`](https://redis.io/docs/latest/commands/hgetall/): all fields of a hash and their values.
            hgetall(key: one) -> any = "HGETALL";
            /// [`LPUSH`](https://redis.io/docs/latest/commands/lpush/): puts elements at the head of a list, one
            /// after the other; its new length.
            lpush(key: one, elements: many) -> (i64) = "LPUSH";
            /// [`RPUSH`](https://redis.io/docs/latest/commands/rpush/): puts elements at the tail of a list, one
            /// after the other; its new length.
            rpush(key: one, elements: many) -> (i64) = "RPUSH";
            /// [`LRANGE`](https://redis.io/docs/latest/commands/lrange/): the elements of a list from the index
            /// `first` to the index `last`, both included; -1 is the last element.
            lrange(key: one, first: one, last: one) -> any = "LRANGE";
            /// [`SADD`](https://redis.io/docs/latest/commands/sadd/): puts members into a set; says how many are
            /// new.
            sadd(key: one, members: many) -> (i64) = "SADD";
            /// [`PING`](https://redis.io/docs/latest/commands/ping/): succeeds if the server answers.
            ping() -> (()) = "PING";
        }
    };

    (@table $reply:ident $($(#[$doc:meta])* $name:ident($($arg:ident: $shape:ident),*) -> $answer:tt = $wire:literal;)*) => {
        $($crate::command::typed::typed_commands! {
            @method $reply $answer [$(#[$doc])*] $name [$($arg: $shape),*] $wire
        })*
    };

    (@method batch $answer:tt [$(#[$doc:meta])*] $name:ident [$($arg:ident: $shape:ident),*] $wire:literal) => {
        $(#[$doc])*
        pub fn $name(&self, $($arg: $crate::command::typed::typed_commands!(@type $shape)),*) -> &Self {
            $crate::command::typed::typed_commands!(@send self $wire $($arg: $shape),*)
        }
    };
    (@method $reply:ident any [$(#[$doc:meta])*] $name:ident [$($arg:ident: $shape:ident),*] $wire:literal) => {
        $(#[$doc])*
        #[inline]
        pub fn $name<T: $crate::FromReply>(
            &self,
            $($arg: $crate::command::typed::typed_commands!(@type $shape)),*
        ) -> $reply<T> {
            $crate::command::typed::typed_commands!(@send self $wire $($arg: $shape),*)
        }
    };
    (@method $reply:ident ($answer:ty) [$(#[$doc:meta])*] $name:ident [$($arg:ident: $shape:ident),*] $wire:literal) => {
        $(#[$doc])*
        #[inline]
        pub fn $name(
            &self,
            $($arg: $crate::command::typed::typed_commands!(@type $shape)),*
        ) -> $reply<$answer> {
            $crate::command::typed::typed_commands!(@send self $wire $($arg: $shape),*)
        }
    };

    (@type one) => { impl $crate::ToArg };
    (@type many) => { &[impl $crate::ToArg] };
    (@type pairs) => { &[(impl $crate::ToArg, impl $crate::ToArg)] };

    (@send $self:ident $wire:literal $($arg:ident: $shape:ident),*) => {{
        const NAME: $crate::command::CommandName = $crate::command::CommandName::new($wire);
        let arguments = 1 $(+ $crate::command::typed::typed_commands!(@count $shape $arg))*;
        $self.send(NAME, arguments, |encoder| {
            encoder.bytes($wire.as_bytes());
            $($crate::command::typed::typed_commands!(@write $shape $arg encoder);)*
        })
    }};

    (@count one $arg:ident) => { 1 };
    (@count many $arg:ident) => { $arg.len() };
    (@count pairs $arg:ident) => { 2 * $arg.len() };

    (@write one $arg:ident $encoder:ident) => { $crate::ToArg::to_arg(&$arg).encode($encoder) };
    (@write many $arg:ident $encoder:ident) => {
        for argument in $arg {
            $crate::ToArg::to_arg(argument).encode($encoder);
        }
    };
    (@write pairs $arg:ident $encoder:ident) => {
        for (one, other) in $arg {
            $crate::ToArg::to_arg(one).encode($encoder);
            $crate::ToArg::to_arg(other).encode($encoder);
        }
    };
}

pub(crate) use typed_commands;
