//! The macros that expand the tables of typed commands.
//!
//! A line of a table is `method(argument: shape, …) -> reply = "NAME" "SUBCOMMAND" .. "LAST WORD";`, with its arguments in
//! the order of the wire. A reply is `any`, for a type that the caller chooses, or a fixed type in parentheses.
//!
//! A method has the name of its command, in lower case, with the subcommand behind an underscore: `incrby`, `hincrby`,
//! `xgroup_create`. If a command has several forms, a further word follows: `expire_with`, `lpop_many`. The one exception is
//! `key_type`, because `type` is a keyword. The shapes:
//!
//! | shape | in Rust | on the wire |
//! |---|---|---|
//! | `one` | a value | itself |
//! | `many` | a slice | each |
//! | `pairs` | a [`ToPairs`](crate::command::ToPairs) | both elements of each |
//! | `triples` | a slice of tuples | each element of each |
//! | `counted` | a slice | their number, then each |
//! | `streams` | a slice of pairs | `STREAMS`, each first element, then each second |
//! | `["WORD"]` | a value | the word, then the value |
//! | `(Options)` | a type of [`options`](crate::options) | the words and values that it writes |

/// Expands one table.
macro_rules! expand {
    ([blocking names] $($table:tt)*) => { $crate::command::typed::macros::expand! { names $($table)* } };
    // A batch is sent on a shared connection, where no command may wait.
    ([blocking batch] $($table:tt)*) => {};
    (names $($(#[$doc:meta])* $name:ident($($arg:ident: $shape:tt),*) -> $answer:tt
        = $wire:literal $($word:literal)* $(.. $last:literal)?;)*) => {
        &[$((stringify!($name), concat!($wire $(, " ", $word)*))),*]
    };
    ($into:tt $($(#[$doc:meta])* $name:ident($($arg:ident: $shape:tt),*) -> $answer:tt
        = $wire:literal $($word:literal)* $(.. $last:literal)?;)*) => {
        $($crate::command::typed::macros::method! {
            $into $answer [$(#[$doc])*] $name [$($arg: $shape),*] [$wire $(, $word)*] [$($last)?]
        })*
    };
}

/// Expands one line of a table to a method.
macro_rules! method {
    ([blocking ($owner:ident)] $($line:tt)*) => {
        $crate::command::typed::macros::method! { ($owner) $($line)* }
    };
    ([blocking trait] any [$($doc:tt)*] $name:ident [$($arg:ident: $shape:tt),*] $words:tt $last:tt) => {
        $($doc)*
        fn $name<T: $crate::FromReply>(
            &self, $($arg: $crate::command::typed::macros::shape!(@type $shape)),*
        ) -> Self::Reply<T> {
            self.run(&$crate::command::typed::macros::shape!(@cmd $words $last $($arg: $shape),*).blocking())
        }
    };
    ([blocking trait] ($answer:ty) [$($doc:tt)*] $name:ident [$($arg:ident: $shape:tt),*] $words:tt $last:tt) => {
        $($doc)*
        fn $name(&self, $($arg: $crate::command::typed::macros::shape!(@type $shape)),*) -> Self::Reply<$answer> {
            self.run(&$crate::command::typed::macros::shape!(@cmd $words $last $($arg: $shape),*).blocking())
        }
    };
    ([blocking $reply:tt] any [$($doc:tt)*] $name:ident [$($arg:ident: $shape:tt),*] $words:tt $last:tt) => {
        $($doc)*
        pub fn $name<T: $crate::FromReply>(
            &self, $($arg: $crate::command::typed::macros::shape!(@type $shape)),*
        ) -> $crate::command::typed::macros::reply!($reply T) {
            self.run(&$crate::command::typed::macros::shape!(@cmd $words $last $($arg: $shape),*).blocking())
        }
    };
    ([blocking $reply:tt] ($answer:ty) [$($doc:tt)*] $name:ident [$($arg:ident: $shape:tt),*] $words:tt $last:tt) => {
        $($doc)*
        pub fn $name(&self, $($arg: $crate::command::typed::macros::shape!(@type $shape)),*) -> $crate::command::typed::macros::reply!($reply $answer) {
            self.run(&$crate::command::typed::macros::shape!(@cmd $words $last $($arg: $shape),*).blocking())
        }
    };
    (batch $answer:tt [$($doc:tt)*] $name:ident [$($arg:ident: $shape:tt),*] $words:tt $last:tt) => {
        $($doc)*
        pub fn $name(&self, $($arg: $crate::command::typed::macros::shape!(@type $shape)),*) -> &Self {
            $crate::command::typed::macros::shape!(@send self $words $last $($arg: $shape),*)
        }
    };
    (trait any [$($doc:tt)*] $name:ident [$($arg:ident: $shape:tt),*] $words:tt $last:tt) => {
        $($doc)*
        fn $name<T: $crate::FromReply>(
            &self, $($arg: $crate::command::typed::macros::shape!(@type $shape)),*
        ) -> Self::Reply<T> {
            self.run(&$crate::command::typed::macros::shape!(@cmd $words $last $($arg: $shape),*))
        }
    };
    (trait ($answer:ty) [$($doc:tt)*] $name:ident [$($arg:ident: $shape:tt),*] $words:tt $last:tt) => {
        $($doc)*
        fn $name(&self, $($arg: $crate::command::typed::macros::shape!(@type $shape)),*) -> Self::Reply<$answer> {
            self.run(&$crate::command::typed::macros::shape!(@cmd $words $last $($arg: $shape),*))
        }
    };
    (($owner:ident) any $doc:tt $name:ident [$($arg:ident: $shape:tt),*] $words:tt $last:tt) => {
        #[inline]
        fn $name<T: $crate::FromReply>(
            &self, $($arg: $crate::command::typed::macros::shape!(@type $shape)),*
        ) -> Self::Reply<T> {
            $owner::$name(self, $($arg),*)
        }
    };
    (($owner:ident) ($answer:ty) $doc:tt $name:ident [$($arg:ident: $shape:tt),*] $words:tt $last:tt) => {
        #[inline]
        fn $name(&self, $($arg: $crate::command::typed::macros::shape!(@type $shape)),*) -> Self::Reply<$answer> {
            $owner::$name(self, $($arg),*)
        }
    };
    ($reply:tt any [$($doc:tt)*] $name:ident [$($arg:ident: $shape:tt),*] $words:tt $last:tt) => {
        $($doc)*
        #[inline]
        pub fn $name<T: $crate::FromReply>(
            &self, $($arg: $crate::command::typed::macros::shape!(@type $shape)),*
        ) -> $crate::command::typed::macros::reply!($reply T) {
            $crate::command::typed::macros::shape!(@send self $words $last $($arg: $shape),*)
        }
    };
    ($reply:tt ($answer:ty) [$($doc:tt)*] $name:ident [$($arg:ident: $shape:tt),*] $words:tt $last:tt) => {
        $($doc)*
        #[inline]
        pub fn $name(&self, $($arg: $crate::command::typed::macros::shape!(@type $shape)),*) -> $crate::command::typed::macros::reply!($reply $answer) {
            $crate::command::typed::macros::shape!(@send self $words $last $($arg: $shape),*)
        }
    };
}

/// The type of a reply: of `Reply`, a type of its own; of `{ H }`, what the handles of the type `H` reply.
macro_rules! reply {
    ({ $handle:ident } $answer:ty) => { $handle::Reply<$answer> };
    ($reply:ident $answer:ty) => { $reply<$answer> };
}

/// The type of a shape, the number of its arguments, and the code that writes them.
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
            $crate::command::CommandName::new($crate::command::typed::macros::shape!(@name $words));
        let arguments = $crate::command::typed::macros::shape!(@words $words $last)
            $(+ $crate::command::typed::macros::shape!(@count $shape $arg))*;
        $self.send(NAME, arguments, |sink| {
            $crate::command::typed::macros::shape!(@all sink $words $last $($arg: $shape),*)
        })
    }};
    (@cmd $words:tt $last:tt $($arg:ident: $shape:tt),*) => {{
        let mut command = $crate::command::Cmd::nameless($crate::command::typed::macros::shape!(@name $words));
        let sink = &mut command;
        $crate::command::typed::macros::shape!(@all sink $words $last $($arg: $shape),*);
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
        $($crate::command::typed::macros::shape!(@write $shape $arg $sink);)*
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

pub(crate) use {expand, method, reply, shape};
