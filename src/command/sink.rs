//! [`Sink`]: what takes the arguments of a command, and [`Write`]: what writes several of them.

use super::{Argument, Cmd, ToArg};
use crate::proto::resp::Encoder;

/// Takes arguments, one after the other.
pub(crate) trait Sink {
    /// One argument.
    fn argument(&mut self, argument: Argument<'_>);

    /// One argument, a word that the command knows.
    #[inline]
    fn word(&mut self, word: &str) {
        self.argument(Argument::Bytes(word.as_bytes()));
    }

    /// A word with a value behind it.
    #[inline]
    fn named(&mut self, word: &str, value: impl ToArg) {
        self.word(word);
        self.argument(value.to_arg());
    }

    /// One argument for each.
    #[inline]
    fn many(&mut self, values: &[impl ToArg]) {
        for value in values {
            self.argument(value.to_arg());
        }
    }
}

impl Sink for Encoder<'_> {
    #[inline]
    fn argument(&mut self, argument: Argument<'_>) {
        argument.encode(self);
    }
}

impl Sink for Cmd {
    fn argument(&mut self, argument: Argument<'_>) {
        self.push(argument);
    }
}

/// Something that stands for no, one or several arguments.
pub(crate) trait Write {
    /// Writes them, the same each time: they are counted before they are sent.
    fn write(&self, sink: &mut impl Sink);
}

/// How many arguments this writes.
#[inline]
pub(crate) fn count(arguments: &impl Write) -> usize {
    struct Counter(usize);
    impl Sink for Counter {
        #[inline]
        fn argument(&mut self, _argument: Argument<'_>) {
            self.0 += 1;
        }
    }
    let mut counter = Counter(0);
    arguments.write(&mut counter);
    counter.0
}
