//! Options of commands: small values that you build in place, and that are written in the order of the wire. Their methods
//! have the names of the words on the wire.

mod bits;
mod geo;
mod lists;
mod scan;
mod sort;
mod sorted_sets;
mod streams;
mod strings;

pub use bits::{BitFieldOptions, BitOperation, BitOverflow, BitUnit};
pub use geo::{GeoAddOptions, GeoSearchOptions, GeoUnit};
pub use lists::{ListEnd, LposOptions};
pub use scan::ScanOptions;
pub use sort::SortOptions;
pub use sorted_sets::{ZaddOptions, ZcombineOptions, ZrangeOptions, ZsetEnd};
pub use streams::{
    Trim, XaddOptions, XautoclaimOptions, XclaimOptions, XgroupOptions, XreadGroupOptions, XreadOptions,
};
pub use strings::{CopyOptions, ExpireCondition, GetExOptions, SetOptions};

use super::arg::{Argument, ToArg};
use super::sink::{Sink, Write};

/// Defines an `enum` whose variants are one word on the wire each.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            const fn word(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)*
                }
            }
        }

        impl $crate::command::sink::Write for $name {
            #[inline]
            fn write(&self, sink: &mut impl $crate::command::sink::Sink) {
                sink.word(self.word());
            }
        }
    };
}

use words;

/// Writes each word whose flag is set.
fn flags<const N: usize>(sink: &mut impl Sink, words: [(bool, &str); N]) {
    for (is_set, word) in words {
        if is_set {
            sink.word(word);
        }
    }
}
