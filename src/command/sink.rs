//! [`Sink`]: receives the arguments of a command; and [`Write`]: a value that writes several of them.

use super::arg::{Argument, ToArg};
use super::builder::Cmd;
use crate::proto::resp::Encoder;

/// Receives arguments, one after the other.
pub(crate) trait Sink {
    /// Adds one argument.
    fn argument(&mut self, argument: Argument<'_>);

    /// Adds a keyword of the command.
    #[inline]
    fn word(&mut self, word: &str) {
        self.argument(Argument::Bytes(word.as_bytes()));
    }

    /// Adds a keyword and its value.
    #[inline]
    fn named(&mut self, word: &str, value: impl ToArg) {
        self.word(word);
        self.argument(value.to_arg());
    }

    /// Adds one argument for each value.
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

/// A value that stands for any number of arguments.
pub(crate) trait Write {
    /// Writes the arguments: the same ones each time, because they are counted before they are sent.
    fn write(&self, sink: &mut impl Sink);
}

/// The number of arguments that `arguments` writes.
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
