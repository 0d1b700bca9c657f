//! Two hundred common commands as methods, written once for every type that can send a command: a table for each family.
//!
//! [`macros`] defines the language of the tables, and [`typed_commands!`] what they expand to.

pub(crate) mod bitmaps;
pub(crate) mod blocking;
pub(crate) mod geo;
pub(crate) mod hashes;
pub(crate) mod hyperloglog;
pub(crate) mod keys;
pub(crate) mod lists;
pub(crate) mod macros;
pub(crate) mod pubsub;
pub(crate) mod scripting;
pub(crate) mod server;
pub(crate) mod sets;
pub(crate) mod sorted_sets;
pub(crate) mod streams;
pub(crate) mod strings;

/// Expands all tables, in the way that the argument names:
///
/// - the type of a reply, such as `Reply`: public methods that return it, for an `impl` block of a type with a method
///   `send(name, arguments, write) -> Reply<T>`;
/// - a type parameter in braces, such as `{ H }`: the same with the replies of `H`, which implements
///   [`Run`](crate::command::Run);
/// - `batch`: the same methods without replies, for a batch, whose `send` returns `&Self`;
/// - `trait`: the methods of the trait [`Commands`](crate::command::Commands), which call `run`;
/// - `(Type)`: the methods of that trait for a type that has them of its own.
macro_rules! typed_commands {
    ($into:tt) => {
        $crate::command::typed::strings::strings! { $into }
        $crate::command::typed::keys::keys! { $into }
        $crate::command::typed::hashes::hashes! { $into }
        $crate::command::typed::lists::lists! { $into }
        $crate::command::typed::sets::sets! { $into }
        $crate::command::typed::sorted_sets::sorted_sets! { $into }
        $crate::command::typed::streams::streams! { $into }
        $crate::command::typed::blocking::blocking! { $into }
        $crate::command::typed::geo::geo! { $into }
        $crate::command::typed::bitmaps::bitmaps! { $into }
        $crate::command::typed::hyperloglog::hyperloglog! { $into }
        $crate::command::typed::scripting::scripting! { $into }
        $crate::command::typed::pubsub::pubsub! { $into }
        $crate::command::typed::server::server! { $into }
    };
}

pub(crate) use typed_commands;

/// Every typed command, by family: the method, and the name on the wire with its subcommand.
pub const TYPED: &[(&str, &[(&str, &str)])] = &[
    ("strings", strings::strings!(names)),
    ("keys", keys::keys!(names)),
    ("hashes", hashes::hashes!(names)),
    ("lists", lists::lists!(names)),
    ("sets", sets::sets!(names)),
    ("sorted sets", sorted_sets::sorted_sets!(names)),
    ("streams", streams::streams!(names)),
    ("blocking", blocking::blocking!(names)),
    ("geo", geo::geo!(names)),
    ("bitmaps", bitmaps::bitmaps!(names)),
    ("hyperloglog", hyperloglog::hyperloglog!(names)),
    ("scripting", scripting::scripting!(names)),
    ("pubsub", pubsub::pubsub!(names)),
    ("server", server::server!(names)),
];
