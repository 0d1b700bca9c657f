//! [`Args`]: the arguments of a command, wherever they are stored.

/// The arguments of one command, with its name as argument 0.
///
/// A slice of strings is one, and so is a command that is read back from its encoded form. Looking for keys allocates
/// nothing, and reads few arguments besides the keys.
pub(crate) trait Args {
    /// The number of arguments, including the name.
    fn len(&self) -> usize;

    /// One argument; `None` from [`len`](Self::len) on.
    fn get(&self, index: usize) -> Option<&[u8]>;
}

impl<T: AsRef<[u8]>> Args for [T] {
    fn len(&self) -> usize {
        <[T]>::len(self)
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        <[T]>::get(self, index).map(AsRef::as_ref)
    }
}
