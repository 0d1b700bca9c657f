//! The commonest commands as methods, written once for everything that can send a command: a table for each family.
//!
//! A line of a table reads `method(argument: shape, …) -> reply = "NAME" "SUBCOMMAND" .. "LAST WORD";` and its
//! arguments stand in the order of the wire. A reply is `any` type that the caller asks for, or the type that it always
//! has, in parentheses.
//!
//! A method is called as the command is on the wire, in lower case, with its subcommand behind an underscore: `incrby`,
//! `hincrby`, `xgroup_create`. Where a command has several forms, a further word follows: `expire_with`, `lpop_many`.
//! The one exception is `key_type`, because `type` is a keyword. The shapes:
//!
//! | shape | in Rust | on the wire |
//! |---|---|---|
//! | `one` | a value | itself |
//! | `many` | a slice | each |
//! | `pairs` | a [`ToPairs`](super::ToPairs) | both elements of each |
//! | `triples` | a slice of tuples | each element of each |
//! | `counted` | a slice | their number, then each |
//! | `streams` | a slice of pairs | `STREAMS`, each first element, then each second |
//! | `["WORD"]` | a value | the word, then the value |
//! | `(Options)` | a type of [`options`](super::options) | what it writes |
//!
//! What becomes of the lines is said with [`typed_commands!`].

pub(crate) mod bitmaps;
pub(crate) mod geo;
pub(crate) mod hashes;
pub(crate) mod hyperloglog;
pub(crate) mod keys;
pub(crate) mod lists;
pub(crate) mod pubsub;
pub(crate) mod scripting;
pub(crate) mod server;
pub(crate) mod sets;
pub(crate) mod sorted_sets;
pub(crate) mod streams;
pub(crate) mod strings;

/// Expands all tables into what stands in the brackets:
///
/// - a reply's type, such as `Reply`: public methods that return it, for an `impl` block of a type with a method
///   `send(name, arguments, write) -> Reply<T>`;
/// - `batch`: the same without replies, where commands are only gathered and `send` returns `&Self`;
/// - `trait`: the methods of the trait [`Commands`](super::Commands), which go through `run`;
/// - `(Type)`: those methods for a type that has them of its own.
macro_rules! typed_commands {
    ($into:tt) => {
        $crate::command::typed::strings::strings! { $into }
        $crate::command::typed::keys::keys! { $into }
        $crate::command::typed::hashes::hashes! { $into }
        $crate::command::typed::lists::lists! { $into }
        $crate::command::typed::sets::sets! { $into }
        $crate::command::typed::sorted_sets::sorted_sets! { $into }
        $crate::command::typed::streams::streams! { $into }
        $crate::command::typed::geo::geo! { $into }
        $crate::command::typed::bitmaps::bitmaps! { $into }
        $crate::command::typed::hyperloglog::hyperloglog! { $into }
        $crate::command::typed::scripting::scripting! { $into }
        $crate::command::typed::pubsub::pubsub! { $into }
        $crate::command::typed::server::server! { $into }
    };
}

