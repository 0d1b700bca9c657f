//! What commands take beside their arguments: small values that are built in place and written in the order of the
//! wire. Their methods are named as the words on the wire.

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

use super::sink::{Sink, Write};
use super::{Argument, ToArg};

/// An `enum` of which each variant is one word on the wire.
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

/// Writes each word that is wanted.
fn flags<const N: usize>(sink: &mut impl Sink, words: [(bool, &str); N]) {
    for (wanted, word) in words {
        if wanted {
            sink.word(word);
        }
    }
}
