//! [`Script`]: input bytes, read as decisions. When the bytes are used up, every decision is the first choice.

pub(super) struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Script(data)
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    /// A number below `bound`, which is at most 256.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    pub(super) fn coin(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub(super) fn choice<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// The next `count` bytes, or as many as are left.
    pub(super) fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// The sizes into which the rest is split, repeated until the end. No size is 0.
    pub(super) fn cuts(&mut self) -> Vec<usize> {
        let count = self.below(CUTS_MAX) + 1;
        let cuts = self.take(count).iter().map(|&size| usize::from(size).max(1));
        let cuts: Vec<usize> = cuts.collect();
        if cuts.is_empty() { vec![1] } else { cuts }
    }
}

/// Splits `bytes` into pieces of these sizes, which repeat.
pub(super) fn pieces<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut sizes = cuts.iter().cycle();
    std::iter::from_fn(move || {
        let size = sizes.next().copied().unwrap_or(1).min(bytes.len());
        let (piece, rest) = bytes.split_at(size);
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

const CUTS_MAX: usize = 8;