/// Takes one table apart.
macro_rules! expand {
    (names $($(#[$doc:meta])* $name:ident($($arg:ident: $shape:tt),*) -> $answer:tt
        = $wire:literal $($word:literal)* $(.. $last:literal)?;)*) => {
        &[$((stringify!($name), concat!($wire $(, " ", $word)*))),*]
    };
    ($into:tt $($(#[$doc:meta])* $name:ident($($arg:ident: $shape:tt),*) -> $answer:tt
        = $wire:literal $($word:literal)* $(.. $last:literal)?;)*) => {
        $($crate::command::typed::method! {
            $into $answer [$(#[$doc])*] $name [$($arg: $shape),*] [$wire $(, $word)*] [$($last)?]
        })*
    };
}

/// One line of a table as a method.
macro_rules! method {
    (batch $answer:tt [$($doc:tt)*] $name:ident [$($arg:ident: $shape:tt),*] $words:tt $last:tt) => {
        $($doc)*
        pub fn $name(&self, $($arg: $crate::command::typed::shape!(@type $shape)),*) -> &Self {
            $crate::command::typed::shape!(@send self $words $last $($arg: $shape),*)
        }
    };
    (trait any [$($doc:tt)*] $name:ident [$($arg:ident: $shape:tt),*] $words:tt $last:tt) => {
        $($doc)*
        fn $name<T: $crate::FromReply>(
            &self, $($arg: $crate::command::typed::shape!(@type $shape)),*
        ) -> Self::Reply<T> {
            self.run(&$crate::command::typed::shape!(@cmd $words $last $($arg: $shape),*))
        }
    };
    (trait ($answer:ty) [$($doc:tt)*] $name:ident [$($arg:ident: $shape:tt),*] $words:tt $last:tt) => {
        $($doc)*
        fn $name(&self, $($arg: $crate::command::typed::shape!(@type $shape)),*) -> Self::Reply<$answer> {
            self.run(&$crate::command::typed::shape!(@cmd $words $last $($arg: $shape),*))
        }
    };
    (($door:ident) any $doc:tt $name:ident [$($arg:ident: $shape:tt),*] $words:tt $last:tt) => {
        #[inline]
        fn $name<T: $crate::FromReply>(
            &self, $($arg: $crate::command::typed::shape!(@type $shape)),*
        ) -> Self::Reply<T> {
            $door::$name(self, $($arg),*)
        }
    };
    (($door:ident) ($answer:ty) $doc:tt $name:ident [$($arg:ident: $shape:tt),*] $words:tt $last:tt) => {
        #[inline]
        fn $name(&self, $($arg: $crate::command::typed::shape!(@type $shape)),*) -> Self::Reply<$answer> {
            $door::$name(self, $($arg),*)
        }
    };
    ($reply:ident any [$($doc:tt)*] $name:ident [$($arg:ident: $shape:tt),*] $words:tt $last:tt) => {
        $($doc)*
        #[inline]
        pub fn $name<T: $crate::FromReply>(
            &self, $($arg: $crate::command::typed::shape!(@type $shape)),*
        ) -> $reply<T> {
            $crate::command::typed::shape!(@send self $words $last $($arg: $shape),*)
        }
    };
    ($reply:ident ($answer:ty) [$($doc:tt)*] $name:ident [$($arg:ident: $shape:tt),*] $words:tt $last:tt) => {
        $($doc)*
        #[inline]
        pub fn $name(&self, $($arg: $crate::command::typed::shape!(@type $shape)),*) -> $reply<$answer> {
            $crate::command::typed::shape!(@send self $words $last $($arg: $shape),*)
        }
    };
}

/// What the shapes of arguments are in Rust, how many arguments they make, and how they are written.
macro_rules! shape {
    (@type one) => { impl $crate::ToArg };
    (@type many) => { &[impl $crate::ToArg] };
    (@type counted) => { &[impl $crate::ToArg] };
    (@type pairs) => { impl $crate::command::ToPairs };
    (@type streams) => { &[(impl $crate::ToArg, impl $crate::ToArg)] };
    (@type triples) => { &[(impl $crate::ToArg, impl $crate::ToArg, impl $crate::ToArg)] };
    (@type [$word:literal]) => { impl $crate::ToArg };
    (@type ($($options:tt)*)) => { $crate::command::options::$($options)* };

    (@send $self:ident $words:tt $last:tt $($arg:ident: $shape:tt),*) => {{
        const NAME: $crate::command::CommandName =
            $crate::command::CommandName::new($crate::command::typed::shape!(@name $words));
        let arguments = $crate::command::typed::shape!(@words $words $last)
            $(+ $crate::command::typed::shape!(@count $shape $arg))*;
        $self.send(NAME, arguments, |sink| {
            $crate::command::typed::shape!(@all sink $words $last $($arg: $shape),*)
        })
    }};
    (@cmd $words:tt $last:tt $($arg:ident: $shape:tt),*) => {{
        let mut command = $crate::command::Cmd::nameless($crate::command::typed::shape!(@name $words));
        let sink = &mut command;
        $crate::command::typed::shape!(@all sink $words $last $($arg: $shape),*);
        command
    }};

    (@name [$wire:literal $(, $word:literal)*]) => { concat!($wire $(, " ", $word)*) };
    (@words [$($word:literal),*] [$($last:literal)?]) => { [$($word,)* $($last)?].len() };

    (@count one $arg:ident) => { 1 };
    (@count many $arg:ident) => { $arg.len() };
    (@count counted $arg:ident) => { 1 + $arg.len() };
    (@count pairs $arg:ident) => { 2 * $crate::command::ToPairs::count(&$arg) };
    (@count streams $arg:ident) => { 1 + 2 * $arg.len() };
    (@count triples $arg:ident) => { 3 * $arg.len() };
    (@count [$word:literal] $arg:ident) => { 2 };
    (@count ($($options:tt)*) $arg:ident) => { $crate::command::sink::count(&$arg) };

    (@all $sink:ident [$($word:literal),*] [$($last:literal)?] $($arg:ident: $shape:tt),*) => {{
        use $crate::command::sink::Sink as _;
        $($sink.word($word);)*
        $($crate::command::typed::shape!(@write $shape $arg $sink);)*
        $($sink.word($last);)?
    }};

    (@write one $arg:ident $sink:ident) => { $sink.argument($crate::ToArg::to_arg(&$arg)) };
    (@write many $arg:ident $sink:ident) => { $sink.many($arg) };
    (@write counted $arg:ident $sink:ident) => {{
        $sink.argument($crate::ToArg::to_arg(&$arg.len()));
        $sink.many($arg)
    }};
    (@write pairs $arg:ident $sink:ident) => {
        $crate::command::ToPairs::each(&$arg, |one, other| {
            $sink.argument(one);
            $sink.argument(other);
        })
    };
    (@write streams $arg:ident $sink:ident) => {{
        $sink.word("STREAMS");
        for (key, _) in $arg {
            $sink.argument($crate::ToArg::to_arg(key));
        }
        for (_, id) in $arg {
            $sink.argument($crate::ToArg::to_arg(id));
        }
    }};
    (@write triples $arg:ident $sink:ident) => {
        for (one, two, three) in $arg {
            $sink.argument($crate::ToArg::to_arg(one));
            $sink.argument($crate::ToArg::to_arg(two));
            $sink.argument($crate::ToArg::to_arg(three));
        }
    };
    (@write [$word:literal] $arg:ident $sink:ident) => {{
        $sink.word($word);
        $sink.argument($crate::ToArg::to_arg(&$arg))
    }};
    (@write ($($options:tt)*) $arg:ident $sink:ident) => {
        $crate::command::sink::Write::write(&$arg, $sink)
    };
}

pub(crate) use {expand, method, shape, typed_commands};

/// Every typed command, by family: the method, and the name on the wire with its subcommand.
pub const TYPED: &[(&str, &[(&str, &str)])] = &[
    ("strings", strings::strings!(names)),
    ("keys", keys::keys!(names)),
    ("hashes", hashes::hashes!(names)),
    ("lists", lists::lists!(names)),
    ("sets", sets::sets!(names)),
    ("sorted sets", sorted_sets::sorted_sets!(names)),
    ("streams", streams::streams!(names)),
    ("geo", geo::geo!(names)),
    ("bitmaps", bitmaps::bitmaps!(names)),
    ("hyperloglog", hyperloglog::hyperloglog!(names)),
    ("scripting", scripting::scripting!(names)),
    ("pubsub", pubsub::pubsub!(names)),
    ("server", server::server!(names)),
];
